"""Takes locks that keep writers out, without making a writer wait in line behind us.

A lock that is asked for and waited for stands in the server's queue, and every later writer of the table stands behind it, though
the one in front may be a transaction of hours. So it is asked for without waiting, all tables at once, again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import psycopg

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres.database import Database

RETRY_S = 0.05
_HOLDERS = """
SELECT string_agg(DISTINCT pid::text, ', ') FROM pg_locks
WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid() AND relation = ANY ($1::text[]::regclass[]::oid[])
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND mode <> 'AccessShareLock'
"""
_READERS = _HOLDERS.replace(" AND mode <> 'AccessShareLock'", "")


class Mode(StrEnum):
    """How much is kept out."""

    WRITERS = "SHARE ROW EXCLUSIVE"
    """What a new trigger needs: nobody writes meanwhile."""
    EVERYBODY = "ACCESS EXCLUSIVE"
    """What dropping a trigger or changing a column needs: nobody reads either."""


def lock_tables(database: Database, tables: Iterable[str], mode: Mode) -> None:
    """Lock tables until the end of the transaction. Raises STORE_LOCKED after the usual wait, with the process that is in the way."""
    named, wait_s = sorted(set(tables)), database.lock_wait_s
    if not named:
        return
    lock = f"LOCK TABLE ONLY {', ONLY '.join(named)} IN {mode} MODE NOWAIT"
    for _ in range(max(1, round(wait_s / RETRY_S))):
        database.run("SAVEPOINT poolpair_lock")
        try:
            database.run(lock)
        except (
            psycopg.errors.InsufficientPrivilege
        ):  # what follows may be allowed all the same, and then waits its turn
            database.run("ROLLBACK TO SAVEPOINT poolpair_lock")
            return
        except psycopg.errors.LockNotAvailable:
            database.run("ROLLBACK TO SAVEPOINT poolpair_lock")  # lets go of those that were free
            database.run(f"SELECT pg_sleep({RETRY_S})")
        else:
            database.run("RELEASE SAVEPOINT poolpair_lock")
            return
    holders = database.row(_HOLDERS if mode is Mode.WRITERS else _READERS, named)
    who = f", held by the server's process {holders[0]}" if holders and holders[0] else ""
    shown = ", ".join(named[:3]) + (" ..." if len(named) > 3 else "")
    raise PoolpairError(Code.STORE_LOCKED, f"{shown} stayed in use for {wait_s:g} s{who}; nothing was changed")
