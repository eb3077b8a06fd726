"""The application's own triggers at the target, kept from firing where the profile says `triggers = "skip"`.

A role that may set `session_replication_role` (a superuser, or one that was granted it, from PostgreSQL 15 on) does so for this
transaction; the owner of the table disables its triggers in this same transaction, and other writers of it wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
def without_triggers(database: Database, b: Bound) -> Iterator[None]:
    """Let no trigger of the application's fire on what is written inside, if the profile says so."""
    if b.spec.triggers == "fire" or not b.on.info.triggers:
        yield
        return
    if _may_be_replica(database):
        database.run(REPLICA)
        yield
        database.run(ORIGIN)
        return
    found = database.rows(_ENABLED, [place.oid for place in (b.on.place, *b.on.partitions)], SCHEMA)
    lock_tables(database, (str(table) for table, _, _ in found), Mode.WRITERS)
    for table, name, _ in found:
        database.run(f"ALTER TABLE {table} DISABLE TRIGGER {quote(name)}")
    yield
    for table, name, enabled in found:
        database.run(f"ALTER TABLE {table} {_AGAIN[enabled]} TRIGGER {quote(name)}")


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
