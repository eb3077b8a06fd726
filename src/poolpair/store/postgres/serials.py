"""Sequences behind serial and identity columns that travel: told to the partner, and raised where a home begins to be served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database

# A column's own sequence, or the one that its default draws from: tools that migrate tables do not always tie it to the column.
_SEQUENCE = """
coalesce(pg_get_serial_sequence(w.place, w.called)::regclass::oid, (
  SELECT d.refobjid FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
  JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'S'
  WHERE f.adrelid = w.place::regclass AND a.attname = w.called LIMIT 1))
"""
_WANTED = f"""
SELECT w.named, {_SEQUENCE} AS seq FROM unnest($1::text[], $2::text[], $3::text[]) AS w(named, place, called)
"""


def last_numbers(database: Database, bound: Iterable[Bound]) -> dict[str, int]:
    """The number that each sequence gave last, by table and column; nothing is asked where no serial travels."""
    wanted = _wanted(bound)
    if not wanted:
        return {}
    found = database.rows(
        f"SELECT named, pg_sequence_last_value(seq::regclass) FROM ({_WANTED}) s WHERE seq IS NOT NULL", *wanted
    )
    return {str(named): int(last) for named, last in found if last is not None}


def raise_numbers(database: Database, bound: Iterable[Bound], told: Mapping[str, int], gap: int) -> None:
    """Let every sequence that counts upwards go on above what was told, by `gap` further steps; none is ever lowered."""
    wanted = _wanted(bound)
    if not wanted or not told:
        return
    database.run(
        "SELECT setval(s.seq::regclass, least(q.seqmax, greatest(coalesce(pg_sequence_last_value(s.seq::regclass), 0),"
        " t.told + $6 * q.seqincrement)))"
        f" FROM ({_WANTED}) s JOIN pg_sequence q ON q.seqrelid = s.seq AND q.seqincrement > 0"
        " JOIN unnest($4::text[], $5::bigint[]) AS t(named, told) ON t.named = s.named",
        *wanted,
        list(told),
        list(told.values()),
        gap,
    )


def sequences_of(database: Database, bound: Iterable[Bound]) -> list[tuple[str, int]]:
    """Name and oid of every sequence behind a serial that travels."""
    wanted = _wanted(bound)
    if not wanted:
        return []
    query = f"SELECT DISTINCT seq::regclass::text, seq::bigint FROM ({_WANTED}) s WHERE seq IS NOT NULL ORDER BY 1"
    return [(str(name), int(oid)) for name, oid in database.rows(query, *wanted)]


def _wanted(bound: Iterable[Bound]) -> tuple[list[str], list[str], list[str]] | None:
    found = [
        (f"{b.spec.name}.{column.name}", b.on.place.sql, column.name)
        for b in bound
        if not b.spec.home_is_pool
        for column in b.on.info.columns
        if column.serial and column.name in b.columns
    ]
    if not found:
        return None
    names, places, columns = zip(*dict.fromkeys(found), strict=True)
    return list(names), list(places), list(columns)
