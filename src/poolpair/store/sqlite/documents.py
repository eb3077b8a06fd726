"""Documents of the state: named values of ours beside the application's tables."""

from __future__ import annotations

import sqlite3
from typing import TypeVar

from poolpair.documents import decode, encode
from poolpair.store.sqlite.connection import text

T = TypeVar("T")


def read_document(connection: sqlite3.Connection, cls: type[T], name: str) -> T | None:
    """Read one document."""
    row = connection.execute("SELECT body FROM main.poolpair_document WHERE name = ?", (name,)).fetchone()
    return decode(cls, text(row[0])) if row else None


def write_document(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Write one document."""
    connection.execute(
        "INSERT OR REPLACE INTO main.poolpair_document (name, body) VALUES (?, ?)", (name, encode(value))
    )
