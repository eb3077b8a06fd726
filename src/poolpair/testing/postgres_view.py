"""Reads a `View` out of a PostgreSQL database, in one read transaction."""

from __future__ import annotations

import json
from ast import literal_eval

import psycopg
from psycopg.rows import TupleRow

from poolpair.store import ledger
from poolpair.store.memory.schema import Key, MemoryTable, Row
from poolpair.store.memory.state import FileEntry
from poolpair.store.postgres.catalogue import COLUMNS, catalogue_file
from poolpair.store.row_text import rows_to_text
from poolpair.testing.schema import POOLS, SCHEMA
from poolpair.testing.sqlite_view import reader
from poolpair.testing.view import Group, Rows, View, sorted_by_line

Connection = psycopg.Connection[TupleRow]
LEDGER = "poolpair.ledger"
_FIRST_SEEN = """
max(coalesce((SELECT min(t.number) FROM poolpair.token t WHERE pg_visible_in_snapshot(l.poolpair_xid, t.snapshot)),
  (SELECT coalesce(max(number), 0) + 1 FROM poolpair.token)))
"""
"""The first token that saw every entry of a key; one more than the newest if none did."""


def read_view(connection: Connection) -> View:
    """Everything that is committed now."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        groups = _groups(connection)
        documents = {
            str(name): str(body) for name, body in connection.execute("SELECT name, body FROM poolpair.document")
        }
        return View(
            groups=groups,
            by_line=sorted_by_line(groups),
            log=_log(connection),
            files=_files(connection),
            parked=_parked(connection),
            fence=_fence(connection),
            spooled=_spooled(connection),
            kept=_kept(connection),
            read=reader(documents),
            documents=documents,
        )


def _fence(connection: Connection) -> dict[str, str]:
    """The homes whose writes are refused."""
    found = {home: connection.execute("SELECT poolpair.refused(%s)", (home,)).fetchone() for home in POOLS}
    return {home: str(row[0]) for home, row in found.items() if row is not None and row[0] is not None}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _row(row: TupleRow) -> Row:
    return (*row[:-1], None if row[-1] is None else literal_eval(str(row[-1])))


def _row_of(table: MemoryTable, row: TupleRow) -> Row:
    return _entry(row) if table.home_is_pool else _row(row)


def _entry(row: TupleRow) -> Row:
    """An entry of the ledger with key and versions as the other stores write them: rows, not objects of texts."""
    entry = dict(zip(ledger.COLUMNS, row, strict=True))
    table = next((each for each in SCHEMA.application if each.name == entry["tbl"]), None)
    if table is not None:
        entry["tkey"] = rows_to_text(_values(entry["tkey"], table.key))
        for side in ("theirs", "ours"):
            entry[side] = rows_to_text(tuple(map(_row, _values(entry[side], table.columns))))
    return tuple(entry.values())


def _values(text: object, names: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(tuple(row[name] for name in names) for row in json.loads(str(text)))


def _name(table: MemoryTable) -> str:
    return LEDGER if table.home_is_pool else table.name


def _groups(connection: Connection) -> dict[Group, Rows]:
    found: dict[Group, Rows] = {}
    for table in SCHEMA.tables:
        for values in connection.execute(
            f"SELECT {_listed(table.columns)} FROM {_name(table)} ORDER BY ctid"
        ).fetchall():
            row = _row_of(table, values)
            group = (table.name, table.key_of(row))
            found[group] = (*found.get(group, ()), row)
    return found


def _log(connection: Connection) -> dict[Group, int]:
    found: dict[Group, int] = {}
    for table in SCHEMA.tables:
        key = _listed(table.key)
        query = f"SELECT {key}, {_FIRST_SEEN} FROM poolpair.log_{table.number} l GROUP BY {key}"
        for *values, number in connection.execute(query).fetchall():
            found[table.name, tuple(values)] = number
    return found


def _files(connection: Connection) -> dict[bytes, FileEntry]:
    found: dict[bytes, FileEntry] = {}
    for *columns, placing, deleting in connection.execute(
        f"SELECT {COLUMNS}, placed_digest, deleting FROM poolpair.file"
    ):
        file = catalogue_file(tuple(columns))
        found[file.path] = FileEntry(file=file, gen=max(columns[-1], 0), placing=placing, deleting=deleting)
    return found


def _parked(connection: Connection) -> dict[Group, tuple[str, Rows]]:
    found: dict[Group, tuple[str, Rows]] = {}
    for group_id, number, package in connection.execute("SELECT id, tbl, package_id FROM poolpair.parked").fetchall():
        table = SCHEMA.tables[number - 1]
        rows = f"SELECT {_listed(table.columns)} FROM poolpair.parked_row_{number} WHERE poolpair_id = %s ORDER BY poolpair_place"
        kept = tuple(_row(row) for row in connection.execute(rows, (group_id,)).fetchall())
        found[table.name, _parked_key(connection, table, group_id)] = (package, kept)
    return found


def _parked_key(connection: Connection, table: MemoryTable, group_id: int) -> Key:
    query = f"SELECT {_listed(table.key)} FROM poolpair.parked_key_{table.number} WHERE poolpair_id = %s"
    key = connection.execute(query, (group_id,)).fetchone()
    assert key is not None
    return tuple(key)


def _spooled(connection: Connection) -> frozenset[tuple[Group, Rows]]:
    found: dict[tuple[int, Group], Rows] = {}
    for table in SCHEMA.tables:
        keys = f"SELECT poolpair_spool, {_listed(table.key)} FROM poolpair.spool_key_{table.number}"
        found |= {(number, (table.name, tuple(key))): () for number, *key in connection.execute(keys).fetchall()}
        columns = f"poolpair_spool, {_listed(table.columns)}"
        rows = f"SELECT {columns} FROM poolpair.spool_row_{table.number} ORDER BY poolpair_place"
        for number, *values in connection.execute(rows).fetchall():
            row = _row_of(table, tuple(values))
            at = (number, (table.name, table.key_of(row)))
            found[at] = (*found[at], row)
    return frozenset((group, rows) for (_, group), rows in found.items())


def _kept(connection: Connection) -> frozenset[tuple[str, Row]]:
    return frozenset(
        (table.name, _row_of(table, row))
        for table in SCHEMA.tables
        for row in connection.execute(f"SELECT {_listed(table.columns)} FROM poolpair.kept_row_{table.number}")
    )
