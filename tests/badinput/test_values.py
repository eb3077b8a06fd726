"""Odd tables and values of an own profile: every storage class, key and name arrives as it is, and no conflict loses a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.badinput.ground import Ground, first_copy, make_ground
from tests.line.test_file_recovery import take_over

SCHEMA = """
CREATE TABLE seat (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, chair TEXT UNIQUE, colour,
                   UNIQUE (owner, name));
CREATE TABLE flat (owner TEXT NOT NULL, n INTEGER NOT NULL, chair TEXT UNIQUE, PRIMARY KEY (owner, n)) WITHOUT ROWID;
CREATE TABLE loose (owner, part, value);
CREATE TABLE "odd ""name" ("order" TEXT, 'gen' TEXT, "pool" TEXT, "it's" TEXT, refused, ordinal, value,
                           PRIMARY KEY ("order", "gen", refused, ordinal));
CREATE TABLE folded (owner TEXT NOT NULL, name TEXT COLLATE NOCASE NOT NULL, value, PRIMARY KEY (owner, name));
CREATE TABLE part (owner TEXT NOT NULL, name TEXT NOT NULL, chair TEXT, gone INTEGER DEFAULT 0, colour, PRIMARY KEY (owner, name));
CREATE UNIQUE INDEX part_chair ON part (chair) WHERE gone = 0;
CREATE UNIQUE INDEX flat_folded ON flat (chair COLLATE NOCASE);
CREATE UNIQUE INDEX part_spoken ON part (gone, /* of (both) */ lower(trim(colour, ', ')) DESC) WHERE colour IS NOT NULL;
"""
PROFILE = """
[[tables]]
name = "seat"
key = ["owner", "name"]
home_key = '"owner"'
leave_out = ["id"]
[[tables]]
name = "flat"
key = ["owner", "n"]
home_key = '"owner"'
[[tables]]
name = "loose"
key = ["owner", "part"]
home_key = '"owner"'
[[tables]]
name = 'odd "name'
key = ["order", "gen", "refused", "ordinal"]
home_key = '"order"'
[[tables]]
name = "folded"
key = ["owner", "name"]
home_key = '"owner"'
[[tables]]
name = "part"
key = ["owner", "name"]
home_key = '"owner"'
"""
COLUMNS = {
    "seat": "owner, name, chair, colour",
    "flat": "owner, n, chair",
    "loose": "owner, part, value",
    'odd ""name': '"order", "gen", "pool", "it\'s", refused, ordinal, value',
    "folded": "owner, name, value",
    "part": "owner, name, chair, gone, colour",
}


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Ground]:
    """A pair on these tables."""
    made = make_ground(tmp_path, schema=SCHEMA, profile=PROFILE, columns=COLUMNS)
    for pool in ("a", "b"):
        made.do(
            pool,
            *(f"INSERT INTO seat (owner, name, chair) VALUES ('u@{pool}', 's{n}', '{pool}{n}')" for n in range(4)),
            *(f"INSERT INTO flat VALUES ('u@{pool}', {n}, '{pool}{n}')" for n in range(4)),
            *(f"INSERT INTO part VALUES ('u@{pool}', 'p{n}', '{pool}{n}', 0, 'Red{pool}{n}')" for n in range(4)),
        )
    first_copy(made)
    yield made
    for pool in ("a", "b"):
        made.stop(pool)


def whole(odd: Ground) -> None:
    """Everything arrived; a comparison of all buckets agrees; nothing was parked or taken for a foreign write."""
    odd.settle()
    assert odd.rows("a") == odd.rows("b")
    assert not odd.sites["b"].store.parked()
    odd.whole()
    from dataclasses import replace

    from poolpair.state import Outbound, Seed

    with odd.sites["a"].store.transaction() as tx:
        out = tx.load(Outbound, "outbound/users")
        assert out is not None
        tx.save("outbound/users", replace(out, seed=Seed(reason="verify", repair=False)))
    odd.whole()
    result = odd.channel("a").export.last_verify
    assert result is not None
    assert result.equal, result


@pytest.mark.parametrize("table", ["seat", "flat", "part"])
def test_a_unique_swap_between_two_rows(odd: Ground, table: str) -> None:
    """Two rows that exchange their unique values arrive, though either alone would collide."""
    odd.do(
        "a",
        f"UPDATE {table} SET chair = 'x' WHERE chair = 'a1'",
        f"UPDATE {table} SET chair = 'a1' WHERE chair = 'a2'",
        f"UPDATE {table} SET chair = 'a2' WHERE chair = 'x'",
    )
    whole(odd)


@pytest.mark.parametrize("table", ["seat", "flat", "part"])
def test_a_unique_value_that_moves_through_all_rows(odd: Ground, table: str) -> None:
    """A ring of unique values turned by one arrives, beside an insert and a deletion that take part in it."""
    odd.do("a", *(f"UPDATE {table} SET chair = 'x{n}' WHERE chair = 'a{n}'" for n in range(4)))
    odd.do("a", *(f"UPDATE {table} SET chair = 'a{(n + 1) % 4}' WHERE chair = 'x{n}'" for n in range(4)))
    odd.do("a", f"DELETE FROM {table} WHERE chair = 'a2'")
    if table == "flat":
        odd.do("a", "INSERT INTO flat VALUES ('u@a', 9, 'a2')")
    else:
        odd.do("a", f"INSERT INTO {table} (owner, name, chair) VALUES ('u@a', 'n', 'a2')")
    whole(odd)


def test_sites_keep_their_own_serials(odd: Ground) -> None:
    """Serials that each site gives by itself stay what they are, also when the slow way had to be taken."""
    before = odd.ask("b", "SELECT owner, name, id FROM seat ORDER BY owner, name")
    odd.do(
        "a",
        "UPDATE seat SET chair = 'x' WHERE chair = 'a1'",
        "UPDATE seat SET chair = 'a1' WHERE chair = 'a2'",
        "UPDATE seat SET chair = 'a2' WHERE chair = 'x'",
    )
    whole(odd)
    assert odd.ask("b", "SELECT owner, name, id FROM seat ORDER BY owner, name") == before


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO seat (owner, name, chair) VALUES ('u@a', 'new', 'a1')",
        "INSERT OR REPLACE INTO seat (id, owner, name, chair) VALUES ((SELECT id FROM seat WHERE chair = 'a1'), 'u@a', 'new', 'q')",
        "UPDATE OR REPLACE seat SET chair = 'a1' WHERE chair = 'a2'",
        "REPLACE INTO seat (owner, name, chair) VALUES ('u@a', 's1', 'a2')",
        "INSERT OR REPLACE INTO flat VALUES ('u@a', 9, 'a1')",
        "INSERT OR REPLACE INTO flat VALUES ('u@a', 9, 'A1')",
        "UPDATE OR REPLACE flat SET n = 2 WHERE n = 1 AND owner = 'u@a'",
        "INSERT OR REPLACE INTO part VALUES ('u@a', 'new', 'a1', 0, NULL)",
        "INSERT OR REPLACE INTO part VALUES ('u@a', 'new', 'q', 0, ' redA1,')",
        "UPDATE OR REPLACE part SET colour = 'REDa1' WHERE chair = 'a2'",
        "UPDATE OR REPLACE part SET chair = 'a1' WHERE chair = 'a2'",
        "INSERT OR REPLACE INTO folded VALUES ('u@a', 'NAME', 2)",
        "INSERT INTO seat (owner, name, chair) VALUES ('u@a', 's1', 'z') ON CONFLICT DO UPDATE SET chair = 'z'",
    ],
)
def test_replace_that_deletes_other_rows_silently(odd: Ground, statement: str) -> None:
    """REPLACE removes rows that collide in any unique index without firing a delete trigger; they vanish at B as well."""
    odd.do("a", "INSERT INTO folded VALUES ('u@a', 'name', 1)")
    whole(odd)
    odd.do("a", statement)
    whole(odd)


def test_key_updates_move_rows(odd: Ground) -> None:
    """A changed key is a deletion and an insertion, in every kind of table; a key that only changes its case arrives too."""
    odd.do(
        "a", "INSERT INTO folded VALUES ('u@a', 'name', 1)", "INSERT INTO loose VALUES ('u@a', 'p', 1), ('u@a', 'p', 2)"
    )
    whole(odd)
    odd.do(
        "a",
        "UPDATE seat SET name = 'moved' WHERE chair = 'a1'",
        "UPDATE flat SET n = 100 + n WHERE owner = 'u@a'",
        "UPDATE folded SET name = 'NAME'",
        "UPDATE loose SET part = 'q' WHERE value = 1",
        "UPDATE part SET owner = 'v@a' WHERE owner = 'u@a'",
    )
    whole(odd)
    assert odd.ask("b", "SELECT name FROM folded") == [("NAME",)]


def test_every_storage_class_arrives_as_it_is(odd: Ground) -> None:
    """Blobs, invalid UTF-8, NUL in text, huge integers, reals, infinities, NULL and numbers in text keep class and bytes."""
    values = [
        "NULL",
        "1",
        "1.0",
        "'1'",
        "x'31'",
        "''",
        "x''",
        "9223372036854775807",
        "-9223372036854775808",
        "9e999",
        "-9e999",
    ]
    values += [
        "0.1",
        "1e-300",
        "-0.0",
        "CAST(x'ff80fe' AS TEXT)",
        "CAST(x'410042' AS TEXT)",
        "zeroblob(100000)",
        "'ünï 💬'",
    ]
    odd.do("a", *(f"INSERT INTO loose VALUES ('u@a', {value}, {value})" for value in values))
    odd.do("a", *(f"INSERT INTO folded VALUES ('u@a', 'v{n}', {value})" for n, value in enumerate(values)))
    whole(odd)
    odd.do("a", "UPDATE folded SET value = CAST(value AS BLOB) WHERE name < 'v5'")
    whole(odd)
    odd.do("a", "DELETE FROM loose WHERE typeof(part) IN ('text', 'null', 'real')")
    whole(odd)


def test_null_in_group_keys(odd: Ground) -> None:
    """Groups whose key holds NULL are groups like any other: replaced whole, deleted whole, never doubled."""
    odd.do("a", "INSERT INTO loose VALUES ('u@a', NULL, 1), ('u@a', NULL, 2), ('u@a', 'p', 3)")
    odd.do("a", "INSERT INTO \"odd \"\"name\" VALUES ('u@a', NULL, 'p', 'i', NULL, NULL, 1)")
    whole(odd)
    odd.do("a", "UPDATE loose SET value = 4 WHERE value = 1", "INSERT INTO loose VALUES ('u@a', NULL, 2)")
    odd.do("a", 'UPDATE "odd ""name" SET value = 2')
    whole(odd)
    odd.do("a", "DELETE FROM loose WHERE part IS NULL", 'DELETE FROM "odd ""name"')
    whole(odd)
    assert odd.ask("b", "SELECT count(*) FROM loose WHERE owner = 'u@a'") == [(1,)]


def test_names_that_sql_uses_itself(odd: Ground) -> None:
    """Columns called order, gen, pool, refused or ordinal, and quotes in names, are carried, parked and applied."""
    odd.do("a", *(f"INSERT INTO \"odd \"\"name\" VALUES ('u@a', 'g{n}', 'p', 'i', {n}, {n}, 'v')" for n in range(5)))
    whole(odd)
    odd.do(
        "b",
        "CREATE TRIGGER no BEFORE INSERT ON \"odd \"\"name\" WHEN NEW.value = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    odd.do(
        "a",
        "INSERT INTO \"odd \"\"name\" VALUES ('u@a', 'g9', 'p', 'i', 9, 9, 'bad'), ('u@a', 'g8', 'p', 'i', 8, 8, 'v')",
    )
    odd.settle()
    (group,) = odd.sites["b"].store.parked()
    assert (group.table, group.key) == ('odd "name', "order=u@a, gen=g9, refused=9, ordinal=9")
    odd.do("b", "DROP TRIGGER no")
    assert odd.command("b", "parked", "retry").exit_code == 0
    whole(odd)


def test_groups_without_a_unique_key_are_multisets(odd: Ground) -> None:
    """Equal rows of one group are counted: two stay two, and one of them can go."""
    odd.do("a", *["INSERT INTO loose VALUES ('u@a', 'p', 'same')"] * 3)
    whole(odd)
    odd.do("a", "DELETE FROM loose WHERE rowid = (SELECT max(rowid) FROM loose)")
    whole(odd)
    assert odd.ask("b", "SELECT count(*) FROM loose") == [(2,)]


def test_a_conflict_clause_of_the_table_does_not_delete_unseen(tmp_path: Path) -> None:
    """UNIQUE ON CONFLICT REPLACE in B's table does not let a row of A remove one of B's own: it is parked."""
    schema = SCHEMA.replace("chair TEXT UNIQUE, colour", "chair TEXT UNIQUE ON CONFLICT REPLACE, colour")
    made = make_ground(tmp_path, schema=schema, profile=PROFILE, columns=COLUMNS)
    for pool in ("a", "b"):
        made.do(pool, f"INSERT INTO seat (owner, name, chair) VALUES ('u@{pool}', 's', '{pool}')")
    first_copy(made)
    made.stop("b")
    made.do("a", "INSERT INTO seat (owner, name, chair) VALUES ('u@a', 'n', 'both')")
    made.do("b", "INSERT INTO seat (owner, name, chair) VALUES ('u@b', 'n', 'both')")
    made.turn("a")
    made.start("b")
    made.turn("b")
    assert made.ask("b", "SELECT owner FROM seat WHERE chair = 'both'") == [("u@b",)]
    (group,) = made.sites["b"].store.parked()
    assert group.reason == "UNIQUE constraint failed: seat.chair"
    for pool in ("a", "b"):
        made.stop(pool)


def test_truncate_like_deletes_and_recursive_triggers(odd: Ground) -> None:
    """A connection with recursive triggers on, which fires delete triggers for REPLACE too, is captured just as well."""
    with closing(sqlite3.connect(odd.path("a"))) as connection, connection:
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute("INSERT OR REPLACE INTO seat (owner, name, chair) VALUES ('u@a', 's1', 'a2')")
        connection.execute("DELETE FROM flat WHERE owner = 'u@a'")
    whole(odd)


def test_a_rolled_back_transaction_sends_nothing(odd: Ground) -> None:
    """What the application rolled back never existed: no package, no entry in the log."""
    before = odd.channel("a").export.watermarks
    with closing(sqlite3.connect(odd.path("a"))) as connection:
        connection.execute("DELETE FROM poolpair_fence")
        connection.execute("DELETE FROM seat")
        connection.rollback()
    odd.settle()
    assert odd.channel("a").export.watermarks == before


REPLACED = """
CREATE TABLE excluded (id INTEGER PRIMARY KEY, v);
CREATE TABLE page (id INTEGER PRIMARY KEY, slot TEXT NOT NULL DEFAULT 'main' UNIQUE, v);
CREATE TABLE "bare" (id INTEGER PRIMARY KEY, slot TEXT NOT NULL DEFAULT main UNIQUE, other TEXT NOT NULL DEFAULT "main" UNIQUE, v);
CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
"""
NAMED = {"excluded": "id, v", "page": "id, slot, v", "bare": "id, slot, other, v", "auto": "id, v"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Ground]:
    """A whole application that a serves."""
    homes = {"shared": "a", "*": "a"}
    made = make_ground(tmp_path, schema=REPLACED, profile="whole = true\n", columns=NAMED, homes=homes)
    made.do("a", "INSERT INTO excluded VALUES (1, 'one')", "INSERT INTO auto VALUES (1, 1)")
    made.do(
        "a", "INSERT INTO page VALUES (1, 'main', 1), (2, 'x', 2)", "INSERT INTO bare VALUES (1, 'main', 'main', 1)"
    )
    yield first_copy(made)
    for pool in tuple(made.sites):
        made.stop(pool)


def test_a_table_called_excluded(served: Ground) -> None:
    """In an upsert that is a name of SQLite's own."""
    served.do("a", "UPDATE excluded SET v = 'changed'")
    whole(served)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO page (id, slot) VALUES (3, NULL)",
        "UPDATE OR REPLACE page SET slot = NULL WHERE id = 2",
        "INSERT OR REPLACE INTO bare (id, slot, other) VALUES (3, NULL, 'x')",
        "INSERT OR REPLACE INTO bare (id, slot, other) VALUES (3, 'x', NULL)",
    ],
)
def test_replace_by_a_default(served: Ground, statement: str) -> None:
    """REPLACE puts the default where NULL may not stand, and then deletes whoever has that."""
    served.do("a", statement)
    whole(served)


@pytest.mark.parametrize("number", ["NULL", "'abc'", "9223372036854775807"])
def test_a_last_number_that_cannot_be(served: Ground, number: str) -> None:
    """The application may write what it likes into sqlite_sequence, such as max(id) of an empty table."""
    served.do("a", f"UPDATE sqlite_sequence SET seq = {number}", "UPDATE auto SET v = 2")
    whole(served)
    served.stop("a")
    take_over(served, "b")
    assert served.ask("b", "SELECT v FROM auto") == [(2,)]
