"""Bugs that peers of poolpair had, each as a test: the log, positions and words (T1 to T8, T19).

Each test is named after the bug. Elsewhere: the part of T1 in which transactions commit in another order than they began
(`tests/postgres/test_capture.py`, since SQLite has one writer), T9, T15 and T22 (`test_peers_failover.py`).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.model import ExportStatus
from poolpair.store.sqlite import shortening
from tests.badinput.ground import USERS_COOKIE, Ground, first_copy, make_ground

HOUR_S = 3600.0


def logged(ground: Ground, pool: str) -> int:
    """Entries in the capture log of the items."""
    ((count,),) = ground.ask(pool, "SELECT count(*) FROM poolpair_log_1")
    assert isinstance(count, int)
    return count


def test_t01_a_change_is_lost_because_it_committed_late_or_at_the_same_time(ground: Ground) -> None:
    """A transaction that is open while a pass looks, and whose rows bear equal and older times than what was sent, is carried."""
    ground.stop("a")
    toml = ground.toml("a")
    toml.write_text(toml.read_text() + '[limits]\nlock_wait = "100ms"\n')
    ground.start("a")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'young', '2026-01-02')")
    with closing(sqlite3.connect(ground.path("a"), isolation_level=None)) as slow:
        slow.execute("BEGIN IMMEDIATE")
        slow.execute("INSERT INTO item VALUES ('u@a', 'late', '2026-01-01'), ('u@a', 'late too', '2026-01-01')")
        ground.turn("a")
        assert not ground.standing("b"), "one writer at a time: no token is drawn past an open transaction"
        slow.execute("INSERT INTO item VALUES ('u@a', 'same', '2026-01-02')")
        slow.execute("COMMIT")
    ground.whole()
    assert ground.ask("b", "SELECT count(*) FROM item WHERE value GLOB '2026-*'") == [(4,)]


def test_t02_the_log_is_purged_before_the_partner_acknowledged(ground: Ground) -> None:
    """Delivered is not applied: the log keeps every changed group until the partner's word came back, over a restart too."""
    ground.do("a", "UPDATE item SET value = 'new' WHERE owner = 'u@a'")
    ground.turn("a")
    assert len(ground.standing("b")) == 1
    ground.stop("a")
    ground.start("a")
    for _ in range(5):
        ground.clock.advance(HOUR_S)
        ground.turn("a", force=True)
    assert logged(ground, "a") == 6
    ground.turn("b")
    assert logged(ground, "a") == 6
    ground.whole()
    assert logged(ground, "a") == 0


def test_t03_catching_up_after_six_hours_never_ends_while_the_application_writes(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partner that was away for six hours gets everything, although both applications write in every turn meanwhile."""
    monkeypatch.setattr(shortening, "SHORTEN_ENTRIES", 71)  # so the last turn shortens the log
    ground.stop("b")
    for n in range(72):
        ground.do("a", f"INSERT OR REPLACE INTO item VALUES ('u@a', 'n{n % 50}', {n})")
        ground.clock.advance(300)
        ground.turn("a")
    assert logged(ground, "a") == 50, "one entry per group, however often it changed"
    ground.start("b")
    for n in range(10):
        for pool in ("a", "b"):
            ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'meanwhile{n}', {n})")
        ground.turn()
    caught = ground.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@a' AND name GLOB 'n*'")
    assert caught == [(50,)], "before the writing stopped"
    ground.whole()


def test_t04_a_change_goes_round_in_a_loop(ground: Ground) -> None:
    """What an apply writes is not captured: it neither comes back nor makes a package."""
    packed = ground.channel("b").export.watermarks.packed
    ground.do(
        "a",
        "UPDATE item SET value = value || '+' WHERE owner = 'u@a'",
        "DELETE FROM item WHERE owner = 'u@a' AND name = 'i00000'",
    )
    ground.do("b", "INSERT INTO item VALUES ('u@b', 'own', 1)")
    ground.whole()
    assert ground.channel("b").export.watermarks.packed == packed + 1, "one package, with the one change of B's own"
    for _ in range(5):
        ground.clock.advance(130)
        ground.turn(force=True)
    assert logged(ground, "b") == logged(ground, "a") == 0
    assert ground.channel("b").export.watermarks.packed == packed + 1


def test_t05_a_package_is_applied_twice_after_a_crash_before_its_acknowledgement(ground: Ground) -> None:
    """Applied and committed, but the word is lost, the package stands again and the service is a new one: it is counted, not applied."""
    ground.do("a", "UPDATE item SET value = value + 100 WHERE owner = 'u@a'")
    ground.turn("a")
    (package,) = ground.standing("b")
    copy = ground.folder / "copy"
    shutil.copy(package, copy)
    ground.turn("b")
    (ground.share("a") / USERS_COOKIE).unlink()
    shutil.copy(copy, package)
    ground.stop("b")
    ground.start("b")
    ground.do("b", "UPDATE item SET value = 'since' WHERE owner = 'u@b'")
    ground.whole()
    assert ground.channel("b").imports.superseded == 1
    assert ground.ask("b", "SELECT count(*), sum(value) FROM item WHERE owner = 'u@a'") == [(6, 615)]


def test_t06_the_first_copy_races_with_writes_and_loses_them(tmp_path: Path) -> None:
    """Rows that change, come and go in every turn of the first copy are right at its end."""
    racing = make_ground(tmp_path, rows=600)
    from poolpair.wiring import initialise

    for pool in ("a", "b"):
        initialise(racing.config(pool))
        racing.start(pool)
    for n in range(25):
        for pool in ("a", "b"):
            racing.do(
                pool,
                f"UPDATE item SET value = 'turn{n}' WHERE owner = 'u@{pool}' AND name = 'i{n * 20:05d}'",
                f"DELETE FROM item WHERE owner = 'u@{pool}' AND name = 'i{n * 20 + 1:05d}'",
                f"INSERT INTO item VALUES ('u@{pool}', 'n{n}', {n})",
            )
        racing.turn()
        racing.clock.advance(1)
    racing.whole()
    for pool in ("a", "b"):
        racing.stop(pool)


def test_t07_a_database_restored_from_an_older_copy_goes_on_silently(ground: Ground) -> None:
    """A store set back under its service stops with P301 and sends nothing: the partner's newer rows stand until somebody decides."""
    backup = ground.folder / "backup"
    with closing(sqlite3.connect(ground.path("a"))) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'newer', 1)")
    ground.whole()
    ground.stop("a")
    for suffix in ("-wal", "-shm"):
        Path(f"{ground.path('a')}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(backup, ground.path("a"))
    ground.start("a")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'on the old copy', 1)")
    ground.settle()
    assert ground.fault("a").startswith("P301")
    assert ground.channel("a").export.status is ExportStatus.ERROR
    assert ground.ask("b", "SELECT name FROM item WHERE name IN ('newer', 'on the old copy')") == [("newer",)]


