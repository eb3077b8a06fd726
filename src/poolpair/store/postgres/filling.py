"""Rows of a first copy, written straight into the application's table: one COPY, and no temporary table between.

What speaks against it is found by the server or by counting; then nothing was written, and the rows go the way of all others.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from poolpair.store.postgres.bound import HOMES_INLINE, Bound, listed
from poolpair.store.postgres.database import SCHEMA, Database, literal
from poolpair.store.postgres.refusals import is_refusal
from poolpair.store.postgres.rowsfile import reading
from poolpair.store.postgres.skipping import without_triggers
from poolpair.store.values import ApplyPlan


def fill(database: Database, b: Bound, plan: ApplyPlan, rows: Path) -> int | None:
    """Write every row of a section; gives how many. None, and nothing is written, if a row is refused, or not the partner's to send."""
    if not _may_fill(b, plan) or database.row(f"SELECT FROM {SCHEMA}.parked_key_{b.n} LIMIT 1") is not None:
        return None
    database.run("SAVEPOINT poolpair_fill")
    try:
        with without_triggers(database, b):
            sent, written = _copied(database, b, plan, rows)
    except psycopg.Error as error:
        if not (is_refusal(error) or isinstance(error, psycopg.DataError | psycopg.NotSupportedError)):
            raise
        sent, written = 1, 0
    if sent == written:
        database.run("RELEASE SAVEPOINT poolpair_fill")
        return written
    database.run("ROLLBACK TO SAVEPOINT poolpair_fill; RELEASE SAVEPOINT poolpair_fill")
    return None


def _may_fill(b: Bound, plan: ApplyPlan) -> bool:
    """COPY takes no subquery in its condition, so the homes map has to stand in it."""
    inline = b.spec.home_is_pool or 0 < len(b.homes) <= HOMES_INLINE
    return plan.fills and not plan.keep_replaced and b.is_plain and inline


def _copied(database: Database, b: Bound, plan: ApplyPlan, rows: Path) -> tuple[int, int]:
    """How many rows were sent, and how many were the partner's to send."""
    mine = f"{b.scope} AND {b.home} = ANY (ARRAY[{', '.join(map(literal, plan.served))}]::text[])"
    sent = 0
    with reading(rows) as reader, database.connection.cursor() as cursor:
        section = reader.section()
        while section is not None and section.name != f"r{b.n}":
            reader.skip()
            section = reader.section()
        assert section is not None, "it was there a moment ago"
        with cursor.copy(f"COPY {b.table} ({listed(section.columns)}) FROM STDIN WHERE {mine}") as copy:
            for block in reader.blocks():
                sent += block.count(b"\n")
                copy.write(block)
        return sent, cursor.rowcount
