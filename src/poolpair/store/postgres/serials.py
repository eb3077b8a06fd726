"""Sequences behind serial and identity columns that travel: told to the partner, and raised where a home begins to be served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database, texts

# A column's own sequence, or the one that its default draws from: tools that migrate tables do not always tie it to the column.
_OF_COLUMN = """
coalesce(pg_get_serial_sequence(w.place, w.called)::regclass::oid, (
  SELECT d.refobjid FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
  JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'S'
  WHERE f.adrelid = w.place::regclass AND a.attname = w.called LIMIT 1))
"""


def _looked_up(database: Database) -> str:
    """The sequences of `_wanted`: by table and column, or where no column is given by their own name."""
    schemas = texts(database.schemas)
    named = (
        "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'"
        f" AND (n.nspname || '.' || c.relname = w.place OR (c.relname = w.place AND n.nspname = ANY ({schemas})))"
        f" ORDER BY array_position({schemas}, n.nspname::text) LIMIT 1"
    )
    sequence = f"CASE WHEN w.called IS NULL THEN ({named}) ELSE {_OF_COLUMN} END"
    return (
        f"SELECT w.named, {sequence} AS seq FROM unnest($1::text[], $2::text[], $3::text[]) AS w(named, place, called)"
    )


def last_numbers(database: Database, bound: Iterable[Bound]) -> dict[str, int]:
    """The number that each sequence gave last, by table and column; nothing is asked where no serial travels."""
    wanted = _wanted(bound)
    if not wanted:
        return {}
    found = database.rows(
        f"SELECT named, pg_sequence_last_value(seq::regclass) FROM ({_looked_up(database)}) s WHERE seq IS NOT NULL",
        *wanted,
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
        f" FROM ({_looked_up(database)}) s JOIN pg_sequence q ON q.seqrelid = s.seq AND q.seqincrement > 0"
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
    query = f"SELECT DISTINCT seq::regclass::text, seq::bigint FROM ({_looked_up(database)}) s WHERE seq IS NOT NULL ORDER BY 1"
    return [(str(name), int(oid)) for name, oid in database.rows(query, *wanted)]


def missing_sequences(database: Database, b: Bound) -> list[str]:
    """Sequences that the profile names for this table, and that are not there."""
    names = list(b.spec.sequences)
    found = database.rows(_looked_up(database), names, names, [None] * len(names)) if names else []
    return [str(name) for name, oid in found if oid is None]


def _wanted(bound: Iterable[Bound]) -> tuple[list[str], list[str], list[str | None]] | None:
    bound = tuple(bound)
    found: list[tuple[str, str, str | None]] = [
        (f"sequence {name}", name, None) for b in bound for name in b.spec.sequences
    ]
    found += [
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
