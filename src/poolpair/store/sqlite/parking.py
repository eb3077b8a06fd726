"""Parked groups: listed for people, tried again on request."""

from __future__ import annotations

import sqlite3

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.sqlite.binding import Bound, by_number
from poolpair.store.sqlite.connection import PREFIX, text
from poolpair.store.sqlite.refusing import savepoint, without_triggers
from poolpair.store.sqlite.transaction import applying, forget_parked
from poolpair.store.values import ParkedGroup


def list_parked(
    connection: sqlite3.Connection, bound: tuple[Bound, ...], channel: Channel | None
) -> tuple[ParkedGroup, ...]:
    """Every parked group, oldest first."""
    tables = by_number(bound)
    columns = "id, tbl, channel, key, reason, package_id, since_utc"
    query = f"SELECT {columns} FROM main.poolpair_parked WHERE ?1 IS NULL OR channel = ?1 ORDER BY id"
    return tuple(
        ParkedGroup(
            group_id=group_id,
            channel=Channel(text(of)),
            table=tables[table].spec.name if table in tables else f"number {table} of the profile, which is not there",
            key=text(key),
            reason=text(reason),
            package_id=text(package_id),
            since_utc=text(since),
        )
        for group_id, table, of, key, reason, package_id, since in connection.execute(
            query, (channel.value if channel else None,)
        )
    )


def retry_parked(connection: sqlite3.Connection, bound: tuple[Bound, ...], group_id: int) -> str | None:
    """Replace what stands here of the group by the parked rows; returns the store's reason if it refuses again.

    Raises RolledBack if that took the whole transaction with it.
    """
    found = connection.execute("SELECT tbl FROM main.poolpair_parked WHERE id = ?", (group_id,)).fetchone()
    if found is None:
        raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
    b = by_number(bound).get(found[0])
    if b is None:
        raise PoolpairError(Code.SCHEMA, "its table is not there")
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


def _apply_parked(connection: sqlite3.Connection, b: Bound, group_id: int) -> None:
    parked_key = f"SELECT * FROM main.{PREFIX}parked_key_{b.n} WHERE poolpair_id = {int(group_id)}"
    same = f"EXISTS (SELECT 1 FROM ({parked_key}) p WHERE {b.same_key('p', '_t')})".replace('"_t"', "_t")
    connection.execute(f"DELETE FROM {b.table} AS _t WHERE {b.scoped('_t')} AND {same}")
    rows = f"SELECT {b.column_list} FROM main.{PREFIX}parked_row_{b.n} WHERE poolpair_id = ? ORDER BY rowid"
    connection.execute(f"INSERT OR ABORT INTO {b.table} ({b.column_list}) {rows}", (group_id,))
