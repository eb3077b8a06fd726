"""AUTOINCREMENT columns that travel: their last number is told to the partner, and raised where a home begins to be served."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from poolpair.store.row_text import INTEGER_MAX
from poolpair.store.sqlite.binding import Bound


def last_numbers(connection: sqlite3.Connection, bound: Iterable[Bound]) -> dict[str, int]:
    """The number that each gave last, by table and column."""
    found: dict[str, int] = {}
    for name, table in _counted(connection, bound):
        # Anybody may write there: what is no number is none to SQLite either, which then goes by the rows.
        number = "SELECT seq FROM main.sqlite_sequence WHERE name = ? AND typeof(seq) = 'integer'"
        row = connection.execute(number, (table,)).fetchone()
        if row is not None:
            found[name] = int(row[0])
    return found


def raise_numbers(connection: sqlite3.Connection, bound: Iterable[Bound], told: Mapping[str, int], gap: int) -> None:
    """Let each go on above what was told, by `gap` further steps; none is ever lowered."""
    for name, table in _counted(connection, bound):
        if name not in told:
            continue
        least = min(told[name] + gap, INTEGER_MAX)
        raised = "UPDATE main.sqlite_sequence SET seq = max(iif(typeof(seq) = 'integer', seq, 0), ?) WHERE name = ?"
        if connection.execute(raised, (least, table)).rowcount == 0:
            connection.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", (table, least))


def _counted(connection: sqlite3.Connection, bound: Iterable[Bound]) -> Iterator[tuple[str, str]]:
    """Table and column as both pools call them, and the table's name."""
    kept = "SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'"
    tables = {b.spec.name: b for b in bound if b.info.autoincrement}
    if not tables or connection.execute(kept).fetchone() is None:
        return
    for table, b in tables.items():
        for column in b.info.columns:
            if column.serial and column.name in b.columns:
                yield f"{table}.{column.name}", table
