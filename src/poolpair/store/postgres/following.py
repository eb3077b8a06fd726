"""Partitions that come and go while a service works: their triggers follow, and where rows may have moved unseen a comparison does.

A new partition that never held a row of its own needs no comparison: what came through the table was captured. One that was attached with
rows, or left with them, does: neither fires a trigger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from poolpair.store.postgres import capturing
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.capturing import CAPTURE, CaptureState
from poolpair.store.postgres.database import Database
from poolpair.store.postgres.documents import read_document, write_document
from poolpair.store.postgres.install import create_trigger, made_of, triggers
from poolpair.store.postgres.locking import Mode, lock_tables

MOVED = "store/moved"
_HELD_ROWS = """
SELECT EXISTS (SELECT 1 FROM pg_class WHERE oid = ANY ($1::bigint[]::oid[]) AND relkind = 'r'
  AND (pg_relation_size(oid) > 0 OR relfilenode <> oid))
"""
"""A table that was truncated has another file than the one it was made with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How often rows may have come or gone with a partition."""

    times: int


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
        if wrong.get(called) == "missing" and called not in known.triggers and trigger.place.oid not in tables
    ]
    if not wrong or len(fresh) + len(gone) != len(wrong):
        return False
    lock_tables(database, (trigger.place.sql for trigger in fresh), Mode.WRITERS)
    held = database.row(_HELD_ROWS, [trigger.place.oid for trigger in fresh])
    for trigger in fresh:
        create_trigger(database, trigger)
    have = capturing.installed(database)
    state = {called: noted for called, noted in known.triggers.items() if called not in gone}
    for trigger in fresh:
        _, xmin, text = have[(trigger.place.oid, trigger.name)]
        state[trigger.called] = (made[trigger.called], text, xmin)
    entries = {called: trigger.entry for called, trigger in wanted.items()}
    write_document(database, CAPTURE, replace(known, triggers=state, entries=entries))
    if gone or held == (True,):
        times = read_document(database, Moved, MOVED) or Moved(times=0)
        write_document(database, MOVED, Moved(times=times.times + 1))
    return True
