"""What saves round trips to PostgreSQL says the same as what it saves: COPY in blocks, remembered documents, kept tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from poolpair.cycle import run_pass
from poolpair.errors import PoolpairError
from poolpair.model import Channel
from poolpair.store.postgres.copying import BLOCK_BYTES, CopyOut
from poolpair.store.postgres.database import Database
from tests.cluster import Cluster
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import Copies, entry
from tests.postgres.own_pair import ITEM, own_pair

IDLE_STATEMENTS = 3
ROW_STATEMENTS = 32
"""Of both pools, for one row that goes over and is acknowledged."""


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


@dataclass
class Counted:
    """Statements that went to a server, by what began them."""

    texts: list[str] = field(default_factory=list)

    def since(self, mark: int) -> list[str]:
        """Statements after so many."""
        return self.texts[mark:]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Every statement of every connection of ours is counted, and sent."""
    seen, send = Counted(), Database.run

    def run(self: Database, text: str, *parameters: object) -> psycopg.Cursor[TupleRow]:
        seen.texts.append(text)
        return send(self, text, *parameters)

    monkeypatch.setattr(Database, "run", run)
    return seen


def test_a_row_and_a_pass_in_vain_cost_few_statements(cluster: Cluster, tmp_path: Path, counted: Counted) -> None:
    """However large the tables are; a round trip for each document and each table was four times as much."""
    with own_pair(cluster, tmp_path, profile=ITEM, tables=("item",)) as pair:
        site = pair.sites["a"]
        run_pass(site, Channel.USERS)
        mark = len(counted.texts)
        run_pass(site, Channel.USERS)
        assert len(counted.since(mark)) <= IDLE_STATEMENTS, "\n".join(counted.since(mark))
        pair.do("a", "INSERT INTO item VALUES ('u@a', 'few', 1)")
        mark = len(counted.texts)
        for pool in ("a", "b", "a"):
            run_pass(pair.sites[pool], Channel.USERS, force=True)
        assert ("item", "(u@a,few,1)") in pair.rows("b")
        assert len(counted.since(mark)) <= ROW_STATEMENTS, "\n".join(counted.since(mark))
