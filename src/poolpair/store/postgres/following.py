"""Partitions and columns that come and go: triggers follow, and where rows may have moved or changed unseen a comparison does.

A new partition that never held a row of its own needs no comparison: what came through the table was captured. One that was attached with
rows, or left with them, does: neither fires a trigger. One that left and came back keeps its triggers, but what was done to it meanwhile
counted as no part of the table. Nor does a column fire any that came with a default, which may differ at each site (`now()`), or was given
another type: where both sites have run the same migration nothing else would tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from poolpair.store.postgres import capturing
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.capturing import CAPTURE, CaptureState
from poolpair.store.postgres.database import Database
from poolpair.store.postgres.documents import read_document, write_document
from poolpair.store.postgres.install import create_trigger, made_of, triggers
from poolpair.store.postgres.locking import Mode, lock_tables

MOVED = "store/moved"
COLUMNS = "store/columns"
_COLUMNS_NOW = """
SELECT md5(coalesce(string_agg(attrelid || ':' || attnum || ':' || xmin, ',' ORDER BY attrelid, attnum), ''))
FROM pg_attribute WHERE attrelid = ANY ($1::bigint[]::oid[]) AND attnum > 0
"""
_PARTS_NOW = "SELECT inhrelid::bigint, xmin::text FROM pg_inherits WHERE inhrelid = ANY ($1::bigint[]::oid[])"
_HELD_ROWS = """
SELECT EXISTS (SELECT 1 FROM pg_class WHERE oid = ANY ($1::bigint[]::oid[]) AND relkind = 'r'
  AND (pg_relation_size(oid) > 0 OR relfilenode <> oid))
"""
"""A table that was truncated has another file than the one it was made with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How often rows may have come or gone with a partition, or changed with a column."""

    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of tracked tables when a service last looked, and who defined each: a digest; and who attached each partition."""

    digest: str
    parts: dict[str, str] = field(default_factory=dict)


def moved(database: Database) -> str:
    """Another text after each such time."""
    known = read_document(database, Moved, MOVED)
    return str(known.times) if known else ""


def follow_partitions(database: Database, bound: tuple[Bound, ...]) -> bool:
    """Take in partitions that came, forget those that went; False if that is not all that is wrong. In a transaction of the service's."""
    known = read_document(database, CaptureState, CAPTURE) or CaptureState()
    made, wanted = made_of(bound), {trigger.called: trigger for trigger in triggers(bound)}
    wrong, tables = capturing.whole(database, bound, made, known), {b.on.place.oid for b in bound}
    gone = {called for called in wrong if called not in wanted}
    fresh = [
        trigger
        for called, trigger in wanted.items()
        if called in wrong and called not in known.triggers and trigger.place.oid not in tables
    ]
    if not wrong or len(fresh) + len(gone) != len(wrong):
        return False
    lock_tables(database, (trigger.place.sql for trigger in fresh), Mode.WRITERS)
    held = database.row(_HELD_ROWS, [trigger.place.oid for trigger in fresh])
    for trigger in fresh:
        database.run(
            f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.place.sql}"
        )  # of a time when it was a part before
        create_trigger(database, trigger)
    have = capturing.installed(database)
    state = {called: noted for called, noted in known.triggers.items() if called not in gone}
    for trigger in fresh:
        _, xmin, text = have[(trigger.place.oid, trigger.name)]
        state[trigger.called] = (made[trigger.called], text, xmin)
    entries = {called: trigger.entry for called, trigger in wanted.items()}
    write_document(database, CAPTURE, replace(known, triggers=state, entries=entries))
    if gone or held == (True,):
        _note_move(database)
    return True


def follow_columns(database: Database, bound: tuple[Bound, ...]) -> None:
    """Note a column that was defined anew since the last look, or a partition attached again. In a transaction of the service's."""
    row = database.row(_COLUMNS_NOW, [b.on.place.oid for b in bound])
    attached = database.rows(_PARTS_NOW, [place.oid for b in bound for place in b.on.partitions])
    parts = {str(oid): str(xmin) for oid, xmin in attached}
    now, known = Columns(digest=str(row[0]) if row else "", parts=parts), read_document(database, Columns, COLUMNS)
    if now == known:
        return
    write_document(database, COLUMNS, now)
    if known is None:
        return
    again = any(known.parts.get(oid, xmin) != xmin for oid, xmin in parts.items())
    if again or known.digest != now.digest:
        _note_move(database)


def _note_move(database: Database) -> None:
    times = read_document(database, Moved, MOVED) or Moved(times=0)
    write_document(database, MOVED, Moved(times=times.times + 1))
