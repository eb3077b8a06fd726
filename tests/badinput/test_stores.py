"""Bad stores: locked, doubled, cloned, set back. What is unsafe stops and says so; what is safe is cured by itself."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from poolpair import wiring
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, ExportStatus
from poolpair.status import Reason
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import initialise, working_site
from tests.badinput.ground import Ground, make_ground, said, write_toml


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_locked_store_is_said_and_waited_for(ground: Ground, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """While another process keeps B's database locked B says P202, its heartbeats go on, and nothing is lost or doubled."""
    for pool in ("a", "b"):
        ground.stop(pool)
    short_patience(ground, monkeypatch)
    for pool in ("a", "b"):
        ground.start(pool)
    ground.whole()
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'meanwhile', 1)")
    ground.turn("a")
    with closing(sqlite3.connect(ground.path("b"), isolation_level=None)) as locker:
        locker.execute(f"BEGIN {kind}")
        for _ in range(6):
            ground.clock.advance(10)
            ground.turn("b", "a", force=True)
        assert ground.channel("a").export.reason is not Reason.PARTNER_SILENT
        assert "P202" in str(ground.channel("a").export.partner_fault)
        assert ground.sites["b"].memory.faults[Channel.USERS].code is Code.STORE_LOCKED
        assert "stayed locked by another process" in ground.sites["b"].memory.faults[Channel.USERS].detail
        assert len(ground.standing("b")) == 1
        assert ground.channel("b").channel is Channel.USERS  # status needs no lock
        locker.execute("ROLLBACK")
    ground.whole()
    assert not ground.sites["b"].memory.faults
    assert ground.channel("a").export.rewinds == 0


