"""Writes groups into an application's table, by one DELETE and one INSERT; and puts right what triggers made of them.

A trigger of the application's that runs on a row that arrives may change it once more, or silently leave it out (RAISE(IGNORE)). At the
origin it ran when the row was written, and what it did there is in the package. So what was named in a package is looked at when all of
it is written, and rows that are not as they were sent are written again, with no trigger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from poolpair.errors import Code, PoolpairError
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import PREFIX, as_tree, quote
from poolpair.store.sqlite.refusing import savepoint, without_any

HERE = "poolpair_here"
"""The table in an upsert: in one that is itself called excluded, `excluded` would be the row that stands."""


def write_groups(connection: sqlite3.Connection, b: Bound, groups: str, gone: str, rows: str) -> int:
    """Make the groups listed in one table be the rows that another has, and those of `gone` be none; gives how many rows were written."""
    if b.conflict is None:
        delete_groups(connection, b, f"(SELECT {b.key} FROM {groups} UNION ALL SELECT {b.key} FROM {gone})")
        insert = f"INSERT OR ABORT INTO {b.table} ({b.column_list}) SELECT {b.column_list} FROM {rows} ORDER BY rowid"
        return connection.execute(insert).rowcount
    delete_groups(connection, b, gone)
    return connection.execute(
        f"INSERT OR ABORT INTO {b.table} AS {HERE} ({b.column_list}) SELECT {b.column_list} FROM {rows} WHERE 1 ORDER BY rowid"
        f" {on_conflict(b, b.conflict)}"
    ).rowcount


def on_conflict(b: Bound, conflict: Iterable[str]) -> str:
    """What follows INSERT INTO a table AS `HERE` where a group is one row: the row that stands is changed in its place, if it differs."""
    stays = b.same_when_equal & set(conflict)  # of a column that is set SQLite thinks that the row may move
    given = [name for name in b.columns if name not in stays]
    update = "NOTHING"
    if given:
        differs = any_of(_differs(HERE, "excluded", name) for name in given)
        update = f"UPDATE SET {', '.join(f'{q} = excluded.{q}' for q in map(quote, given))} WHERE {differs}"
    return f"ON CONFLICT ({', '.join(map(quote, conflict))}) DO {update}"


def delete_groups(connection: sqlite3.Connection, b: Bound, keys: str, extra: str = "1") -> None:
    """Delete this entry's rows of the groups in a list, called g."""
    # Joined and not asked row by row: a list has no index until a join makes one.
    ranked = sorted((column for column in b.info.columns if column.pk_rank), key=lambda column: column.pk_rank)
    place = [quote(column.name) for column in ranked] if b.info.without_rowid else ["rowid"]
    listed = ", ".join(f"t.{name}" for name in place)
    rows = f"SELECT {listed} FROM {keys} g CROSS JOIN {b.table} t ON {b.same_key('t', 'g')} WHERE {extra}"
    connection.execute(f"DELETE FROM {b.table} WHERE ({', '.join(place)}) IN ({rows}) AND {b.scope}")


def put_right(connection: sqlite3.Connection, b: Bound, gone: str) -> None:
    """Write again, with no trigger, what a package named and what does not stand as it was sent. Raises STORE_BROKEN if that is refused."""
    wrong, fallen, right = (f"temp.{name}_{b.n}" for name in ("wrong", "fallen", "right"))
    for name in (wrong, fallen, right):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    connection.execute(f"CREATE TABLE {wrong} ({b.key_types})")
    connection.execute(f"CREATE TABLE {fallen} ({b.key_types})")
    spared = f"NOT EXISTS (SELECT 1 FROM main.{PREFIX}parked_key_{b.n} p WHERE {b.same_key('p', 'g')})"
    stands = f"EXISTS (SELECT 1 FROM {b.table} t WHERE {b.same_key('t', 'g')} AND {b.scoped('t')})"
    connection.execute(f"INSERT INTO {fallen} SELECT {b.key} FROM {gone} g WHERE {stands} AND {spared}")
    connection.execute(f"INSERT INTO {wrong} SELECT DISTINCT {b.key} FROM ({_wrong(b)}) g WHERE {spared}")
    if not connection.execute(f"SELECT 1 FROM {wrong} UNION ALL SELECT 1 FROM {fallen} LIMIT 1").fetchone():
        return
    columns = ", ".join(f"r.{quote(name)}" for name in b.columns)
    named = f"{wrong} w CROSS JOIN pkg.r{b.n} r ON {b.same_key('w', 'r')}"
    connection.execute(f"CREATE TABLE {right} AS SELECT {columns} FROM {named} ORDER BY r.rowid")
    try:
        with savepoint(connection, "right"), without_any(connection, b):
            write_groups(connection, b, wrong, fallen, right)
    except sqlite3.IntegrityError as error:
        raise PoolpairError(
            Code.STORE_BROKEN,
            f"what a trigger made of table {b.spec.name} cannot be put right: {error}",
            'say triggers = "skip" for it in the profile, at both sites; the package waits',
        ) from error


def _wrong(b: Bound) -> str:
    """The groups of a package whose rows are not what was sent; where groups have more rows than one, also those with too many."""
    keys = ", ".join(f"r.{quote(name)}" for name in b.spec.key)
    differs = any_of(_differs("t", "r", name) for name in b.columns)
    stands = f"SELECT 1 FROM {b.table} t WHERE {b.same_key('t', 'r')} AND NOT ({differs})"
    missing = f"SELECT {keys} FROM pkg.r{b.n} r WHERE NOT EXISTS ({stands})"
    if b.conflict is not None:
        return missing
    sent = f"SELECT {b.key}, 1 AS poolpair_more FROM pkg.r{b.n}"
    found = ", ".join(f"t.{quote(name)}" for name in b.spec.key)
    here = f"SELECT {found}, -1 FROM pkg.k{b.n} k CROSS JOIN {b.table} t ON {b.same_key('t', 'k')}"
    uneven = f"SELECT {b.key} FROM ({sent} UNION ALL {here}) GROUP BY {b.key} HAVING sum(poolpair_more) <> 0"
    return f"{missing} UNION ALL {uneven}"


def _differs(one: str, other: str, column: str) -> str:
    q = quote(column)
    return f"{one}.{q} IS NOT {other}.{q} COLLATE BINARY OR typeof({one}.{q}) <> typeof({other}.{q})"


def any_of(conditions: Iterable[str]) -> str:
    """Join conditions by OR."""
    return as_tree("OR", conditions)
