"""Tables that differ between the sites in more than names, or came to hold other values without a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.wiring import initialise
from tests.badinput.ground import ITEM, SCHEMA, Ground, first_copy, make_ground

TYPED = "CREATE TABLE t (id INTEGER PRIMARY KEY, zip TEXT, v); CREATE TABLE s (id INTEGER PRIMARY KEY, x, y)"


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Ground]:
    """A whole application that a serves, with rows in both tables."""
    homes = {"shared": "a", "*": "a"}
    made = make_ground(
        tmp_path, schema=TYPED, profile="whole = true\n", columns={"t": "id, zip", "s": "id, x, y"}, homes=homes
    )
    made.do("a", "INSERT INTO t VALUES (1, '01234', 'one'), (2, NULL, 'two')", "INSERT INTO s VALUES (1, 'x', 'y')")
    yield first_copy(made)
    for pool in tuple(made.sites):
        made.stop(pool)


def rebuild(ground: Ground, column: str) -> None:
    """The other release of the application's, at b: `t` is made anew with another column; then `init`, as its hint says."""
    ground.stop("b")
    ground.do(
        "b",
        f"CREATE TABLE fresh (id INTEGER PRIMARY KEY, {column}, v)",
        "INSERT INTO fresh SELECT * FROM t",
        "DROP TABLE t",
        "ALTER TABLE fresh RENAME TO t",
    )
    initialise(ground.config("b"))
    ground.start("b")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("zip INTEGER", "column zip is TEXT at the partner and NUMERIC here"),
        ("zip TEXT COLLATE NOCASE", "column zip is TEXT at the partner and TEXT NOCASE here"),
    ],
)
def test_a_column_of_another_kind_waits(typed: Ground, column: str, words: str) -> None:
    """It would make a number of '00042', or take two texts for one: nothing is applied until both sites have the same."""
    rebuild(typed, column)
    typed.do("a", "INSERT INTO t VALUES (3, '00042', 'three')")
    typed.settle()
    assert typed.fault("b") == f"P204 table t: {words}"
    rebuild(typed, "zip TEXT")
    typed.settle(force=True)
    assert typed.ask("b", "SELECT zip FROM t ORDER BY id") == [("01234",), (None,), ("00042",)]


@pytest.mark.parametrize(
    "changes",
    [
        ("ALTER TABLE t DROP COLUMN v", "ALTER TABLE t ADD COLUMN v"),
        tuple(f"ALTER TABLE s RENAME COLUMN {one} TO {other}" for one, other in ("xz", "yx", "zy")),
    ],
    ids=["dropped-and-put-back", "renamed-into-each-other"],
)
def test_columns_that_come_to_hold_other_values_are_compared(typed: Ground, changes: tuple[str, ...]) -> None:
    """Nothing is logged, and the tables are the same again: the copy is not called complete before both were compared."""
    for change in changes:
        typed.do("a", change)
        typed.turn()
    typed.settle(force=True)
    for query in ("SELECT id, v FROM t ORDER BY id", "SELECT id, x, y FROM s"):
        assert typed.ask("a", query) == typed.ask("b", query)


def test_columns_in_another_order_compare_equal(tmp_path: Path) -> None:
    """One site has run every migration, the other began with the newest tables: the pair comes to rest, and finds what differs."""
    homes = {"shared": "a", "*": "a"}
    ground = make_ground(
        tmp_path,
        schema="CREATE TABLE s (id INTEGER PRIMARY KEY, x, y)",
        profile="whole = true\n",
        columns={"s": "id, x, y"},
        homes=homes,
    )
    ground.do("b", "DROP TABLE s", "CREATE TABLE s (id INTEGER PRIMARY KEY, y, x)")
    ground.do("a", "INSERT INTO s VALUES (1, 'x', 'y'), (2, 'xx', 'yy')")
    for pool in ("a", "b"):
        initialise(ground.config(pool))
    first_copy(ground)
    ground.do("a", "UPDATE s SET y = 'new' WHERE id = 2")
    ground.settle(force=True)
    assert ground.ask("b", "SELECT x, y FROM s ORDER BY id") == [("x", "y"), ("xx", "new")]
    assert ground.status("a").exit_status == 0
    for pool in ("a", "b"):
        ground.stop(pool)


def test_sites_swapped_by_mistake_lose_nothing(tmp_path: Path) -> None:
    """All rows of a's users stand at b alone, in a table that a condition narrows: the first copy is held before it deletes any."""
    profile = ITEM + "where = \"name LIKE '%'\"\n"
    ground = make_ground(tmp_path, schema=SCHEMA, profile=profile, columns={"item": "owner, name, value"})
    ground.do("b", "INSERT INTO item VALUES ('u@a', 'x', 1), ('u@a', 'y', 2)")
    for pool in ("a", "b"):
        initialise(ground.config(pool))
        ground.start(pool)
    ground.settle()
    assert ground.ask("b", "SELECT count(*) FROM item") == [(2,)]
    assert "deletes 2 of 2 in item: its first copy" in ground.command("b", "held", "list").output
    for pool in ("a", "b"):
        ground.stop(pool)
