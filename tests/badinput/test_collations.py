"""A key is told as its column is declared to compare: an index may say otherwise, and none need be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.badinput.ground import Ground, first_copy, make_ground
from tests.badinput.test_hostile_tables import entry
from tests.badinput.test_values import whole

SCHEMA = """
CREATE TABLE person (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, email TEXT NOT NULL, value);
CREATE UNIQUE INDEX person_email ON person (owner, email COLLATE NOCASE);
CREATE TABLE loose (owner TEXT NOT NULL, name TEXT COLLATE NOCASE, part COLLATE RTRIM, value);
CREATE TABLE exact (owner TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE, value);
CREATE UNIQUE INDEX exact_name ON exact (owner, name COLLATE BINARY);
CREATE TABLE blank (owner TEXT NOT NULL, name TEXT NOT NULL COLLATE RTRIM, value, PRIMARY KEY (owner, name));
CREATE TRIGGER blank_seen AFTER INSERT ON blank BEGIN SELECT 1; END;
"""
PROFILE = (
    entry("person", "owner", "email")
    + 'leave_out = ["id"]\n'
    + entry("loose", "owner", "name", "part", "value")
    + entry("exact", "owner", "name")
    + entry("blank", "owner", "name")
)
COLUMNS = {
    "person": "owner, email, value",
    "loose": "owner, name, part, value",
    "exact": "owner, name, value",
    "blank": "owner, name, value",
}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A pair on these tables."""
    made = make_ground(tmp_path, schema=SCHEMA, profile=PROFILE, columns=COLUMNS)
    made.do(
        "a",
        "INSERT INTO person (owner, email, value) VALUES ('u@a', 'a@x', 1), ('u@a', 'b@x', 1)",
        "INSERT INTO loose VALUES ('u@a', 'a', 'p', 'x'), ('u@a', 'b', 'p', 'x'), ('u@a', 'b', 'p', 'x')",
        "INSERT INTO exact VALUES ('u@a', 'n', 1), ('u@a', 'N', 2)",
    )
    return first_copy(made)


def test_a_name_in_other_letters_that_goes_is_gone_at_the_partner(ground: Ground) -> None:
    """The index takes 'a@x' and 'A@x' for one, the column for two: the deletion of both names is logged, and the copy keeps neither."""
    ground.do("a", "UPDATE person SET email = 'A@x' WHERE email = 'a@x'", "DELETE FROM person WHERE email = 'A@x'")
    ground.do("a", "UPDATE person SET email = 'B@x' WHERE email = 'b@x'")
    whole(ground)
    assert ground.ask("b", "SELECT email FROM person") == [("B@x",)]


def test_a_row_that_changes_its_letters_twice_arrives_once(ground: Ground) -> None:
    """Without any index a NOCASE column is one still: before the first change is acknowledged the second is of the same group."""
    ground.do("a", "INSERT INTO loose VALUES ('u@a', 'c', 'p', 'x')", "UPDATE loose SET name = 'C' WHERE name = 'c'")
    ground.do("a", "UPDATE loose SET part = 'p ', name = 'A' WHERE name = 'a'")
    whole(ground)
    assert ground.ask("b", "SELECT name, part FROM loose WHERE name IN ('a', 'c') ORDER BY 1") == [
        ("A", "p "),
        ("C", "p"),
    ]


def test_a_name_that_gains_blanks_stays_where_triggers_run(ground: Ground) -> None:
    """Logged under both of its spellings, which are one key: it is not taken for gone, and what is put right after a trigger keeps it."""
    ground.do("a", "INSERT INTO blank VALUES ('u@a', 'n', 1)")
    whole(ground)
    ground.do("a", "UPDATE blank SET value = 2", "UPDATE blank SET name = 'n  '")
    whole(ground)
    assert ground.ask("b", "SELECT name, value FROM blank") == [("n  ", 2)]


def test_rows_that_only_an_index_tells_apart_are_one_group(ground: Ground) -> None:
    """A unique index that is finer than its column does not make groups single rows: what goes and what changes is right for each."""
    ground.do("a", "UPDATE exact SET value = 3 WHERE name = 'n' COLLATE BINARY")
    whole(ground)
    ground.do("a", "DELETE FROM exact WHERE name = 'N' COLLATE BINARY")
    whole(ground)
    assert ground.ask("b", "SELECT name, value FROM exact") == [("n", 3)]


def test_a_log_of_an_earlier_release_is_made_anew_with_all_it_holds(ground: Ground) -> None:
    """What was logged, and not sent when the service was replaced by this one, arrives; and the key compares as it should."""
    ground.stop("a")
    (sql,) = (str(row[0]) for row in ground.ask("a", "SELECT sql FROM sqlite_master WHERE name = 'poolpair_log_2'"))
    assert "NOCASE" in sql
    assert "RTRIM" in sql
    ground.do(
        "a",
        "DROP TABLE poolpair_log_2",
        sql.replace("NOCASE", "BINARY").replace("RTRIM", "BINARY"),
        "CREATE INDEX poolpair_log_2_key ON poolpair_log_2 (owner, name, part, value)",
        "INSERT INTO loose VALUES ('u@a', 'kept', 'p', 'x')",
    )
    ground.start("a")
    ground.sites["a"].store.check_capture()
    assert ground.ask("a", "SELECT sql FROM sqlite_master WHERE name = 'poolpair_log_2'") == [(sql,)]
    assert ground.ask("a", "SELECT name FROM poolpair_log_2") == [("kept",)]
    assert ground.ask("a", "SELECT count(*) FROM sqlite_master WHERE name = 'poolpair_log_2_key'") == [(0,)]
    whole(ground)
