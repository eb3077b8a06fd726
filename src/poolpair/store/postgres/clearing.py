"""`uninstall` and the end of a pair on PostgreSQL: takes out what `init` put in, and nothing from under a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from poolpair.clock import SystemClock
from poolpair.store.postgres.binding import bind
from poolpair.store.postgres.database import SCHEMA, Database, quote
from poolpair.store.postgres.documents import write_document
from poolpair.store.postgres.lease import PostgresLease
from poolpair.store.postgres.locking import Mode, lock_tables
from poolpair.store.postgres.transaction import PostgresTransaction
from poolpair.store.prepared import UNPAIRED, Farewell
from poolpair.store.profile import Profile


def running(database: Database, functions_of_ours: set[str]) -> list[str]:
    """Tables with a trigger that runs one of these functions."""
    found = database.rows(
        "SELECT DISTINCT t.tgrelid::regclass::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
        " WHERE p.pronamespace = to_regnamespace($1) AND p.proname = ANY ($2::text[]) AND NOT t.tgisinternal",
        SCHEMA,
        sorted(functions_of_ours),
    )
    return [str(table) for (table,) in found]


def ours(database: Database) -> list[str]:
    """Our own tables."""
    named = (
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'"
    )
    return [str(table) for (table,) in database.rows(named, SCHEMA)]


def without_use(database: Database, bodies: dict[str, str]) -> set[str]:
    """Functions of ours that no trigger should run any more."""
    names = database.rows(
        "SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = to_regnamespace($1) AND starts_with(p.proname, 'capture_')",
        SCHEMA,
    )
    return {str(name) for (name,) in names} - set(bodies)


@contextmanager
def uninstalled(url: str, lock_wait_s: float) -> Iterator[tuple[str, ...]]:
    """Remove everything of poolpair's from the database; yields what was removed. Needs no partner and no profile.

    Until the context ends no service can begin: time to clear what lies outside. Raises LEASE if one works, before anything changed.
    """
    with opened(url, lock_wait_s) as database, PostgresLease(database, SystemClock()).kept_free():
        removed = database.rows(
            "SELECT t.tgrelid::regclass::text || ' ' || t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
            " WHERE p.pronamespace = to_regnamespace($1) AND NOT t.tgisinternal"
            " UNION ALL SELECT $1 || '.' || relname FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' ORDER BY 1",
            SCHEMA,
        )
        if database.row("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.document") == (True,):
            with database.transaction():
                lock_tables(database, (*running(database, without_use(database, {})), *ours(database)), Mode.EVERYBODY)
                database.run(f"DROP SCHEMA {SCHEMA} CASCADE")
        yield tuple(str(name) for (name,) in removed)


def unpaired(url: str, profile: Profile, pool: str, lock_wait_s: float, *, farewell: Farewell) -> tuple[str, ...]:
    """Take the pair out of the database: triggers and all tables but the ledger and rows kept aside. Raises LEASE if a service works."""
    with opened(url, lock_wait_s) as database, PostgresLease(database, SystemClock()).kept_free():
        bound = bind(database, profile)
        with database.transaction():
            lock_tables(database, (*running(database, without_use(database, {})), *ours(database)), Mode.EVERYBODY)
            word = farewell(PostgresTransaction(database, bound))
            functions_of_ours = "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = to_regnamespace($1)"
            for (function,) in database.rows(functions_of_ours, SCHEMA):
                database.run(f"DROP FUNCTION IF EXISTS {function} CASCADE")  # with the triggers that run it
            mine = "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'r'"
            stays = ("kept_row_", "old_")
            gone = [str(name) for (name,) in database.rows(mine, SCHEMA)]
            gone = [name for name in gone if name not in {"document", "ledger"} and not name.startswith(stays)]
            for name in gone:
                database.run(f"DROP TABLE {SCHEMA}.{quote(name)}")
            database.run(f"UPDATE {SCHEMA}.ledger SET home = $1", pool)
            database.run(f"DELETE FROM {SCHEMA}.document")
            write_document(database, UNPAIRED, word)
    return tuple(f"{SCHEMA}.{name}" for name in gone)


@contextmanager
def opened(url: str, lock_wait_s: float) -> Iterator[Database]:
    """A connection for one act, its errors in our words."""
    with closing(Database(url, lock_wait_s)) as database, database.translated():
        yield database
