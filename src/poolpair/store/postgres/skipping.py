"""The application's own triggers at the target, kept from firing where the profile says `triggers = "skip"`.

Whoever has the rights of the table's owner disables its triggers in this same transaction, and other writers of it wait meanwhile. That
is done before anything is written and undone behind all of it (`resting`): the server does not alter a table that a constraint waits for.
A role that may only set `session_replication_role` (one that was granted it, from PostgreSQL 15 on) does so for single statements; then
the server looks at no reference and at no unique value that can wait, cascades nothing, and triggers that fire ALWAYS do so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import SCHEMA, Database, quote
from poolpair.store.postgres.locking import Mode, lock_tables

_ENABLED = """
SELECT t.tgrelid::regclass::text, t.tgname::text, t.tgenabled::text FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE t.tgrelid = ANY ($1::bigint[]::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0 AND n.nspname <> $2 AND t.tgenabled <> 'D'
"""
_AGAIN = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
REPLICA = "SET LOCAL session_replication_role = replica"
ORIGIN = "SET LOCAL session_replication_role = origin"


@contextmanager
def resting(database: Database, bound: Iterable[Bound]) -> Iterator[None]:
    """Disable what may be, of several tables, around all that a transaction writes. Inside nothing waits any more at the end."""
    with ExitStack() as all_:
        for b in bound:
            if _are_skipped(b) and _owns(database, b):
                all_.enter_context(_disabled(database, b))
        yield


@contextmanager
def without_triggers(database: Database, b: Bound) -> Iterator[None]:
    """Let no trigger of the application's fire on what is written inside, if the profile says so."""
    if not _are_skipped(b):
        yield
    elif _owns(database, b) or not _may_be_replica(database):
        with _disabled(database, b):
            yield
    else:
        database.run(REPLICA)
        yield
        database.run(ORIGIN)


def as_replica(database: Database, b: Bound) -> bool:
    """Whether what is written to this table cannot be written together with what is written to others."""
    return _are_skipped(b) and not _owns(database, b)


@contextmanager
def _disabled(database: Database, b: Bound) -> Iterator[None]:
    """Disable those that are not, and let them be as they were."""
    found = database.rows(_ENABLED, [place.oid for place in (b.on.place, *b.on.partitions)], SCHEMA)
    lock_tables(database, (str(table) for table, _, _ in found), Mode.WRITERS)
    for table, name, _ in found:
        database.run(f"ALTER TABLE {table} DISABLE TRIGGER {quote(name)}")
    yield
    for table, name, enabled in found:
        database.run(f"ALTER TABLE {table} {_AGAIN[enabled]} TRIGGER {quote(name)}")


def _are_skipped(b: Bound) -> bool:
    return b.spec.triggers == "skip" and bool(b.on.info.triggers)


def _owns(database: Database, b: Bound) -> bool:
    owner = "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class WHERE oid = ANY ($1::bigint[]::oid[])"
    return database.row(owner, [place.oid for place in (b.on.place, *b.on.partitions)]) == (True,)


def _may_be_replica(database: Database) -> bool:
    """Whether this role may; tried in a savepoint, since releases differ in how to ask."""
    database.run("SAVEPOINT poolpair_replica")
    try:
        database.run(REPLICA)
    except psycopg.errors.InsufficientPrivilege:
        database.run("ROLLBACK TO SAVEPOINT poolpair_replica")
        return False
    database.run("ROLLBACK TO SAVEPOINT poolpair_replica")
    return True