def short_patience(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a lock after 20 ms."""
    if hasattr(wiring, "LOCK_WAIT_S"):
        monkeypatch.setattr(wiring, "LOCK_WAIT_S", 0.02)
    for pool in ("a", "b"):
        toml = ground.toml(pool)
        toml.write_text(toml.read_text() + '[limits]\nlock_wait = "100ms"\n')


def test_a_lock_in_the_middle_of_a_pass_is_survived(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is locked at A while it has something to send is P202 there, and the change leaves afterwards."""
    for pool in ("a", "b"):
        ground.stop(pool)
    short_patience(ground, monkeypatch)
    for pool in ("a", "b"):
        ground.start(pool)
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'meanwhile', 1)")
    with closing(sqlite3.connect(ground.path("a"), isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        ground.turn("a")
        assert ground.sites["a"].memory.faults[Channel.USERS].code is Code.STORE_LOCKED
        assert not ground.standing("b")
        locker.execute("COMMIT")
    ground.whole()


def test_two_services_for_one_pool_are_refused(ground: Ground) -> None:
    """A second service for A ends with P401 and names the first; the first goes on."""
    with pytest.raises(PoolpairError, match="a service already works for this pool: test-a since") as caught:
        ground.start("a")
    assert caught.value.code is Code.LEASE
    with pytest.raises(PoolpairError) as caught, working_site(ground.config("a")):
        pass
    assert caught.value.code is Code.LEASE
    ground.whole()


def clone(ground: Ground, *, own_share: bool) -> Ground:
    """A's database copied to another place, with a pool file of its own."""
    folder = ground.folder / "clone"
    (folder / "data-a").mkdir(parents=True)
    (folder / "share-a").mkdir()
    shutil.copy(ground.folder / "profile.toml", folder)
    with (
        closing(sqlite3.connect(ground.path("a"))) as source,
        closing(sqlite3.connect(folder / "data-a" / "app.sqlite")) as copy,
    ):
        source.backup(copy)
    twin = Ground(folder, ground.clock, columns=ground.columns)
    share = folder / "share-a" if own_share else ground.share("a")
    write_toml(
        twin,
        "a",
        "b",
        share=str(share),
        partner_share=str(ground.share("b")),
        key_file=str(ground.folder / "pair.key"),
        files=str(ground.folder / "data-a"),
    )
    return twin


@pytest.mark.parametrize("own_share", [True, False])
def test_a_cloned_store_delivers_nothing(ground: Ground, own_share: bool) -> None:
    """A copy of A's database, with A's share or one of its own, is P302: no package, no cookie, no deletion, no apply."""
    twin = clone(ground, own_share=own_share)
    if own_share:
        shutil.copytree(ground.share("a"), twin.share("a"), dirs_exist_ok=True)
    ground.do("b", "INSERT INTO item VALUES ('u@b', 'for-a', 1)")
    ground.turn("b")
    stood = {pool: contents(ground.share(pool)) for pool in ("a", "b")}
    twin.start("a")
    twin.do("a", "INSERT INTO item VALUES ('u@a', 'from-the-clone', 1)")
    twin.turn("a", force=True)
    twin.turn("a", force=True)
    assert twin.fault("a").startswith("P302 this database was copied or moved")
    assert twin.status("a").exit_status == 2
    assert {pool: contents(ground.share(pool)) for pool in ("a", "b")} == stood
    assert twin.ask("a", "SELECT count(*) FROM item WHERE name = 'for-a'") == [(0,)]
    assert said(twin.command("a", "run", "--allow-root"))[0] is Code.CLONE
    twin.stop("a")
    ground.whole()


def contents(share: Path) -> dict[Path, bytes]:
    """Every file of a share."""
    return {path: path.read_bytes() for path in share.rglob("*") if path.is_file()}


def test_a_copy_put_in_place_of_another_database_is_a_clone(ground: Ground) -> None:
    """The share says which database owns it: another one at the same place is P302 as well."""
    ground.stop("a")
    with ground.sql("a") as connection:
        connection.execute(
            "UPDATE poolpair_document SET body = replace(body, substr(body, instr(body, 'store_id') + 11, 8), 'ffffffff')"
            " WHERE name = 'store/identity'"
        )
    ground.start("a")
    ground.turn("a", force=True)
    assert ground.fault("a").startswith("P302 the own share belongs to another database")


def test_adopt_store_makes_a_copy_the_owner(ground: Ground) -> None:
    """After `adopt-store --yes` the moved database works on, and the original is the one that is refused."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'before', 1)")
    ground.whole()
    ground.stop("a")
    twin = clone(ground, own_share=False)
    assert said(twin.command("a", "adopt-store"))[0] is Code.USAGE
    assert twin.command("a", "adopt-store", "--yes").exit_code == 0
    old = ground.start("a")
    ground.turn("a", force=True)
    assert ground.fault("a").startswith("P302 the own share belongs to another database")
    old.store.close()
    twin.start("a")
    ground.sites["a"] = twin.sites["a"]
    twin.do("a", "INSERT INTO item VALUES ('u@a', 'after', 1)")
    ground.settle()
    assert ground.ask("b", "SELECT name FROM item WHERE name IN ('before', 'after') ORDER BY name") == [
        ("after",),
        ("before",),
    ]
    assert twin.rows("a") == ground.rows("b")
    assert ground.channel("a").export.status is ExportStatus.FINAL


def keep(ground: Ground, pool: str) -> Path:
    """A backup of a database, as a DBA takes one."""
    path = ground.folder / f"backup-{pool}.sqlite"
    with closing(sqlite3.connect(ground.path(pool))) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    return path


def put_back(ground: Ground, pool: str, backup: Path) -> None:
    """Restore it while the service is stopped."""
    ground.stop(pool)
    for suffix in ("-wal", "-shm"):
        Path(f"{ground.path(pool)}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(backup, ground.path(pool))
    ground.start(pool)


def test_a_target_that_was_set_back_is_cured_by_itself(ground: Ground) -> None:
    """B's database put back to an older copy gets exactly what it lacks by a comparison; nobody has to decide anything."""
    backup = keep(ground, "b")
    for n in range(20):
        ground.do(
            "a",
            f"INSERT INTO item VALUES ('u@a', 'n{n}', {n})",
            "UPDATE item SET value = value + 1 WHERE owner = 'u@a'",
        )
        ground.turn()
    ground.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name = 'i00002'")
    ground.write_file("a", "new", b"new")
    ground.do("a", "INSERT INTO upload VALUES ('u@a', 'new', 'n')")
    ground.whole()
    before = ground.rows("b"), ground.files("b")
    put_back(ground, "b", backup)
    assert ground.rows("b") != before[0]
    ground.whole()
    assert (ground.rows("b"), ground.files("b")) == before
    assert ground.channel("a").export.rewinds == 1
    assert not ground.channel("a").export.fault
    verified = ground.channel("a").export.last_verify
    assert verified is not None
    assert verified.reason == "the partner's store was set back"
    ground.still_works("b-goes-on")
    ground.whole()


def test_an_origin_that_was_set_back_stops_until_somebody_decides(ground: Ground) -> None:
    """A's database put back is P301: nothing is sent, B keeps the newer rows; `--ours` keeps what it replaces aside at B."""
    backup = keep(ground, "a")
    ground.do(
        "a",
        "INSERT INTO item VALUES ('u@a', 'newer', 'only at b now')",
        "UPDATE item SET value = 'new' WHERE owner = 'u@a' AND name = 'i00001'",
    )
    ground.whole()
    newer = ground.rows("b")
    put_back(ground, "a", backup)
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'since', 1)")
    ground.settle()
    assert ground.fault("a").startswith("P301 the partner applied package")
    assert "which this store never made" in ground.fault("a")
    assert ground.status("a").exit_status == 2
    assert ground.rows("b") == newer
    ground.still_works("b-goes-on")
    shown = ground.command("a", "setback", "show")
    for words in (
        "this store made packages up to",
        "the partner applied package",
        "1 package that this store does not know is applied there",
        "b says of its copy: NormalState, 0 parked, 0 held",
        "The rows themselves are only at b: this store cannot list them.",
    ):
        assert words in shown.output, shown.output
    theirs = ground.command("a", "setback", "resolve", "--theirs", "--yes")
    assert (theirs.exit_code, "b: poolpair failover a --disaster" in theirs.output) == (1, True)
    assert ground.command("a", "setback", "resolve", "--ours", "--yes").exit_code == 0
    ground.whole()
    assert ground.ask("b", "SELECT count(*) FROM item WHERE name = 'newer'") == [(0,)]
    assert ground.ask("b", "SELECT count(*) FROM item WHERE name = 'since'") == [(1,)]
    kept = ground.ask("b", "SELECT name, value FROM poolpair_kept_row_1 WHERE name IN ('newer', 'i00001')")
    assert ("newer", "only at b now") in kept
    assert ("i00001", "new") in kept
    assert "no channel is set back" in ground.command("a", "setback", "show").output


def test_both_stores_set_back_at_once_go_on_after_a_decision(ground: Ground) -> None:
    """Both databases put back to one moment: where an older word still speaks of lost packages a person decides, then all is whole."""
    backups = {pool: keep(ground, pool) for pool in ("a", "b")}
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'lost', 1)")
    ground.whole()
    for pool, backup in backups.items():
        put_back(ground, pool, backup)
    ground.settle()
    stopped = [pool for pool in ("a", "b") if ground.fault(pool)]
    assert all(ground.fault(pool).startswith("P301") for pool in stopped)
    for pool in stopped:
        assert ground.command(pool, "setback", "resolve", "--ours", "--yes").exit_code == 0
    ground.whole()
    ground.still_works("b-goes-on")
    ground.whole()


def test_a_store_that_is_gone_is_said(tmp_path: Path) -> None:
    """A database that is not there is P201 for `init` and every command; poolpair makes no empty one."""
    ground = make_ground(tmp_path)
    ground.path("a").unlink()
    with pytest.raises(PoolpairError, match="is not there") as caught:
        initialise(ground.config("a"))
    assert caught.value.code is Code.STORE_MISSING
    assert said(ground.command("a", "status"))[0] is Code.STORE_MISSING
    assert not ground.path("a").exists()


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    """A database file of other content is P203, and stays as it is."""
    ground = make_ground(tmp_path)
    ground.path("a").write_bytes(b"not a database at all" * 100)
    with pytest.raises(PoolpairError, match="not a database") as caught:
        initialise(ground.config("a"))
    assert caught.value.code is Code.STORE_BROKEN
    assert ground.path("a").read_bytes() == b"not a database at all" * 100


def test_a_store_that_was_not_prepared_is_said(tmp_path: Path) -> None:
    """A service on a database without `init` is P104."""
    ground = make_ground(tmp_path)
    ground.clock = VirtualClock()
    code, words = said(ground.command("a", "run", "--allow-root"))
    assert code is Code.NOT_INSTALLED
    assert "not prepared" in words
