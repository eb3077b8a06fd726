"""Tables altered under us, and rows that the target refuses: packages wait or one group is parked; nothing else stops."""

from __future__ import annotations

import pytest

from poolpair.model import ImportStatus
from poolpair.moves import Move
from poolpair.serving.plan import advance, order
from poolpair.wiring import initialise
from tests.badinput.ground import SCHEMA, Ground

REBUILD = (
    "CREATE TABLE fresh (owner TEXT NOT NULL, name TEXT NOT NULL, value{check}, PRIMARY KEY (owner, name))",
    "INSERT INTO fresh SELECT * FROM item",
    "DROP TABLE item",
    "ALTER TABLE fresh RENAME TO item",
)


def rebuild(ground: Ground, pool: str, check: str = "") -> None:
    """Change a table the only way that SQLite has for most changes: make it anew; then `init`, as its hint says."""
    ground.do(pool, *(statement.format(check=check) for statement in REBUILD))


def test_a_column_added_on_one_side_makes_packages_wait(ground: Ground) -> None:
    """A column added at A only is P204 at B naming it; users' changes of both sides wait or go on; ALTER at B frees them."""
    ground.do("a", "ALTER TABLE item ADD COLUMN extra", "UPDATE item SET extra = 'e' WHERE owner = 'u@a'")
    ground.settle()
    assert ground.fault("b").startswith("P204 table item: column extra is lacking here")
    assert ground.status("b").exit_status == 2
    assert "P204" in str(ground.channel("a").export.partner_fault)
    assert ground.ask("b", "SELECT count(*) FROM item") == [(12,)]
    ground.do("b", "ALTER TABLE item ADD COLUMN extra")
    ground.columns["item"] = "owner, name, value, extra"
    ground.whole()
    ground.still_works("b-goes-on")
    ground.whole()


def test_a_group_is_parked_after_a_column_was_added(ground: Ground) -> None:
    """The tables that keep parked and replaced rows follow an ALTER too."""
    for pool in ("a", "b"):
        ground.do(pool, "ALTER TABLE item ADD COLUMN extra")
    ground.columns["item"] = "owner, name, value, extra"
    ground.whole()
    ground.do(
        "b", "CREATE TRIGGER no BEFORE INSERT ON item WHEN NEW.extra = 'bad' BEGIN SELECT RAISE(ABORT, 'not here'); END"
    )
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'n', 1, 'bad')")
    parked(ground, {"n": "not here"})
    ground.do("b", "DROP TRIGGER no")
    retried(ground)


def test_a_renamed_column_makes_packages_wait(ground: Ground) -> None:
    """A column renamed at A only is P204 with both names; renamed at B too, all goes on."""
    ground.do("a", "ALTER TABLE item RENAME COLUMN value TO worth", "UPDATE item SET worth = 'w' WHERE owner = 'u@a'")
    ground.settle()
    assert ground.fault("b") == "P204 table item: column worth is lacking here; column value is lacking at the partner"
    ground.do("b", "ALTER TABLE item RENAME COLUMN value TO worth")
    ground.columns["item"] = "owner, name, worth"
    ground.whole()


def test_a_renamed_key_column_is_said_and_can_be_undone(ground: Ground) -> None:
    """A key column renamed at A does not fit the profile any more: P102 says so; named as before, nothing was missed."""
    ground.do("a", "ALTER TABLE item RENAME COLUMN name TO title")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'meanwhile', 1)")
    ground.turn("a")
    assert ground.fault("a").startswith('P102 item: key names column "name", which the table has not')
    assert ground.status("a").exit_status == 2
    ground.do("a", "ALTER TABLE item RENAME COLUMN title TO name")
    ground.settle()
    if ground.fault("a"):
        assert ground.fault("a").startswith("P205")
        initialise(ground.config("a"))
    ground.whole()


def test_a_table_dropped_and_made_anew_is_seen_and_healed(ground: Ground) -> None:
    """The triggers are gone with the table: P205 even if nothing else happens; `init` puts them back and compares both copies."""
    ground.do("a", "DROP TABLE item", SCHEMA.split(";")[0])
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'unseen', 1)")
    ground.turn("a")
    assert ground.fault("a").startswith("P205 capture triggers are missing or altered: poolpair_1_delete")
    assert ground.status("a").exit_status == 2
    assert ground.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@a'") == [(6,)]
    done = initialise(ground.config("a"))
    assert len(done.repaired) == 6
    ground.settle()
    assert ground.ask("b", "SELECT name FROM item WHERE owner = 'u@a'") == [("unseen",)]
    initialise(ground.config("b"))
    repair(ground, "b")
    ground.whole()


