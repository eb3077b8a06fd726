"""The application's own triggers at the target: skipped where the profile says so, survived where they roll everything back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify
from poolpair.model import Channel
from tests.badinput.ground import ITEM, Ground, first_copy, make_ground
from tests.badinput.test_tables import parked, retried

BAD = "CREATE TRIGGER no BEFORE INSERT ON item WHEN NEW.value = 'bad' BEGIN SELECT RAISE({how}, 'not here'); END"


@pytest.fixture
def skipping(tmp_path: Path) -> Iterator[Ground]:
    """A pair whose profile lets no trigger of the application fire."""
    made = make_ground(tmp_path, profile=f'{ITEM}triggers = "skip"\n', files=0)
    made.columns = {"item": "owner, name, value"}
    first_copy(made)
    yield made
    for pool in ("a", "b"):
        made.stop(pool)


def test_skipped_triggers_neither_refuse_nor_vanish(skipping: Ground) -> None:
    """A refusing trigger at B is not asked, and stands as before afterwards, also after a refused row."""
    skipping.do("b", BAD.format(how="ABORT"))
    skipping.do("a", "INSERT INTO item VALUES ('u@a', 'n', 'bad')")
    skipping.whole()
    assert skipping.ask("b", "SELECT count(*) FROM sqlite_master WHERE name = 'no'") == [(1,)]


def test_a_retry_fires_no_skipped_trigger(skipping: Ground) -> None:
    """`parked retry` asks the application's triggers no more than an apply does, whether the group is taken or refused again."""
    skipping.do("b", "CREATE TABLE seen (name)", "CREATE UNIQUE INDEX one ON item (value) WHERE value = 'taken'")
    skipping.do("b", "CREATE TRIGGER see AFTER INSERT ON item BEGIN INSERT INTO seen VALUES (NEW.name); END")
    skipping.do("b", "UPDATE item SET value = 'taken' WHERE owner = 'u@b' AND name = 'i00001'")
    skipping.command("b", "init")
    skipping.whole()
    skipping.do("a", "INSERT INTO item VALUES ('u@a', 'n', 'taken')")
    parked(skipping, {"n": "UNIQUE constraint failed: item.value"})
    assert skipping.ask("b", "SELECT * FROM seen WHERE name = 'n'") == []
    assert skipping.command("b", "parked", "retry").exit_code == 1
    skipping.do("b", "UPDATE item SET value = 'free' WHERE owner = 'u@b' AND name = 'i00001'")
    retried(skipping)
    assert skipping.ask("b", "SELECT * FROM seen WHERE name = 'n'") == []
    skipping.do("b", "INSERT INTO item VALUES ('u@b', 'own', 'x')")
    assert skipping.ask("b", "SELECT * FROM seen WHERE name = 'own'") == [("own",)]


def test_triggers_that_roll_back_park_their_groups_only(ground: Ground) -> None:
    """Refused insertions, an update and a deletion among many groups, each ending the transaction: each is parked alone."""
    ground.do(
        "b",
        BAD.format(how="ROLLBACK"),
        "CREATE TRIGGER keep BEFORE DELETE ON item WHEN OLD.name = 'i00003' BEGIN SELECT RAISE(ROLLBACK, 'keep it'); END",
        "CREATE TRIGGER ban BEFORE UPDATE ON item WHEN NEW.value = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'no such value'); END",
    )
    ground.do(
        "a",
        *(f"INSERT INTO item VALUES ('u@a', 'n{n:02d}', '{'bad' if n in {4, 5, 17} else 'good'}')" for n in range(40)),
        "UPDATE item SET value = 'bad' WHERE owner = 'u@a' AND name = 'i00001'",
        "DELETE FROM item WHERE owner = 'u@a' AND name = 'i00003'",
    )
    reasons = {"n04": "not here", "n05": "not here", "n17": "not here", "i00003": "keep it", "i00001": "not here"}
    parked(ground, reasons)
    rows = ground.ask(
        "b", "SELECT name, value FROM item WHERE owner = 'u@a' AND name IN ('i00001', 'i00003') ORDER BY 1"
    )
    assert rows == [("i00001", 1), ("i00003", 3)]
    assert ground.command("b", "parked", "retry").exit_code == 1
    parked(ground, reasons)
    ground.do("b", *(f"DROP TRIGGER {name}" for name in ("no", "keep", "ban")))
    retried(ground)


def test_an_older_row_that_cannot_be_put_back_is_not_taken_out(ground: Ground) -> None:
    """Where a trigger rolls back because the old row returns, the group is parked before it is touched."""
    ground.do("b", "CREATE UNIQUE INDEX one ON item (value) WHERE value = 'taken'")
    ground.command("b", "init")
    ground.do("b", "UPDATE item SET value = 'taken' WHERE owner = 'u@b' AND name = 'i00001'")
    ground.whole()
    ground.do(
        "b", "CREATE TRIGGER no BEFORE INSERT ON item WHEN NEW.value = 2 BEGIN SELECT RAISE(ROLLBACK, 'not again'); END"
    )
    ground.do("a", "UPDATE item SET value = 'taken' WHERE owner = 'u@a' AND name = 'i00002'")
    parked(ground, {"i00002": "not again"})
    assert ground.ask("b", "SELECT value FROM item WHERE owner = 'u@a' AND name = 'i00002'") == [(2,)]
    ground.do("b", "DROP TRIGGER no", "DROP INDEX one")
    ground.command("b", "init")
    retried(ground)


def test_a_deletion_of_a_repair_that_is_rolled_back_waits(ground: Ground) -> None:
    """What a repair would delete is no group of the package and cannot be parked: P203 names the reason, and other work goes on."""
    ground.tamper("b", "INSERT INTO item VALUES ('u@a', 'stray', 1)")
    ground.settle()
    ground.do(
        "b",
        "CREATE TRIGGER keep BEFORE DELETE ON item WHEN OLD.name = 'stray' BEGIN SELECT RAISE(ROLLBACK, 'keep it'); END",
    )
    begin_verify(ground.sites["a"], Channel.USERS, repair=True)
    ground.settle()
    assert ground.fault("b").startswith("P203")
    assert "rolled back with the whole transaction: keep it" in ground.fault("b")
    ground.still_works("b-goes-on")
    ground.do("b", "DROP TRIGGER keep")
    ground.whole()
