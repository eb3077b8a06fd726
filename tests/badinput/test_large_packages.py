"""A large package at the target: our triggers are away while it is written, and nobody can tell afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.store.sqlite import uncaptured
from tests.badinput.ground import ITEM, Ground, first_copy, make_ground

CATALOGUE = "SELECT type, name, sql FROM sqlite_master WHERE type <> 'index' ORDER BY rowid"
MANY = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    " INSERT INTO item SELECT 'u@a', 'many' || i, i FROM n"
)


@pytest.fixture
def firing(tmp_path: Path) -> Iterator[Ground]:
    """A pair whose profile lets the application's triggers run."""
    made = make_ground(tmp_path, profile=f'{ITEM}triggers = "fire"\n', files=0)
    made.columns = {"item": "owner, name, value"}
    first_copy(made)
    yield made
    for pool in ("a", "b"):
        made.stop(pool)


def test_the_catalogue_and_the_log_are_as_before(ground: Ground) -> None:
    """Nothing of a large package is logged at the target, the triggers stand where they stood, and capture goes on."""
    ground.whole()
    before, version = ground.ask("b", CATALOGUE), ground.ask("b", "PRAGMA schema_version")
    ground.do("a", MANY.format(count=uncaptured.MANY + 1))
    ground.whole()
    assert ground.ask("b", "PRAGMA schema_version") > version  # they were away
    assert ground.ask("b", CATALOGUE) == before
    assert ground.ask("b", "SELECT count(*) FROM poolpair_log_1") == [(0,)]
    ground.do("b", "INSERT INTO item VALUES ('u@b', 'afterwards', 1)")
    ground.whole()
    assert ground.ask("a", "SELECT value FROM item WHERE name = 'afterwards'") == [(1,)]


def test_a_refused_row_of_many_is_parked(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constraint at the target stops one group, the rest stands, and so do the triggers."""
    monkeypatch.setattr(uncaptured, "MANY", 2)
    ground.do("b", "CREATE UNIQUE INDEX one ON item (value) WHERE value = 'taken'")
    ground.do("b", "UPDATE item SET value = 'taken' WHERE owner = 'u@b' AND name = 'i00001'")
    ground.command("b", "init")
    ground.whole()
    before = ground.ask("b", CATALOGUE)
    ground.do("a", MANY.format(count=9), "UPDATE item SET value = 'taken' WHERE name = 'many5'")
    ground.turn()
    ground.settle()
    assert [group.key for group in ground.sites["b"].store.parked()] == ["owner=u@a, name=many5"]
    assert ground.ask("b", "SELECT count(*) FROM item WHERE name GLOB 'many*'") == [(8,)]
    assert ground.ask("b", CATALOGUE) == before


def test_where_a_trigger_runs_ours_stay(firing: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a trigger of the application's makes of arriving rows, in a home of this pool, is captured."""
    monkeypatch.setattr(uncaptured, "MANY", 2)
    into = "INSERT INTO item VALUES ('u@b', NEW.name, 'seen')"
    answer = f"CREATE TRIGGER answer AFTER INSERT ON item WHEN NEW.owner = 'u@a' BEGIN {into}; END"
    firing.do("b", answer)
    firing.command("b", "init")
    firing.whole()
    firing.do("a", MANY.format(count=9))
    firing.whole()
    assert firing.ask("a", "SELECT count(*) FROM item WHERE owner = 'u@b' AND value = 'seen'") == [(9,)]


def test_a_table_that_came_later_keeps_ours_where_they_are(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracked table behind our triggers in the catalogue: putting them back would look as if it had been made anew."""
    monkeypatch.setattr(uncaptured, "MANY", 2)
    ground.do(
        "b",
        "CREATE TABLE anew (owner TEXT NOT NULL, name TEXT NOT NULL, value, PRIMARY KEY (owner, name))",
        "INSERT INTO anew SELECT * FROM item",
        "DROP TABLE item",
        "ALTER TABLE anew RENAME TO item",
    )
    ground.command("b", "init")
    ground.whole()
    version = ground.ask("b", "PRAGMA schema_version")
    ground.do("a", MANY.format(count=9))
    ground.whole()
    assert ground.ask("b", "PRAGMA schema_version") == version
