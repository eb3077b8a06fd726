"""Parked groups: set aside, listed for people, tried again on request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import psycopg

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.postgres.bound import GONE, Bound, by_number, listed
from poolpair.store.postgres.capturing import CAPTURE, CaptureState
from poolpair.store.postgres.database import SCHEMA, Database, quote
from poolpair.store.postgres.documents import read_document
from poolpair.store.postgres.install import beginning_to_apply, triggers
from poolpair.store.postgres.refusals import is_refusal, reason_of
from poolpair.store.postgres.skipping import without_triggers
from poolpair.store.postgres.statements import Statements
from poolpair.store.postgres.transaction import forget_parked
from poolpair.store.values import ApplyPlan, ParkedGroup


def park(database: Database, b: Bound, plan: ApplyPlan, keys: str, place: int, reason: str) -> None:
    """Set a refused group aside with the rows that the package has of it."""
    texts = ", ".join(f"{quote(name)}::text" for name in b.spec.key)
    key = database.row(f"SELECT {texts} FROM {keys} WHERE poolpair_place = $1", place)
    assert key is not None
    group_id = database.number(
        f"INSERT INTO {SCHEMA}.parked (tbl, channel, key, reason, package_id, since_utc, snapshot)"
        " VALUES ($1, $2, $3, $4, $5, $6, pg_current_snapshot()) RETURNING id",
        b.n,
        plan.channel.value,
        describe_key(b, key),
        reason,
        plan.package_id,
        plan.now_utc,
    )
    database.run(
        f"INSERT INTO {SCHEMA}.parked_key_{b.n} (poolpair_id, {b.key}) SELECT $1, {b.key} FROM {keys} WHERE poolpair_place = $2",
        group_id,
        place,
    )
    mine = f"JOIN {keys} a ON {b.same_key('a', 'r')} WHERE a.poolpair_place = $2 AND NOT r.{GONE}"
    database.run(
        f"INSERT INTO {SCHEMA}.parked_row_{b.n} (poolpair_id, poolpair_place, {b.column_list})"
        f" SELECT $1, r.poolpair_place, {listed(b.columns, 'r')} FROM pg_temp.r{b.n} r {mine}",
        group_id,
        place,
    )


def unpark(database: Database, b: Bound, named: Iterable[str]) -> None:
    """A newer package that names a parked group replaces what was parked."""
    parked = f"{SCHEMA}.parked_key_{b.n} p"
    for keys in named:
        found = database.rows(f"SELECT DISTINCT p.poolpair_id FROM {parked} JOIN {keys} g ON {b.same_key('p', 'g')}")
        for (group_id,) in found:
            forget_parked(database, b.n, group_id)


def list_parked(database: Database, bound: tuple[Bound, ...], channel: Channel | None) -> tuple[ParkedGroup, ...]:
    """Every parked group, oldest first."""
    tables = _by_number_then(database, bound)
    columns = "id, tbl, channel, key, reason, package_id, since_utc"
    found = database.rows(f"SELECT {columns} FROM {SCHEMA}.parked ORDER BY id")
    return tuple(
        ParkedGroup(
            group_id=group_id,
            channel=Channel(of),
            table=tables[table].spec.name if table in tables else f"number {table} of the profile, which is not there",
            key=key,
            reason=reason,
            package_id=package_id,
            since_utc=since,
        )
        for group_id, table, of, key, reason, package_id, since in found
        if channel is None or of == channel.value
    )


def retry_parked(database: Database, bound: tuple[Bound, ...], group_id: int) -> str | None:
    """Let the parked rows stand for the group; returns the store's reason if it refuses again."""
    found = database.row(f"SELECT tbl FROM {SCHEMA}.parked WHERE id = $1", group_id)
    if found is None:
        raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
    b = _by_number_then(database, bound).get(found[0])
    if b is None or not _keeps(database, b):
        return (
            f"its table is not carried here any more, or by another key: `poolpair parked drop {group_id}` forgets it"
        )
    home = database.row(f"SELECT {b.home} FROM {SCHEMA}.parked_key_{b.n} WHERE poolpair_id = $1", group_id)
    database.run(beginning_to_apply([str(home[0])] if home else []))
    refused: str | None = None
    with without_triggers(database, b):
        try:
            database.tried(_applied_parked(database, b, group_id))
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            refused = reason_of(error)
    if refused is None:
        forget_parked(database, b.n, group_id)
    return refused


def _by_number_then(database: Database, bound: tuple[Bound, ...]) -> dict[int, Bound]:
    """Each table, under the number that it had when the database was prepared: what is parked lies under that.

    Numbers are given anew when tables come or go, and `init` goes on only when nothing is parked any more.
    """
    known = read_document(database, CaptureState, CAPTURE)
    noted = known.entries if known is not None else {}
    tables, now = by_number(bound), {trigger.called: trigger.entry for trigger in triggers(bound)}
    if all(now.get(called, then) == then for called, then in noted.items()):
        return tables
    return {
        then: replace(tables[now[called]], spec=replace(tables[now[called]].spec, number=then))
        for called, then in noted.items()
        if called in now
    }


def _keeps(database: Database, b: Bound) -> bool:
    """Whether what is parked has this table's key and all of its columns."""
    query = (
        "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
    )
    keys, rows = (
        {name for (name,) in database.rows(query, f"{SCHEMA}.parked_{kind}_{b.n}")} for kind in ("key", "row")
    )
    return keys == {"poolpair_id", *b.spec.key} and rows.issuperset(b.columns)


def _applied_parked(database: Database, b: Bound, group_id: int) -> list[str]:
    mine = f"FROM {SCHEMA}.parked_row_{b.n} WHERE poolpair_id = {group_id}"
    insert = f"INSERT INTO {b.table} AS t ({b.column_list}) SELECT {b.column_list} {mine} ORDER BY poolpair_place"
    if b.conflict is not None and database.row(f"SELECT 1 {mine} LIMIT 1"):
        return [
            insert + Statements(b).on_conflict(b.conflict)
        ]  # in its place: others may refer to it, and a cascade take them
    same = f"p.poolpair_id = {group_id} AND {b.same_key('t', 'p')}"
    gone = f"DELETE FROM {b.table} t USING {SCHEMA}.parked_key_{b.n} p WHERE {same} AND {b.scoped('t')}"
    return [gone, insert]


def describe_key(b: Bound, key: tuple[object, ...]) -> str:
    """Name a group for people."""
    return ", ".join(
        f"{name}={value if value is not None else 'NULL'}" for name, value in zip(b.spec.key, key, strict=True)
    )
