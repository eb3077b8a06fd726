"""What saves round trips to PostgreSQL says the same as what it saves: COPY in blocks, remembered documents, kept tables."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from poolpair.errors import PoolpairError
from poolpair.store.postgres.copying import BLOCK_BYTES, CopyOut
from poolpair.store.postgres.database import Database
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import Copies, entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A document."""

    text: str


@pytest.fixture
def items(make_copies: MakeCopies) -> Copies:
    """One plain table with a key."""
    return make_copies("CREATE TABLE item (id integer PRIMARY KEY, value text)", entry("item", "id"))


def opened(items: Copies) -> Database:
    """A connection of ours."""
    return Database(items.cluster.url(items.origin_name), 1.0)


def test_copy_gives_every_byte_in_blocks(items: Copies) -> None:
    """The blocks together are what the driver gives row by row; rows are counted, and those that begin with true."""
    query = "SELECT n % 3 = 0, repeat('\\tab', n % 50) FROM generate_series(1, 20000) n"
    database = opened(items)
    with database.connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT") as copy:
        wanted = b"".join(bytes(row) for row in copy)
    copied = CopyOut(database.connection, query)
    blocks = [bytes(block) for block in copied]
    assert b"".join(blocks) == wanted
    assert all(len(block) >= BLOCK_BYTES for block in blocks[:-1])
    assert (copied.rows, copied.marked) == (20000, 6666)
    assert database.number("SELECT 1") == 1
    database.close()


def test_an_error_in_the_middle_of_a_copy_is_the_servers(items: Copies) -> None:
    """What the server refuses is raised as it says it, and the connection goes on."""
    database = opened(items)
    with pytest.raises(psycopg.errors.DivisionByZero):
        list(CopyOut(database.connection, "SELECT 1 / (n - 15000) FROM generate_series(1, 20000) n"))
    with pytest.raises(psycopg.errors.SyntaxError):
        list(CopyOut(database.connection, "SELECT FROM WHERE"))
    assert database.number("SELECT 1") == 1
    database.close()


def test_a_copy_that_is_not_read_to_its_end_closes_its_connection(items: Copies) -> None:
    """Nothing else could be said on it; the next statement is on another connection."""
    database = opened(items)
    blocks = iter(CopyOut(database.connection, "SELECT repeat('x', 1000) FROM generate_series(1, 20000)"))
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert database.connection.closed
    assert database.number("SELECT 1") == 1
    database.close()


def test_documents_are_remembered_until_somebody_looks_anew(items: Copies) -> None:
    """A handle that looks anew before each pass sees others' documents then, and its own at once; one that never does sees all at once."""
    mine, other = items.origin, items.open(items.origin_name)
    with other.transaction() as tx:
        tx.save("note", Note(text="one"))
    assert mine.read(Note, "note") == Note(text="one")
    mine.refresh()
    assert mine.read(Note, "note") == Note(text="one")
    with other.transaction() as tx:
        tx.save("note", Note(text="two"))
    assert other.read(Note, "note") == Note(text="two")
    mine.refresh()
    assert mine.read(Note, "note") == Note(text="two")
    with other.transaction() as tx:
        tx.save("note", Note(text="three"))
    with mine.transaction() as tx:  # whoever has the turn sees what is so now
        assert tx.load(Note, "note") == Note(text="three")
        tx.save("note", Note(text="four"))
        assert tx.load(Note, "note") == Note(text="four")
        assert tx.names("note") == ("note",)
        tx.delete("note")
        assert tx.load(Note, "note") is None
        tx.save("note", Note(text="five"))
    assert mine.read(Note, "note") == other.read(Note, "note") == Note(text="five")
    with pytest.raises(PoolpairError):
        _save_in_vain(items)
    assert mine.read(Note, "note") == Note(text="five")
    other.close()


def _save_in_vain(items: Copies) -> None:
    with items.origin.transaction() as tx:
        tx.save("note", Note(text="six"))
        items.origin._db.run("SELECT 1 / 0")


def test_temporary_tables_are_kept_and_empty(items: Copies) -> None:
    """One is made once, is empty after use, and is there again after a rollback or on another connection."""
    database = opened(items)
    scratch = database.scratch
    for rows in (1, 5000, 1):
        table = scratch.make("t", "n integer")
        assert database.number(f"SELECT count(*) FROM {table}") == 0
        assert database.changed(f"INSERT INTO {table} SELECT generate_series(1, {rows})") == rows
        scratch.empty({"t": rows, "never_made": 1})
    database.run("BEGIN")
    scratch.make("u", "n integer")
    database.roll_back()
    assert database.number(f"SELECT count(*) FROM {scratch.make('u', 'n integer')}") == 0
    items.cluster.throw_out(items.origin_name)
    scratch.empty({"t": 1})
    assert database.number(f"SELECT count(*) FROM {scratch.make('t', 'n integer, m text')}") == 0
    database.close()
