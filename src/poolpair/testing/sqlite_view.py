"""Reads a `View` out of an SQLite database, in one read transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from poolpair.documents import decode
from poolpair.store.memory.schema import Key, MemoryTable, Row
from poolpair.store.memory.state import FileEntry
from poolpair.store.sqlite.catalogue import FILE_COLUMNS, catalogue_file
from poolpair.testing.schema import SCHEMA
from poolpair.testing.view import Group, Rows, View, sorted_by_line


def read_view(connection: sqlite3.Connection) -> View:
    """Everything that is committed now."""
    connection.execute("BEGIN")
    try:
        groups = _groups(connection)
        return View(
            groups=groups,
            by_line=sorted_by_line(groups),
            log=_log(connection),
            files=_files(connection),
            parked=_parked(connection),
            fence=dict(connection.execute("SELECT poolpair_home, poolpair_serving FROM poolpair_fence")),
            spooled=_spooled(connection),
            kept=_kept(connection),
            read=reader(dict(connection.execute("SELECT name, body FROM poolpair_document"))),
        )
    finally:
        connection.execute("COMMIT")


def _groups(connection: sqlite3.Connection) -> dict[Group, Rows]:
    found: dict[Group, Rows] = {}
    for table in SCHEMA.tables:
        order = ", ".join(table.key) if table.name == "upload" else "rowid"
        for row in connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {order}"):
            group = (table.name, table.key_of(row))
            found[group] = (*found.get(group, ()), row)
    return found


def _log(connection: sqlite3.Connection) -> dict[Group, int]:
    found: dict[Group, int] = {}
    for table in SCHEMA.tables:
        query = f"SELECT {', '.join(table.key)}, poolpair_gen FROM poolpair_log_{table.number} ORDER BY poolpair_gen"
        for *key, gen in connection.execute(query):
            found[table.name, tuple(key)] = gen
    return found


def _files(connection: sqlite3.Connection) -> dict[bytes, FileEntry]:
    query = f"SELECT {FILE_COLUMNS}, gen, placing, deleting FROM poolpair_file"
    found: dict[bytes, FileEntry] = {}
    for *columns, gen, placing, deleting in connection.execute(query):
        file = catalogue_file(tuple(columns))
        found[file.path] = FileEntry(file=file, gen=gen, placing=placing, deleting=bool(deleting))
    return found


def _parked(connection: sqlite3.Connection) -> dict[Group, tuple[str, Rows]]:
    found: dict[Group, tuple[str, Rows]] = {}
    for group_id, number, package in connection.execute("SELECT id, tbl, package_id FROM poolpair_parked").fetchall():
        table = SCHEMA.tables[number - 1]
        group = (table.name, _parked_key(connection, table, group_id))
        rows = (
            f"SELECT {', '.join(table.columns)} FROM poolpair_parked_row_{number} WHERE poolpair_id = ? ORDER BY rowid"
        )
        found[group] = (package, tuple(connection.execute(rows, (group_id,)).fetchall()))
    return found


def _parked_key(connection: sqlite3.Connection, table: MemoryTable, group_id: int) -> Key:
    query = f"SELECT {', '.join(table.key)} FROM poolpair_parked_key_{table.number} WHERE poolpair_id = ?"
    key: Key = connection.execute(query, (group_id,)).fetchone()
    return key


def _spooled(connection: sqlite3.Connection) -> frozenset[tuple[Group, Rows]]:
    found: dict[tuple[int, Group], Rows] = {}
    for table in SCHEMA.application:
        keys = f"SELECT poolpair_number, {', '.join(table.key)} FROM poolpair_spool_key_{table.number}"
        found |= {(number, (table.name, tuple(key))): () for number, *key in connection.execute(keys)}
        rows = (
            f"SELECT poolpair_number, {', '.join(table.columns)} FROM poolpair_spool_row_{table.number} ORDER BY rowid"
        )
        for number, *row in connection.execute(rows):
            at = (number, (table.name, table.key_of(tuple(row))))
            found[at] = (*found[at], tuple(row))
    return frozenset((group, rows) for (_, group), rows in found.items())


def _kept(connection: sqlite3.Connection) -> frozenset[tuple[str, Row]]:
    return frozenset(
        (table.name, row)
        for table in SCHEMA.tables
        for row in connection.execute(f"SELECT {', '.join(table.columns)} FROM poolpair_kept_row_{table.number}")
    )


def reader(documents: Mapping[str, str]) -> Callable[[type, str], object]:
    """Documents are decoded when they are asked for, and once."""
    known: dict[str, object] = {}

    def read(cls: type, name: str) -> object:
        if name not in known:
            known[name] = decode(cls, documents[name]) if name in documents else None
        return known[name]

    return read
