"""Tells whether a tracked table, or a table or trigger of ours, was dropped and made again: what was written meanwhile is in no log.

A tool that rebuilds a table may put our triggers back as they were, text by text, any number of times. What it makes comes to stand at the
end of the catalogue; so the last table and the last trigger of ours are a mark, and when something of ours stands behind it another mark is
made. VACUUM numbers the catalogue's rows anew, but keeps tables in order, and triggers.

Nor is anything logged when columns are dropped, made or renamed: both sites may come to have the same tables again, and other values in
them. So another mark is made when the columns of tracked tables are others than when they were last looked at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from poolpair.model import new_id
from poolpair.store.sqlite.connection import PREFIX, text, together
from poolpair.store.sqlite.documents import read_document, write_document

COLUMNS = "store/columns"
TABLE = f"{PREFIX}mark"
TRIGGER = f"{PREFIX}mark_last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of tracked tables when they were last looked at: a digest."""

    digest: str


def capture_mark(connection: sqlite3.Connection, tables: Iterable[str]) -> str:
    """The mark, another one than before if there is a reason for doubt; it is in the database before anybody hears it."""
    names = sorted(tables)
    standing, now = _standing(connection, names), _columns(connection, names)
    known = read_document(connection, Columns, COLUMNS)
    if standing is not None and now == known:
        return standing
    same = standing is not None and known is None  # an earlier release did not look at columns
    mark = standing if standing is not None and same else new_id()
    with together(connection):
        write_document(connection, COLUMNS, now)
        if mark != standing:
            _lay(connection, mark)
    return mark


def _columns(connection: sqlite3.Connection, tables: Iterable[str]) -> Columns:
    digest = sha256()
    for table in tables:
        query = 'SELECT cid, name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid'
        for row in connection.execute(query, (table,)):
            digest.update(repr((table, *row)).encode())
    return Columns(digest=digest.hexdigest())


@contextmanager
def mark_stays(connection: sqlite3.Connection, tables: Iterable[str]) -> Iterator[None]:
    """Our own triggers are made anew inside, in one transaction: no reason for doubt, unless there was one before."""
    standing = _standing(connection, tables)
    yield
    if standing is not None:
        _lay(connection, standing)


def _standing(connection: sqlite3.Connection, tables: Iterable[str]) -> str | None:
    """The mark that nothing of ours, and none of these tables, stands behind."""
    tracked = set(tables)
    query = "SELECT type, name FROM main.sqlite_master WHERE type IN ('table', 'trigger') ORDER BY rowid"
    listed = [(text(kind), text(name)) for kind, name in connection.execute(query)]
    last = {kind: name for kind, name in listed if name.startswith(PREFIX) or (kind == "table" and name in tracked)}
    if last != {"table": TABLE, "trigger": TRIGGER}:
        return None
    found = connection.execute(f"SELECT mark FROM main.{TABLE}").fetchone()
    return text(found[0]) if found else None


def _lay(connection: sqlite3.Connection, mark: str) -> None:
    with together(connection):
        connection.execute(f"DROP TABLE IF EXISTS main.{TABLE}")  # and its trigger with it
        connection.execute(f"CREATE TABLE main.{TABLE} (mark TEXT NOT NULL)")
        connection.execute(f"INSERT INTO main.{TABLE} VALUES (?)", (mark,))
        connection.execute(f"CREATE TRIGGER main.{TRIGGER} AFTER INSERT ON {TABLE} BEGIN SELECT 1; END")
