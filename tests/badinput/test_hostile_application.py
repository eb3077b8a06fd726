"""What an application may do to its own database beside us: keep search indexes, alter tables, VACUUM, checkpoint, read for hours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify
from poolpair.model import Channel, ExportStatus
from poolpair.wiring import initialise
from tests.badinput.ground import ITEM, Ground, first_copy, make_ground
from tests.badinput.test_values import whole

ITEMS = {"item": "owner, name, value"}
FILL = """
CREATE TABLE item (owner TEXT NOT NULL, name TEXT NOT NULL, value, PRIMARY KEY (owner, name));
CREATE VIRTUAL TABLE search USING fts5 (owner, name, value, content = 'item');
CREATE TRIGGER search_in AFTER INSERT ON item BEGIN
  INSERT INTO search (rowid, owner, name, value) VALUES (NEW.rowid, NEW.owner, NEW.name, NEW.value); END;
CREATE TRIGGER search_out AFTER DELETE ON item BEGIN
  INSERT INTO search (search, rowid, owner, name, value) VALUES ('delete', OLD.rowid, OLD.owner, OLD.name, OLD.value); END;
CREATE TRIGGER search_new AFTER UPDATE ON item BEGIN
  INSERT INTO search (search, rowid, owner, name, value) VALUES ('delete', OLD.rowid, OLD.owner, OLD.name, OLD.value);
  INSERT INTO search (rowid, owner, name, value) VALUES (NEW.rowid, NEW.owner, NEW.name, NEW.value); END;