def test_t08_a_stale_side_says_that_it_is_current(ground: Ground) -> None:
    """An older word put back acknowledges nothing, and while something stands unapplied no side says FinalState."""
    old = (ground.share("a") / USERS_COOKIE).read_bytes()
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'first', 1)")
    ground.whole()
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'second', 1)")
    ground.turn("a")
    (ground.share("a") / USERS_COOKIE).write_bytes(old)
    for _ in range(3):
        ground.clock.advance(1)
        ground.turn("a")
        assert ground.channel("a").export.status is not ExportStatus.FINAL
    assert logged(ground, "a") == 1
    ground.clock.advance(60)
    assert ground.channel("a").export.status is ExportStatus.NON_STEADY
    assert ground.status("a").exit_status == 2
    ground.whole()


FAMILY = """
CREATE TABLE item (owner TEXT NOT NULL, name TEXT NOT NULL, value UNIQUE, parent TEXT,
  PRIMARY KEY (owner, name), FOREIGN KEY (owner, parent) REFERENCES item (owner, name));
"""
ITEM = """
[[tables]]
name = "item"
key = ["owner", "name"]
home_key = '"owner"'
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Ground]:
    """Rows that refer to each other, with unique values."""
    made = make_ground(tmp_path, schema=FAMILY, profile=ITEM, columns={"item": "owner, name, value, parent"})
    for pool in ("a", "b"):
        made.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'z-root', '{pool}0', NULL)")
        made.do(pool, *(f"INSERT INTO item VALUES ('u@{pool}', 'c{n}', '{pool}{n}', 'z-root')" for n in (1, 2)))
    yield first_copy(made)
    for pool in tuple(made.sites):
        made.stop(pool)


@pytest.mark.parametrize(
    "statements",
    [
        ("DELETE FROM item WHERE owner = 'u@a'", "INSERT INTO item VALUES ('u@a', 'only', 'a1', NULL)"),
        ("UPDATE item SET name = 'moved' || name WHERE owner = 'u@a' AND name <> 'z-root'",),
        (
            "UPDATE item SET value = 'x' WHERE value = 'a1'",
            "UPDATE item SET value = 'a1' WHERE value = 'a2'",
            "UPDATE item SET value = 'a2' WHERE value = 'x'",
        ),
        (
            "INSERT INTO item VALUES ('u@a', 'b-early', 'a8', 'y-late')",
            "INSERT INTO item VALUES ('u@a', 'y-late', 'a9', NULL)",
        ),
        (
            "DELETE FROM item WHERE name = 'z-root' AND owner = 'u@a'",
            "DELETE FROM item WHERE name = 'c1' AND owner = 'u@a'",
        ),
    ],
    ids=["truncate", "key update", "unique swap", "child before parent", "parent before child"],
)
def test_t19_truncate_key_updates_foreign_keys_and_unique_swaps_break_the_apply(
    family: Ground, statements: tuple[str, ...]
) -> None:
    """Each arrives as it is, whatever the order of the statements; nothing is parked."""
    family.do("a", *statements)
    family.whole()
    assert not family.sites["b"].store.parked()
