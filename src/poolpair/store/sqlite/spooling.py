"""The spool on SQLite: groups of a home as they were when another reign was adopted, by the number of their recovery."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import PREFIX, quote


def keys_table(b: Bound) -> str:
    """The keys of spooled groups."""
    return f"main.{PREFIX}spool_key_{b.n}"


def rows_table(b: Bound) -> str:
    """Their rows, in the order in which they stood."""
    return f"main.{PREFIX}spool_row_{b.n}"


def spool(connection: sqlite3.Connection, bound: Iterable[Bound], number: int, home: str, since: int | None) -> int:
    """Keep what the log names after a token, or everything."""
    total = 0
    for b in bound:
        source = f"{b.table} WHERE {b.scope}" if since is None else f"{b.log} WHERE poolpair_gen > :since"
        chosen = f"SELECT DISTINCT :number, {b.key} FROM {source} AND {b.home} = :home"
        values = {"number": number, "home": home, "since": since}
        total += connection.execute(f"INSERT INTO {keys_table(b)} (poolpair_number, {b.key}) {chosen}", values).rowcount
        columns = ", ".join(f"t.{quote(name)}" for name in b.columns)
        standing = f"{keys_table(b)} k CROSS JOIN {b.table} t ON {b.same_key('t', 'k')} AND {b.scoped('t')}"
        connection.execute(
            f"INSERT INTO {rows_table(b)} (poolpair_number, {b.column_list})"
            f" SELECT :number, {columns} FROM {standing} WHERE k.poolpair_number = :number ORDER BY {b.order}",
            values,
        )
    return total


def forget(connection: sqlite3.Connection, bound: Iterable[Bound], number: int) -> None:
    """Let go of a recovery's groups."""
    for b in bound:
        for table in (keys_table(b), rows_table(b)):
            connection.execute(f"DELETE FROM {table} WHERE poolpair_number = ?", (number,))


def export(connection: sqlite3.Connection, b: Bound, number: int) -> tuple[int, int]:
    """Write a recovery's groups of one table into the attached rows file; returns how many groups and rows."""
    connection.execute(f"CREATE TABLE pkg.k{b.n} ({b.key_types})")
    connection.execute(f"CREATE TABLE pkg.r{b.n} ({b.column_list})")
    groups = connection.execute(
        f"INSERT INTO pkg.k{b.n} SELECT {b.key} FROM {keys_table(b)} WHERE poolpair_number = ? ORDER BY rowid",
        (number,),
    ).rowcount
    rows = connection.execute(
        f"INSERT INTO pkg.r{b.n} SELECT {b.column_list} FROM {rows_table(b)} WHERE poolpair_number = ? ORDER BY rowid",
        (number,),
    ).rowcount
    return groups, rows
