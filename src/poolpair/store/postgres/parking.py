"""Parked groups: listed for people, tried again on request."""

from __future__ import annotations

import psycopg

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.postgres.binding import Bound, by_number
from poolpair.store.postgres.database import SCHEMA, Database, is_refusal, reason_of
from poolpair.store.postgres.install import APPLYING
from poolpair.store.postgres.skipping import without_triggers
from poolpair.store.postgres.transaction import forget_parked
from poolpair.store.values import ParkedGroup


def list_parked(database: Database, bound: tuple[Bound, ...], channel: Channel | None) -> tuple[ParkedGroup, ...]:
    """Every parked group, oldest first."""
    tables = by_number(bound)
    columns = "id, tbl, channel, key, reason, package_id, since_utc"
    found = database.rows(f"SELECT {columns} FROM {SCHEMA}.parked ORDER BY id")
    return tuple(
        ParkedGroup(
            group_id=group_id,
            channel=Channel(of),
            table=tables[table].spec.name,
            key=key,
            reason=reason,
            package_id=package_id,
            since_utc=since,
        )
        for group_id, table, of, key, reason, package_id, since in found
        if channel is None or of == channel.value
    )


def retry_parked(database: Database, bound: tuple[Bound, ...], group_id: int) -> str | None:
    """Replace what stands here of the group by the parked rows; returns the store's reason if it refuses again."""
    found = database.row(f"SELECT tbl FROM {SCHEMA}.parked WHERE id = $1", group_id)
    if found is None:
        raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
    b = by_number(bound)[found[0]]
    database.run("SELECT set_config($1, pg_current_xact_id()::text, true)", APPLYING)
    try:
        with database.savepoint(), without_triggers(database, b):
            _apply_parked(database, b, group_id)
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
        return reason_of(error)
    forget_parked(database, b.n, group_id)
    return None


def _apply_parked(database: Database, b: Bound, group_id: int) -> None:
    same = f"p.poolpair_id = $1 AND {b.same_key('t', 'p')}"
    database.run(
        f"DELETE FROM {b.table} t USING {SCHEMA}.parked_key_{b.n} p WHERE {same} AND {b.scoped('t')}", group_id
    )
    rows = f"SELECT {b.column_list} FROM {SCHEMA}.parked_row_{b.n} WHERE poolpair_id = $1 ORDER BY poolpair_place"
    database.run(f"INSERT INTO {b.table} ({b.column_list}) {rows}", group_id)
