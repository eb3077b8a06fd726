"""The application's own triggers at the target, kept from firing where the profile says `triggers = "skip"`.

A role that may set `session_replication_role` (a superuser, or one that was granted it, from PostgreSQL 15 on) does so for this
transaction; the owner of the table disables its triggers in this same transaction, and other writers of it wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from poolpair.store.postgres.binding import Bound
from poolpair.store.postgres.database import Database, quote

_DISABLED = "SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1::bigint::oid AND tgenabled = 'D'"
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
    resting = {str(name) for (name,) in database.rows(_DISABLED, b.on.place.oid)}
    names = [name for name in b.on.info.triggers if name not in resting]
    for name in names:
        database.run(f"ALTER TABLE {b.table} DISABLE TRIGGER {quote(name)}")
    yield
    for name in names:
        database.run(f"ALTER TABLE {b.table} ENABLE TRIGGER {quote(name)}")


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
