"""Binds a profile's tables to the tables that are there, or says why they do not fit."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from poolpair.store import ledger
from poolpair.store.postgres.bound import HOME_TABLE, Bound
from poolpair.store.postgres.circles import ranks_of
from poolpair.store.postgres.database import SCHEMA, Database, literal
from poolpair.store.postgres.refusals import reason_of
from poolpair.store.postgres.schema import ColumnType, Place, Table, describe_tables
from poolpair.store.postgres.serials import missing_sequences
from poolpair.store.profile import Profile
from poolpair.store.profile_check import ColumnInfo, Problem, check_profile, does_not_fit, unique_key_within

LEDGER_TABLE = "ledger"
_REFERRING = """
SELECT DISTINCT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND confrelid = $1::bigint::oid
  AND NOT (condeferrable AND confdeltype = 'a') ORDER BY 1
"""
"""What waits for the end of the transaction sees the new rows."""
LEDGER_PLACE = "poolpair_place"
"""Orders entries at this site; every other column travels."""


def problems_of(database: Database, profile: Profile, tables: dict[str, Table]) -> tuple[Problem, ...]:
    """Every reason why a profile does not fit, and what there is to know; expressions are tried out."""
    found = list(check_profile(profile, {name: table.info for name, table in _named(tables).items()}))
    for name, table in tables.items():
        found += [Problem(table=name, reason=reason) for reason in table.troubles]
    if not any(problem.fatal for problem in found):
        for b in _bind_all(profile, tables):
            found += [Problem(table=b.spec.name, reason=reason) for reason in _tried(database, b)]
            found += [Problem(table=b.spec.name, reason=reason) for reason in _replaced_under(database, b)]
            missing = missing_sequences(database, b)
            found += [Problem(table=b.spec.name, reason=f"there is no sequence {name}") for name in missing]
    return tuple(found)


def _named(tables: dict[str, Table]) -> dict[str, Table]:
    """The tables with their references under the names that the profile gives."""
    names = {table.place.sql: name for name, table in tables.items()}
    return {
        name: replace(table, info=replace(table.info, references=tuple(names.get(r, r) for r in table.info.references)))
        for name, table in tables.items()
    }


def _tried(database: Database, b: Bound) -> list[str]:
    """Let the database read every expression: it has the last word on its grammar."""
    wrong = []
    for label in ("where", "home_key", "principal", "conference"):
        expression = getattr(b.spec, label)
        if expression:
            cast = "::boolean" if label == "where" else "::text"
            try:
                database.run(f"EXPLAIN SELECT ({expression}){cast} FROM {b.table}")
            except psycopg.errors.SyntaxErrorOrAccessRuleViolation as error:
                wrong.append(f"{label} = {literal(expression)}: {reason_of(error)}")
    return wrong


def _replaced_under(database: Database, b: Bound) -> list[str]:
    """Groups that are replaced whole lose, for a moment, the rows that others refer to: they would go with them, or refuse that."""
    if b.conflict is not None:
        return []
    others = database.rows(_REFERRING, b.on.place.oid)
    hint = "name the columns of a unique key, none of which may be NULL, in `key`"
    return [f"table {other} refers to rows of it, which are replaced group by group: {hint}" for (other,) in others]


def bind(database: Database, profile: Profile, *, partly: bool = False) -> tuple[Bound, ...]:
    """Bind every entry of the profile; `partly` those whose table is there, if any is. Raises PROFILE with all reasons against it."""
    tables, whole = describe_tables(database, {spec.name for spec in profile.tables}), profile
    if partly and tables:
        profile = replace(profile, tables=tuple(spec for spec in profile.tables if spec.name in tables))
    fatal = [problem for problem in problems_of(database, profile, tables) if problem.fatal]
    if fatal:
        raise does_not_fit(fatal)
    return (*_bind_all(profile, tables, _homes(database)), _bind_ledger(database, whole))


def _homes(database: Database) -> tuple[tuple[str, str], ...]:
    there = database.row("SELECT to_regclass($1) IS NOT NULL", HOME_TABLE)
    if not (there and there[0]):
        return ()
    found = database.rows(f"SELECT poolpair_like, poolpair_pool FROM {HOME_TABLE} ORDER BY poolpair_rank")
    return tuple((str(like), str(pool)) for like, pool in found)


def _bind_ledger(database: Database, profile: Profile) -> Bound:
    """The ledger, which every pair has beside the tables of its profile; where `init` did not make it yet its oid is 0."""
    row = database.row("SELECT coalesce(to_regclass($1)::oid::bigint, 0)", f"{SCHEMA}.{LEDGER_TABLE}")
    assert row is not None
    place = ColumnInfo(name=LEDGER_PLACE, declared_type="bigint", not_null=True, serial=True)
    info = replace(ledger.ledger_info(), columns=(*ledger.ledger_info().columns, place))
    text, number_type = (ColumnType(base=base, collate="", exact=True, told=base) for base in ("text", "bigint"))
    spec = replace(ledger.ledger_table(profile), leave_out=(LEDGER_PLACE,))
    return Bound(
        spec=spec,
        on=Table(
            place=Place(oid=int(row[0]), schema=SCHEMA, name=LEDGER_TABLE),
            info=info,
            types=dict.fromkeys(ledger.COLUMNS, text) | {LEDGER_PLACE: number_type},
        ),
        columns=ledger.COLUMNS,
        conflict=ledger.KEY,
    )


def _bind_all(profile: Profile, tables: dict[str, Table], homes: tuple[tuple[str, str], ...] = ()) -> tuple[Bound, ...]:
    ranks, circles = ranks_of({table.place.oid: table.refers_to for table in tables.values()})
    return tuple(
        Bound(
            spec=spec,
            on=on,
            columns=tuple(c.name for c in on.info.columns if not c.generated and c.name not in spec.leave_out),
            conflict=unique_key_within(on.info, spec.key),
            homes=homes,
            rank=ranks[on.place.oid],
            circle=circles.get(on.place.oid, 0),
        )
        for spec in profile.tables
        for on in (tables[spec.name],)
    )