CREATE TABLE audit (what);
CREATE TRIGGER audit_in AFTER INSERT ON item BEGIN INSERT INTO audit VALUES (NEW.name); END;
"""


@contextmanager
def made(folder: Path, *, schema: str | None = None, profile: str = ITEM) -> Iterator[Ground]:
    """A pair after its first copy, of items only."""
    ground = make_ground(folder, profile=profile, **({"schema": schema, "columns": ITEMS} if schema else {"files": 0}))
    ground.columns = ITEMS
    for pool in ("a", "b") if schema else ():
        ground.do(pool, *(f"INSERT INTO item VALUES ('u@{pool}', 'i{n:05d}', 'word{n}')" for n in range(6)))
    yield first_copy(ground)
    for pool in tuple(ground.sites):
        ground.stop(pool)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Ground]:
    """Items without anything odd."""
    with made(tmp_path) as ground:
        yield ground


def test_a_search_index_is_kept_by_its_own_triggers(tmp_path: Path) -> None:
    """An FTS5 index over a carried table is right at B after inserts, changes and deletions, if its triggers are named."""
    profile = f'{ITEM}triggers = ["search_in", "search_out", "search_new"]\n'
    with made(tmp_path, schema=FILL, profile=profile) as ground:
        ground.do(
            "a",
            "INSERT INTO item VALUES ('u@a', 'new', 'bread')",
            "UPDATE item SET value = 'cheese' WHERE owner = 'u@a' AND name = 'i00001'",
            "DELETE FROM item WHERE owner = 'u@a' AND name = 'i00002'",
        )
        whole(ground)
        for pool in ("a", "b"):
            ground.do(pool, "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")
            found = ground.ask(pool, "SELECT name FROM search WHERE search MATCH 'bread OR cheese' ORDER BY name")
            assert found == [("i00001",), ("new",)]
        assert ground.ask("b", "SELECT count(*) FROM audit WHERE what = 'new'") == [(0,)]
        assert "to know: item: its triggers do not run on rows that arrive" in ground.command("b", "check").output


@pytest.mark.parametrize(
    "trigger",
    [
        "BEFORE INSERT ON item WHEN NEW.owner = 'u@a' BEGIN SELECT RAISE(IGNORE); END",
        "BEFORE DELETE ON item WHEN OLD.owner = 'u@a' BEGIN SELECT RAISE(IGNORE); END",
        "BEFORE UPDATE ON item WHEN OLD.owner = 'u@a' BEGIN SELECT RAISE(IGNORE); END",
        "AFTER INSERT ON item WHEN NEW.owner = 'u@a' BEGIN UPDATE item SET value = 'own' WHERE name = NEW.name; END",
        "AFTER UPDATE ON item WHEN NEW.value = 'changed' BEGIN DELETE FROM item WHERE name = NEW.name AND owner = 'u@a'; END",
        "AFTER INSERT ON Item WHEN NEW.name = 'n1' BEGIN UPDATE item SET value = 'other' WHERE owner = 'u@a'; END",
    ],
)
def test_triggers_that_run_do_not_change_what_arrives(plain: Ground, trigger: str) -> None:
    """A trigger at B that leaves out, changes or deletes arriving rows has run, and the rows stand as they do at A."""
    plain.do("b", f"CREATE TRIGGER odd {trigger}")
    plain.do(
        "a",
        "INSERT INTO item VALUES ('u@a', 'n0', 0), ('u@a', 'n1', 1)",
        "UPDATE item SET value = 'changed' WHERE owner = 'u@a'",
        "DELETE FROM item WHERE owner = 'u@a' AND name = 'i00003'",
    )
    whole(plain)
    assert plain.ask("b", "SELECT count(*) FROM sqlite_master WHERE name = 'odd'") == [(1,)]


def test_a_skipped_trigger_may_spell_its_table_in_other_letters(tmp_path: Path) -> None:
    """`triggers = "skip"` holds for a trigger ON Item of the table item."""
    with made(
        tmp_path, schema=FILL.split("CREATE VIRTUAL", maxsplit=1)[0], profile=f'{ITEM}triggers = "skip"\n'
    ) as ground:
        ground.do("b", "CREATE TRIGGER no BEFORE INSERT ON ITEM BEGIN SELECT RAISE(ABORT, 'not here'); END")
        ground.do("a", "INSERT INTO item VALUES ('u@a', 'n', 1)")
        whole(ground)


def unproved(ground: Ground) -> list[str]:
    """Pools where a comparison is under way, or whose copy is not complete."""
    channels = {pool: ground.channel(pool) for pool in ("a", "b")}
    return [
        pool for pool, at in channels.items() if at.export.status is not ExportStatus.FINAL or not at.imports.complete
    ]


def test_vacuum_changes_nothing(plain: Ground) -> None:
    """VACUUM at both sites, twice, with holes in every table: nothing is compared anew, no copy is in doubt, and all goes on."""
    plain.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name < 'i00003'")
    plain.whole()
    for number in range(2):
        for pool in ("a", "b"):
            with closing(sqlite3.connect(plain.path(pool), isolation_level=None)) as connection:
                connection.execute("VACUUM")
        before = plain.channel("a").export.watermarks
        for pool in ("a", "b"):
            plain.turn(pool)
            assert not plain.fault(pool)
        assert unproved(plain) == []
        assert plain.channel("a").export.watermarks == before
        plain.do("a", f"INSERT INTO item VALUES ('u@a', 'after{number}', 1)")
        plain.tamper("a", f"UPDATE item SET value = {number} + 100 WHERE owner = 'u@b'")
        plain.settle()
        assert plain.ask("b", f"SELECT count(*) FROM item WHERE name = 'after{number}'") == [(1,)]
        assert plain.channel("a").imports.foreign_writes == 6
        begin_verify(plain.sites["b"], Channel.USERS, repair=True)
        plain.whole()


def test_checkpoints_of_the_application(plain: Ground) -> None:
    """At rest nobody of ours stands in the way of a checkpoint of any kind, and none makes a change be missed."""
    for mode in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
        plain.do("a", f"INSERT INTO item VALUES ('u@a', '{mode}', 1)")
        for pool in ("a", "b"):
            with closing(sqlite3.connect(plain.path(pool))) as connection:
                assert connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0] == 0
        whole(plain)


def test_an_application_that_reads_for_hours(plain: Ground) -> None:
    """Whoever reads in one transaction at both sites, for as long as he likes, holds nothing up; `check` and `status` name him."""
    readers = [sqlite3.connect(plain.path(pool), isolation_level=None) for pool in ("a", "b")]
    for reader in readers:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM item").fetchone() == (12,)
    for number in range(5):
        plain.do("a", f"INSERT INTO item VALUES ('u@a', 'long{number}', randomblob(4000000))")
        whole(plain)
        plain.clock.advance(720)
    said = plain.command("b", "check").output
    assert "FAIL  store: P202 another process reads" in said
    for pool in ("a", "b"):
        shown = plain.command(pool, "status")
        assert "another process reads" in shown.output
        assert "MiB of its write-ahead log wait for that; find who has the file open" in " ".join(shown.output.split())
        assert shown.exit_code == 0
    for reader in readers:
        assert reader.execute("SELECT count(*) FROM item").fetchone() == (12,)
        reader.close()
    whole(plain)
    assert "ok    store: " in plain.command("b", "check").output
    assert "another process reads" not in plain.command("b", "status").output


def test_a_transaction_that_reads_first_and_writes_then(plain: Ground) -> None:
    """If the service wrote in between, SQLite refuses it at once, whatever its timeout; one that begins as a writer goes on."""
    change = "UPDATE item SET value = 'read first' WHERE owner = 'u@a'"
    plain.toml("a").write_text(plain.toml("a").read_text() + '[limits]\nlock_wait = "100ms"\n')
    plain.stop("a")
    plain.start("a")
    with closing(sqlite3.connect(plain.path("a"), timeout=60, isolation_level=None)) as application:
        for begin, refused in (("BEGIN", True), ("BEGIN IMMEDIATE", False)):
            plain.do("a", f"INSERT INTO item VALUES ('u@a', '{begin}', 1)")
            application.execute(begin)
            application.execute("SELECT count(*) FROM item").fetchone()
            plain.turn()
            with pytest.raises(sqlite3.OperationalError, match="locked") if refused else nullcontext():
                application.execute(change)
            application.execute("ROLLBACK" if refused else "COMMIT")
    whole(plain)
    assert plain.ask("b", "SELECT count(*) FROM item WHERE value = 'read first'") == [(8,)]


def test_an_application_that_sets_its_journal_mode(plain: Ground) -> None:
    """Put back to a rollback journal while no service runs, the database works on and `check` says so; `init` brings WAL again."""
    for pool in ("a", "b"):
        plain.stop(pool)
    plain.do("a", "PRAGMA journal_mode = DELETE", "UPDATE item SET value = 'x' WHERE owner = 'u@a'")
    for pool in ("a", "b"):
        plain.start(pool)
    whole(plain)
    assert "FAIL  store: P104" in plain.command("a", "check").output
    plain.stop("a")
    assert plain.command("a", "init").exit_code == 0
    plain.start("a")
    assert plain.ask("a", "PRAGMA journal_mode") == [("wal",)]
    whole(plain)


def test_an_application_that_keeps_its_database_to_itself(plain: Ground) -> None:
    """With locking_mode EXCLUSIVE nobody else gets in: P202 as long as that lasts, and then everything arrives."""
    plain.sites["a"].store.close()
    plain.sites.pop("a")
    with closing(sqlite3.connect(plain.path("a"))) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("INSERT INTO item VALUES ('u@a', 'alone', 1)")
        connection.commit()
        assert "FAIL  store: P202" in plain.command("a", "check").output
    plain.start("a")
    whole(plain)


ANEW = (
    "CREATE TABLE new__item (owner TEXT NOT NULL, name TEXT NOT NULL, value, more TEXT NOT NULL DEFAULT 'd', PRIMARY KEY (owner, name))",
    "INSERT INTO new__item (owner, name, value) SELECT owner, name, value FROM item",
    "DROP TABLE item",
    "ALTER TABLE new__item RENAME TO item",
)


def test_a_table_made_anew_by_a_migration(plain: Ground) -> None:
    """As Django and Alembic do it on SQLite, at both sites, with foreign keys on: P205, `init` at each, and all is compared and goes on."""
    for pool in ("a", "b"):
        plain.do(pool, *ANEW)
        initialise(plain.config(pool))
    plain.columns = {"item": "owner, name, value, more"}
    plain.settle()
    plain.do("a", "UPDATE item SET more = 'm' WHERE owner = 'u@a'")
    whole(plain)


def test_a_column_that_is_dropped(plain: Ground) -> None:
    """A column dropped at A waits for B (P204); dropped there too, all goes on."""
    for pool in ("a", "b"):
        plain.do(pool, "ALTER TABLE item ADD COLUMN more")
    plain.do("a", "UPDATE item SET more = 1 WHERE owner = 'u@a'")
    plain.whole()
    plain.do("a", "ALTER TABLE item DROP COLUMN value", "UPDATE item SET more = 2 WHERE owner = 'u@a'")
    plain.settle()
    assert plain.fault("b").startswith("P204")
    plain.do("b", "ALTER TABLE item DROP COLUMN value")
    plain.columns = {"item": "owner, name, more"}
    whole(plain)


def test_a_table_that_is_renamed(plain: Ground) -> None:
    """A table renamed at A is P102 there, since the profile names it otherwise; renamed back, what was written meanwhile arrives."""
    plain.do("a", "ALTER TABLE item RENAME TO thing", "INSERT INTO thing VALUES ('u@a', 'meanwhile', 1)")
    plain.turn("a")
    assert plain.fault("a").startswith("P102 item: there is no such table")
    plain.do("a", "ALTER TABLE thing RENAME TO item")
    plain.settle()
    if plain.fault("a"):
        assert plain.fault("a").startswith("P205")
        initialise(plain.config("a"))
    whole(plain)
    assert plain.ask("b", "SELECT count(*) FROM item WHERE name = 'meanwhile'") == [(1,)]


def test_a_unique_column_cannot_be_dropped_under_the_triggers(plain: Ground) -> None:
    """While a trigger of ours speaks of a column SQLite refuses to drop it, and nothing changes; after `init` without its index it goes."""
    for pool in ("a", "b"):
        plain.do(pool, "ALTER TABLE item ADD COLUMN more", "CREATE UNIQUE INDEX one ON item (more)")
        initialise(plain.config(pool))
    whole(plain)
    with pytest.raises(sqlite3.OperationalError, match="poolpair_1_replace_"):
        plain.do("a", "DROP INDEX one", "ALTER TABLE item DROP COLUMN more")
    for pool in ("a", "b"):
        plain.do(pool, "DROP INDEX IF EXISTS one")
        initialise(plain.config(pool))
        plain.do(pool, "ALTER TABLE item DROP COLUMN more")
    whole(plain)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_large_blobs(plain: Ground) -> None:
    """Blobs and texts of 100 MB arrive whole, are changed, compared and deleted."""
    for kind in ("randomblob(100000000)", "hex(randomblob(50000000))"):
        plain.do("a", f"INSERT OR REPLACE INTO item VALUES ('u@a', 'large', {kind})")
        whole(plain)
    plain.do("a", "UPDATE item SET value = value || 'x' WHERE name = 'large'")
    whole(plain)
    plain.do("a", "DELETE FROM item WHERE name = 'large'")
    whole(plain)
