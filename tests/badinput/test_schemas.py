"""Tables that SQLite allows and that need care: handled, or refused at `init` with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.errors import Code
from poolpair.wiring import initialise
from tests.badinput.ground import ITEM, SCHEMA, first_copy, make_ground, said

STRICT = "CREATE TABLE item (owner TEXT NOT NULL, name ANY NOT NULL, value ANY, PRIMARY KEY (owner, name)) STRICT;"


def test_a_key_of_any_type_stays_what_it_is(tmp_path: Path) -> None:
    """In a STRICT table the text '1', the number 1 and a blob are three keys; each is changed and deleted at B too."""
    ground = make_ground(tmp_path, schema=STRICT, profile=ITEM, columns={"item": "owner, name, value"})
    for pool in ("a", "b"):
        ground.do(
            pool, f"INSERT INTO item VALUES ('u@{pool}', '1', '01'), ('u@{pool}', 1, 1), ('u@{pool}', x'31', 1.0)"
        )
    first_copy(ground)
    ground.do("a", "UPDATE item SET value = 'text' WHERE owner = 'u@a' AND name = '1'")
    ground.whole()
    ground.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name = '1'")
    ground.whole()
    assert ground.ask("b", "SELECT typeof(name) FROM item WHERE owner = 'u@a' ORDER BY 1") == [("blob",), ("integer",)]
    ground.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name = 1")
    ground.whole()
    for pool in ("a", "b"):
        ground.stop(pool)


@pytest.mark.parametrize("name", ["rowid", "ROWID", "poolpair_gen"])
def test_a_column_with_a_name_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    """A column that hides SQLite's own rowid, or is called like one of ours, is P102 at `init`, which says to rename it."""
    schema = SCHEMA.replace("value,", f"{name},")
    ground = make_ground(tmp_path, schema=schema, columns={"item": "owner, name"})
    code, detail = said(ground.command("a", "init"))
    assert code is Code.PROFILE
    assert f'item: column "{name}" has a name that poolpair needs for itself: rename it' in detail


def test_a_key_that_hides_the_row_numbers_of_the_log_is_refused(tmp_path: Path) -> None:
    """The log of keys has the key's columns, and its rows are told by `_rowid_`."""
    ground = make_ground(
        tmp_path,
        schema="CREATE TABLE item (_rowid_ TEXT PRIMARY KEY NOT NULL, v)",
        profile="whole = true\n",
        columns={},
        homes={"shared": "a", "*": "a"},
    )
    code, detail = said(ground.command("a", "init"))
    assert code is Code.PROFILE
    assert 'column "_rowid_" has a name that poolpair needs for itself: rename it' in detail


@pytest.mark.parametrize("name", ["oid", "_rowid_"])
def test_other_names_of_the_rowid_are_names_like_any(tmp_path: Path, name: str) -> None:
    """Columns called oid or _rowid_ travel like others."""
    schema = SCHEMA.replace("value,", f"{name},")
    ground = make_ground(tmp_path, schema=schema, columns={"item": f"owner, name, {name}"})
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item VALUES ('u@{pool}', 'x', 77), ('u@{pool}', 'y', 'text')")
    first_copy(ground)
    ground.do(
        "a",
        f"UPDATE item SET {name} = 5 WHERE owner = 'u@a' AND name = 'x'",
        "DELETE FROM item WHERE owner = 'u@a' AND name = 'y'",
    )
    ground.settle()
    assert ground.rows("a") == ground.rows("b")
    for pool in ("a", "b"):
        ground.stop(pool)


def test_a_serial_called_rowid_may_be_left_out(tmp_path: Path) -> None:
    """An INTEGER PRIMARY KEY is the rowid by whatever name."""
    schema = "CREATE TABLE item (rowid INTEGER PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, value, UNIQUE (owner, name));"
    ground = make_ground(
        tmp_path, schema=schema, profile=ITEM + 'leave_out = ["rowid"]\n', columns={"item": "owner, name, value"}
    )
    for pool in ("a", "b"):
        ground.do(pool, f"INSERT INTO item (owner, name, value) VALUES ('u@{pool}', 'x', 1), ('u@{pool}', 'y', 2)")
    first_copy(ground)
    ground.do("a", "UPDATE item SET value = 9 WHERE name = 'x' AND owner = 'u@a'")
    ground.whole()
    for pool in ("a", "b"):
        ground.stop(pool)


def test_an_index_over_an_expression_made_later_is_followed(tmp_path: Path) -> None:
    """Capture follows an index over an expression that is made after `init`: first it says so, then `init` catches up."""
    ground = first_copy(make_ground(tmp_path))
    ground.do("a", "CREATE UNIQUE INDEX spoken ON item (owner, upper(value || '!'))")
    ground.turn("a")
    assert ground.fault("a").startswith("P205 capture triggers are missing or altered: poolpair_1_replace_")
    initialise(ground.config("a"))
    ground.whole()
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'one', 'loud')")
    ground.whole()
    ground.do("a", "INSERT OR REPLACE INTO item VALUES ('u@a', 'two', 'LOUD')")
    ground.whole()
    assert ground.ask("b", "SELECT name FROM item WHERE value = 'LOUD' COLLATE NOCASE") == [("two",)]
    for pool in ("a", "b"):
        ground.stop(pool)
