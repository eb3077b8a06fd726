"""Tells whether a tracked table, or a table or trigger of ours, was dropped and made again: what was written meanwhile is in no log.

A tool that rebuilds a table may put our triggers back as they were, text by text, any number of times. What it makes comes to stand at the
end of the catalogue; so the last table and the last trigger of ours are a mark, and when something of ours stands behind it another mark is
made. VACUUM numbers the catalogue's rows anew, but keeps tables in order, and triggers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from poolpair.model import new_id
from poolpair.store.sqlite.connection import PREFIX, text, together

TABLE = f"{PREFIX}mark"
TRIGGER = f"{PREFIX}mark_last"


def capture_mark(connection: sqlite3.Connection, tables: Iterable[str]) -> str:
    """The mark, another one than before if there is a reason for doubt; it is in the database before anybody hears it."""
    standing = _standing(connection, tables)
    if standing is not None:
        return standing
    fresh = new_id()
    _lay(connection, fresh)
    return fresh


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
