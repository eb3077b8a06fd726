"""Parked groups: listed for people, tried again on request."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import PREFIX, text
from poolpair.store.sqlite.install import name_parked
from poolpair.store.sqlite.refusing import savepoint, without_triggers
from poolpair.store.sqlite.transaction import applying, forget_parked
from poolpair.store.sqlite.writing import HERE, on_conflict
from poolpair.store.values import ParkedGroup


def list_parked(connection: sqlite3.Connection, channel: Channel | None) -> tuple[ParkedGroup, ...]:
    """Every parked group, oldest first."""
    name_parked(connection)
    columns = "id, tbl, table_name, channel, key, reason, package_id, since_utc"
    query = f"SELECT {columns} FROM main.poolpair_parked WHERE ?1 IS NULL OR channel = ?1 ORDER BY id"
    return tuple(
        ParkedGroup(
            group_id=group_id,
            channel=Channel(text(of)),
            table=text(table) or f"number {number} of an earlier profile",
            key=text(key),
            reason=text(reason),
            package_id=text(package_id),
            since_utc=text(since),
        )
        for group_id, number, table, of, key, reason, package_id, since in connection.execute(
            query, (channel.value if channel else None,)
        )
    )


def retry_parked(connection: sqlite3.Connection, bound: tuple[Bound, ...], group_id: int) -> str | None:
    """Let the parked rows stand for the group; returns the store's reason if it refuses again.

    Raises RolledBack if that took the whole transaction with it.
    """
    name_parked(connection)
    query = "SELECT tbl, table_name FROM main.poolpair_parked WHERE id = ?"
    found = connection.execute(query, (group_id,)).fetchone()
    if found is None:
        raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
    b = _as_parked(connection, bound, int(found[0]), text(found[1]))
    if b is None:
        return (
            f"its table is not carried here any more, or by another key: `poolpair parked drop {group_id}` forgets it"
        )
    whose = connection.execute(
        f"SELECT {b.home} FROM main.{PREFIX}parked_key_{b.n} WHERE poolpair_id = ?", (group_id,)
    ).fetchone()
    connection.execute("UPDATE main.poolpair_gen SET applying = ?", (applying((text(whose[0]),)),))
    try:
        with savepoint(connection, "retry"), without_triggers(connection, b):
            _apply_parked(connection, b, group_id)
    except sqlite3.IntegrityError as error:
        connection.execute("UPDATE main.poolpair_gen SET applying = ''")
        return str(error)
    connection.execute("UPDATE main.poolpair_gen SET applying = ''")
    forget_parked(connection, b.n, group_id)
    return None


def _as_parked(connection: sqlite3.Connection, bound: tuple[Bound, ...], number: int, name: str) -> Bound | None:
    """The table of a group, by its name, with the number and columns that the group was parked with; None if it cannot be written there."""
    # One table may stand in a profile more than once; then the number tells, if it is still the same.
    named = sorted((b for b in bound if b.spec.name == name), key=lambda b: b.n != number)
    keys, rows = (_columns(connection, f"{PREFIX}parked_{kind}_{number}") for kind in ("key", "row"))
    for b in named:
        if keys == {"poolpair_id", *b.spec.key}:
            columns = tuple(column for column in b.columns if column in rows)
            return replace(b, spec=replace(b.spec, number=number), columns=columns)
    return None


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {text(name) for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _apply_parked(connection: sqlite3.Connection, b: Bound, group_id: int) -> None:
    mine = f"FROM main.{PREFIX}parked_row_{b.n} WHERE poolpair_id = {int(group_id)}"
    insert = f"INSERT OR ABORT INTO {b.table} AS {HERE} ({b.column_list}) SELECT {b.column_list} {mine} ORDER BY rowid"
    if b.conflict is not None and connection.execute(f"SELECT 1 {mine} LIMIT 1").fetchone():
        connection.execute(
            f"{insert} {on_conflict(b, b.conflict)}"
        )  # in its place, so that what this site numbers stays
        return
    parked_key = f"SELECT * FROM main.{PREFIX}parked_key_{b.n} WHERE poolpair_id = {int(group_id)}"
    same = f"EXISTS (SELECT 1 FROM ({parked_key}) p WHERE {b.same_key('p', '_t')})".replace('"_t"', "_t")
    connection.execute(f"DELETE FROM {b.table} AS _t WHERE {b.scoped('_t')} AND {same}")
    connection.execute(insert)