def repair(ground: Ground, pool: str) -> None:
    """What `poolpair verify --repair` asks of a running service."""
    from dataclasses import replace

    from poolpair.state import Outbound, Seed

    with ground.sites[pool].store.transaction() as tx:
        out = tx.load(Outbound, "outbound/users")
        assert out is not None
        tx.save("outbound/users", replace(out, seed=Seed(reason="verify", repair=True)))


def test_a_dropped_trigger_is_seen(ground: Ground) -> None:
    """A capture trigger dropped by somebody is P205, and what was written meanwhile arrives after `init`."""
    ground.do("a", "DROP TRIGGER poolpair_1_update", "UPDATE item SET value = 'unseen' WHERE owner = 'u@a'")
    ground.turn("a")
    assert ground.fault("a") == "P205 capture triggers are missing or altered: poolpair_1_update"
    initialise(ground.config("a"))
    ground.whole()
    assert ground.ask("b", "SELECT DISTINCT value FROM item WHERE owner = 'u@a'") == [("unseen",)]


def parked(ground: Ground, reasons: dict[str, str]) -> None:
    """Exactly these groups of A are parked at B with these reasons; the rest is equal; both sides say Degraded."""
    ground.settle()
    listed = ground.sites["b"].store.parked()
    assert {group.key: group.reason for group in listed} == {
        f"owner=u@a, name={name}": why for name, why in reasons.items()
    }
    rest = [row for row in ground.rows("a") if row[4] not in {name.encode() for name in reasons}]
    assert rest == [row for row in ground.rows("b") if row[4] not in {name.encode() for name in reasons}]
    assert ground.channel("b").imports.status is ImportStatus.DEGRADED
    assert ground.channel("a").export.partner_parked == len(reasons)
    assert ground.status("a").exit_status == 1
    assert ground.status("b").exit_status == 1
    assert not ground.fault("b")
    ground.still_works("b-goes-on")
    for name, why in reasons.items():
        assert f"name={name}\t{why}" in ground.command("b", "parked", "list").output


def retried(ground: Ground) -> None:
    """`parked retry` applies everything."""
    result = ground.command("b", "parked", "retry")
    assert result.exit_code == 0, result.output
    assert ground.command("b", "parked", "list").output == ""
    ground.whole()


def test_a_check_at_the_target_parks_one_group(ground: Ground) -> None:
    """A CHECK that only B has parks the rows that violate it, and an older version stays; mended, retry applies them."""
    rebuild(ground, "b", " CHECK (value IS NOT 'bad')")
    initialise(ground.config("b"))
    ground.whole()
    ground.do(
        "a",
        "UPDATE item SET value = 'bad' WHERE owner = 'u@a' AND name = 'i00003'",
        "INSERT INTO item VALUES ('u@a', 'n', 'bad')",
    )
    ground.do(
        "a",
        "UPDATE item SET value = 'good' WHERE owner = 'u@a' AND name <> 'i00003' AND name <> 'n'",
        "DELETE FROM item WHERE owner = 'u@a' AND name = 'i00000'",
    )
    why = "CHECK constraint failed: value IS NOT 'bad'"
    parked(ground, {"i00003": why, "n": why})
    assert ground.ask("b", "SELECT name, value FROM item WHERE owner = 'u@a' AND name IN ('i00003', 'n')") == [
        ("i00003", 3)
    ]
    assert ground.command("b", "parked", "retry").exit_code == 1
    parked(ground, {"i00003": why, "n": why})
    rebuild(ground, "b")
    initialise(ground.config("b"))
    retried(ground)


def test_a_not_null_at_the_target_parks_one_group(ground: Ground) -> None:
    """NOT NULL that only B has parks one group; a newer value from A takes its place without any command."""
    rebuild(ground, "b", " NOT NULL")
    initialise(ground.config("b"))
    ground.do("a", "UPDATE item SET value = NULL WHERE owner = 'u@a' AND name = 'i00003'")
    parked(ground, {"i00003": "NOT NULL constraint failed: item.value"})
    ground.do("a", "UPDATE item SET value = 'again' WHERE owner = 'u@a' AND name = 'i00003'")
    ground.whole()


