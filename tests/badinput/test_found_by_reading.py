"""What a reader of the code found for SQLite, each played in a pair: a row was lost or came twice, or one group stopped a channel."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify
from poolpair.errors import Code
from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.pipeline import pack as packing
from poolpair.pipeline.site import Site
from poolpair.protocol import Want
from poolpair.serving.plan import advance, order
from poolpair.state import Intent
from poolpair.wiring import initialise
from tests.badinput.ground import Ground, first_copy, make_ground, said
from tests.badinput.test_hostile_tables import entry
from tests.badinput.test_tables import parked, retried
from tests.badinput.test_values import whole


def settle(ground: Ground) -> None:
    """Passes and plans until nothing moves."""
    for _ in range(8):
        ground.settle()
        if not any([advance(site) for site in ground.sites.values()]):
            return


def take_over(ground: Ground) -> None:
    """The service of a ends, and b takes over."""
    ground.stop("a")
    order(ground.sites["b"], Move.TAKEOVER, "a")
    while advance(ground.sites["b"]):
        pass


def stop(ground: Ground) -> None:
    """End both services."""
    for pool in tuple(ground.sites):
        ground.stop(pool)


@pytest.mark.parametrize("how", ["REPLACE", "IGNORE"])
def test_recovery_does_not_obey_what_a_table_says_of_conflicts(tmp_path: Path, how: str) -> None:
    """A place taken on both sides: what the server accepted stays, the returned row is in the ledger and not thrown away."""
    schema = (
        "CREATE TABLE seat (owner TEXT NOT NULL, name TEXT NOT NULL, place INTEGER, value, PRIMARY KEY (owner, name),"
        f" UNIQUE (owner, place) ON CONFLICT {how});"
    )
    ground = make_ground(
        tmp_path,
        schema=schema,
        profile=entry("seat", "owner", "name"),
        columns={"seat": "owner, name, place, value"},
    )
    first_copy(ground)
    take_over(ground)
    ground.do("a", "INSERT INTO seat VALUES ('u@a', 'old', 5, 'returned')")
    ground.do("b", "INSERT INTO seat VALUES ('u@a', 'new', 5, 'served')")
    ground.start("a")
    settle(ground)
    for pool in ("a", "b"):
        assert ground.ask(pool, "SELECT name, value FROM seat WHERE owner = 'u@a'") == [("new", "served")]
        (listed,) = ground.sites[pool].store.ledger()
        assert ("old" in listed.key, "returned" in listed.theirs, listed.ours) == (True, True, "[]")
    stop(ground)


def test_a_migration_while_a_package_is_cut_is_in_the_next_one(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """It commits between the look at the tables and the view: nothing is cut, no intent stays, and the pass after that is well."""
    query = "SELECT count(*) FROM poolpair_document WHERE name GLOB 'intent/users*'"
    before, intend = ground.ask("a", query), packing._intend

    def migrated(site: Site, channel: Channel, wanted: Want) -> tuple[Intent, int]:
        monkeypatch.undo()
        ground.do("a", "ALTER TABLE item ADD COLUMN extra DEFAULT 0", "UPDATE item SET extra = 42 WHERE owner = 'u@a'")
        return intend(site, channel, wanted)

    ground.do("a", "INSERT INTO item VALUES ('u@a', 'fresh', 1)")
    monkeypatch.setattr(packing, "_intend", migrated)
    ground.turn("a")
    assert ground.fault("a").startswith("P202")
    assert ground.ask("a", query) == before
    ground.turn("a")
    assert not ground.fault("a")
    ground.settle()
    ground.do("b", "ALTER TABLE item ADD COLUMN extra DEFAULT 0")
    ground.columns["item"] = "owner, name, value, extra"
    ground.whole()
    assert ground.ask("b", "SELECT DISTINCT extra FROM item WHERE owner = 'u@a'") == [(42,)]


def rebuild(ground: Ground, value: str) -> None:
    """A tool of the application's makes table item anew at a, every value changed on the way, and puts our triggers back as they were."""
    with closing(sqlite3.connect(ground.path("a"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'item' ORDER BY rowid"
        triggers = connection.execute(query).fetchall()
        connection.execute(
            "CREATE TABLE fresh (owner TEXT NOT NULL, name TEXT NOT NULL, value, PRIMARY KEY (owner, name))"
        )
        connection.execute(f"INSERT INTO fresh SELECT owner, name, '{value}' FROM item WHERE owner = 'u@a'")
        connection.execute("INSERT INTO fresh SELECT * FROM item WHERE owner <> 'u@a'")
        connection.execute("DROP TABLE item")
        connection.execute("ALTER TABLE fresh RENAME TO item")
        for (sql,) in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")


def test_each_rebuild_that_puts_the_triggers_back_is_seen(ground: Ground) -> None:
    """However often a table is made anew in the same way; VACUUM between is no reason for doubt, and neither is init."""
    store = ground.sites["a"].store
    for value in ("once", "twice", "thrice"):
        rebuild(ground, value)
        ground.whole()
        assert ground.ask("b", "SELECT DISTINCT value FROM item WHERE owner = 'u@a'") == [(value,)]
        mark = store.check_capture()
        ground.do("a", "CREATE TABLE IF NOT EXISTS other (a)")
        with closing(sqlite3.connect(ground.path("a"), isolation_level=None)) as connection:
            connection.execute("VACUUM")
        initialise(ground.config("a"))
        assert store.check_capture() == mark


def test_triggers_that_were_away_for_a_moment_are_missed(ground: Ground) -> None:
    """Dropped, and put back by whoever dropped them, in the same order and at the same place: what was written between arrives."""
    listed = ground.ask(
        "a", "SELECT name, sql FROM sqlite_master WHERE name GLOB 'poolpair_[0-9]*_*' AND type = 'trigger'"
    )
    for value in ("once", "twice"):
        ground.do(
            "a",
            *(f"DROP TRIGGER {name}" for name, _ in listed),
            f"UPDATE item SET value = '{value}' WHERE owner = 'u@a'",
            *(str(sql) for _, sql in listed),
        )
        ground.whole()
        assert ground.ask("b", "SELECT DISTINCT value FROM item WHERE owner = 'u@a'") == [(value,)]


def test_a_value_that_an_index_cannot_compute_parks_one_group(ground: Ground) -> None:
    """An index over JSON that only b has, and a text that is none: one group waits with SQLite's words, its neighbours arrive."""
    ground.do("b", "CREATE INDEX spoken ON item (json_extract(value, '$.x'))")
    ground.do(
        "a",
        *(f"INSERT INTO item VALUES ('u@a', 'n{n}', {n if n != 4 else chr(39) + '{bad' + chr(39)})" for n in range(9)),
    )
    ground.do("a", "UPDATE item SET value = '{worse' WHERE owner = 'u@a' AND name = 'i00003'")
    parked(ground, {"n4": "malformed JSON", "i00003": "malformed JSON"})
    assert ground.command("b", "parked", "retry").exit_code == 1
    assert ground.ask("b", "SELECT value FROM item WHERE owner = 'u@a' AND name = 'i00003'") == [(3,)]
    ground.do("b", "DROP INDEX spoken")
    retried(ground)


def test_a_trigger_that_cannot_be_compiled_parks_nothing(ground: Ground) -> None:
    """It is no group's fault: the package waits, the reason is said, and with the table that it lacks everything arrives."""
    ground.do("b", "CREATE TRIGGER t AFTER INSERT ON item BEGIN INSERT INTO gone VALUES (1); END")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'n', 1)")
    ground.settle()
    assert ground.fault("b").startswith("P203")
    assert "no such table: main.gone" in ground.fault("b")
    assert not ground.sites["b"].store.parked()
    ground.do("b", "CREATE TABLE gone (a)")
    ground.whole()


def test_a_scratch_folder_of_any_name(tmp_path: Path) -> None:
    """What means something in an address means nothing in the name of a folder: packages are cut and applied there as anywhere."""
    ground = make_ground(tmp_path)
    for pool in ("a", "b"):
        folder = tmp_path / f"scratch {pool} #1 50%41?x=y&z"
        folder.mkdir()
        ground.toml(pool).write_text(f'scratch = "{folder}"\n' + ground.toml(pool).read_text())
    first_copy(ground)
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'n', 1)")
    ground.whole()
    assert ground.quarantined("b") == ()
    stop(ground)


@pytest.mark.parametrize("columns", [64, 130, pytest.param(1998, marks=pytest.mark.long)])
def test_a_table_without_a_key_may_have_very_many_columns(tmp_path: Path, columns: int) -> None:
    """A row is told by all of them: it is changed, deleted and compared in parts as any other, and the parts are those of a short row."""
    names = [f"c{n}" for n in range(columns - 1)]
    ground = make_ground(
        tmp_path,
        schema=f"CREATE TABLE wide (owner TEXT NOT NULL, {', '.join(names)});",
        profile=entry("wide", "owner", *names),
        columns={"wide": "owner, c0, c5, " + names[-1]},
    )
    for pool in ("a", "b"):
        ground.do(
            pool, *(f"INSERT INTO wide (owner, c0, {names[-1]}) VALUES ('u@{pool}', {n}, 'x')" for n in range(600))
        )
    first_copy(ground)
    ground.do(
        "a",
        "UPDATE wide SET c5 = 'y' WHERE c0 < 3 AND owner = 'u@a'",
        "DELETE FROM wide WHERE c0 = 5 AND owner = 'u@a'",
    )
    whole(ground)
    ground.tamper("b", "UPDATE wide SET c5 = 'stray' WHERE owner = 'u@a' AND c0 = 7")
    begin_verify(ground.sites["a"], Channel.USERS, repair=True)
    ground.settle()
    assert ground.ask("b", "SELECT count(*) FROM wide WHERE c5 = 'stray'") == [(0,)]
    assert ground.rows("a") == ground.rows("b")
    stop(ground)


def test_an_integer_key_that_runs_downwards_is_no_row_number(tmp_path: Path) -> None:
    """INTEGER PRIMARY KEY DESC may be NULL, more than once: such rows are carried and told apart from those that have a number."""
    ground = make_ground(
        tmp_path,
        schema="CREATE TABLE down (id INTEGER PRIMARY KEY DESC, owner TEXT NOT NULL, value);",
        profile=entry("down", "id", "owner"),
        columns={"down": "id, owner, value"},
    )
    ground.do("a", "INSERT INTO down VALUES (NULL, 'u@a', 'x'), (NULL, 'u@a', 'y'), (5, 'u@a', 'z')")
    first_copy(ground)
    ground.do("a", "UPDATE down SET value = 'changed' WHERE value = 'y'", "INSERT INTO down VALUES (NULL, 'u@a', 'w')")
    ground.do(
        "a", "INSERT OR REPLACE INTO down VALUES (5, 'v@a', 'in its place')", "DELETE FROM down WHERE value = 'x'"
    )
    whole(ground)
    stop(ground)


def test_a_table_wider_than_ours_can_be_is_refused(tmp_path: Path) -> None:
    """Tables of ours have up to two columns more than the application's: with 1,999 `init` says so, before anything is made."""
    many = ", ".join(f"c{n}" for n in range(1997))
    ground = make_ground(
        tmp_path,
        schema=f"CREATE TABLE item (owner TEXT PRIMARY KEY NOT NULL, name, {many});",
        profile=entry("item", "owner"),
        columns={"item": "owner"},
    )
    code, detail = said(ground.command("a", "init"))
    assert (code, "it has 1999 columns" in detail) == (Code.PROFILE, True), detail
    assert ground.ask("a", "SELECT name FROM sqlite_master WHERE name LIKE 'poolpair%'") == []