def test_a_unique_index_at_the_target_parks_one_group(ground: Ground) -> None:
    """A UNIQUE index that only B has parks the one row that collides; B asks for `init`, since REPLACE could now delete unseen."""
    ground.do("a", "UPDATE item SET value = 'a' || value WHERE owner = 'u@a'")
    ground.do("b", "UPDATE item SET value = 'b' || value WHERE owner = 'u@b'")
    ground.whole()
    ground.do("b", "CREATE UNIQUE INDEX one ON item (value)")
    ground.turn("b")
    assert ground.fault("b").startswith("P205")
    initialise(ground.config("b"))
    ground.do("a", "UPDATE item SET value = 'b2' WHERE owner = 'u@a' AND name = 'i00003'")
    parked(ground, {"i00003": "UNIQUE constraint failed: item.value"})
    ground.do("b", "DROP INDEX one")
    initialise(ground.config("b"))
    retried(ground)


@pytest.mark.parametrize("how", ["ABORT", "FAIL", "ROLLBACK"])
def test_a_trigger_of_the_application_parks_one_group(ground: Ground, how: str) -> None:
    """A trigger at B that refuses parks exactly that group, in whichever way it refuses; the transaction stays whole."""
    ground.do(
        "b",
        f"CREATE TRIGGER no BEFORE INSERT ON item WHEN NEW.value = 'bad' BEGIN SELECT RAISE({how}, 'not here'); END",
    )
    ground.do("a", *(f"INSERT INTO item VALUES ('u@a', 'n{n}', '{'bad' if n == 4 else 'good'}')" for n in range(9)))
    parked(ground, {"n4": "not here"})
    ground.do("b", "DROP TRIGGER no")
    retried(ground)


def test_a_refused_deletion_is_parked(ground: Ground) -> None:
    """A trigger at B that refuses a deletion parks that group; its row stays until the retry."""
    ground.do(
        "b",
        "CREATE TRIGGER no BEFORE DELETE ON item WHEN OLD.name = 'i00003' BEGIN SELECT RAISE(ABORT, 'keep it'); END",
    )
    ground.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name >= 'i00002'")
    parked(ground, {"i00003": "keep it"})
    assert ground.ask("b", "SELECT name FROM item WHERE owner = 'u@a' AND name >= 'i00002'") == [("i00003",)]
    ground.do("b", "DROP TRIGGER no")
    retried(ground)


@pytest.mark.parametrize("step", [1, -1])
def test_a_unique_value_that_a_dead_site_handed_on_is_merged(ground: Ground, step: int) -> None:
    """Whoever takes it may come before whoever gave it up, in either direction: nothing of it is in the ledger."""
    values = "'mail' || (CAST(name AS integer) + {})"
    for pool in ("a", "b"):
        ground.do(pool, "CREATE UNIQUE INDEX one ON item (value) WHERE value LIKE '%mail%'")
        initialise(ground.config(pool))
    ground.do("a", *(f"INSERT INTO item (owner, name, value) VALUES ('m@a', {n}, 'mail{n}')" for n in range(7)))
    ground.whole()
    ground.stop("a")
    ground.do(
        "a",
        "UPDATE item SET value = 'old ' || value WHERE owner = 'm@a'",
        f"UPDATE item SET value = {values.format(step)} WHERE owner = 'm@a'",
    )
    order(ground.sites["b"], Move.TAKEOVER, "a")
    for _ in range(30):
        ground.turn(force=True)
        advance(ground.sites["b"])
    ground.start("a")
    ground.settle(force=True)
    assert ground.sites["b"].store.ledger() == ()
    assert (f"mail{3 + step}",) in ground.ask("b", "SELECT value FROM item WHERE owner = 'm@a' AND name = '3'")
    assert ground.rows("a") == ground.rows("b")


def test_a_column_that_came_after_rows_were_spooled_holds_what_stands_or_its_default(ground: Ground) -> None:
    """The server was upgraded while a returned pool was not: what that had kept is merged when its tables follow."""
    ground.whole()
    ground.stop("a")
    ground.do("a", "UPDATE item SET value = 'late' WHERE owner = 'u@a'")
    order(ground.sites["b"], Move.TAKEOVER, "a")
    for _ in range(30):
        ground.turn(force=True)
        advance(ground.sites["b"])
    added = "ALTER TABLE item ADD COLUMN lang TEXT NOT NULL DEFAULT 'en'"
    ground.do("b", added)
    ground.start("a")
    ground.settle(force=True)
    ground.do("a", added)
    ground.columns["item"] = "owner, name, value, lang"
    ground.settle(force=True)
    assert ground.ask("b", "SELECT DISTINCT value, lang FROM item WHERE owner = 'u@a'") == [("late", "en")]
    assert ground.sites["b"].store.ledger() == ()
    assert ground.rows("a") == ground.rows("b")
