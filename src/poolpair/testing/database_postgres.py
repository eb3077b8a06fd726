"""The simulator's database on the real PostgreSQL store: slow, for truth. Nobody waits for locks, and no backend outlives its client.

Every pool's database is one on a server that the simulator starts when it is first asked for one. A backup is what all tables hold,
ours too, with the function that is the fence; it is put back row by row in one transaction that captures nothing.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

import psycopg
from psycopg.rows import TupleRow

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.homes import home_ranks
from poolpair.server import Server
from poolpair.store.memory.disk import RowRefused
from poolpair.store.port import Store
from poolpair.store.postgres import setup
from poolpair.store.postgres.install import APPLIED_HOMES, APPLYING
from poolpair.store.postgres.store import PostgresStore
from poolpair.testing.database_memory import REFUSE_MODULUS
from poolpair.testing.database_sqlite import PROFILE
from poolpair.testing.postgres_view import read_view
from poolpair.testing.schema import HOMES, POOLS, SCHEMA, SETTINGS, inherited
from poolpair.testing.view import View, Write

TABLES = f"""
CREATE TABLE account (id bigserial PRIMARY KEY, host text NOT NULL, "user" text NOT NULL, value text, UNIQUE (host, "user"));
CREATE TABLE roster (host text, "user" text, value text);
CREATE TABLE notice (name text PRIMARY KEY, value text);
CREATE TABLE upload (host text NOT NULL, slot text NOT NULL, value text, PRIMARY KEY (host, slot));
CREATE TABLE refused (rest bigint);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.value ~ '^[0-9]+$' AND EXISTS (SELECT 1 FROM public.refused WHERE rest = NEW.value::bigint % {REFUSE_MODULUS}) THEN
    RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$;
"""
TEMPLATE = "simulator"
_NUMBER = count(1)
_FENCE = "SELECT pg_get_functiondef('poolpair.refused(text)'::regprocedure)"
_OPEN = "CREATE OR REPLACE FUNCTION poolpair.refused(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT NULL::text'"
_SAVED = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname IN ('public', 'poolpair') AND c.relname NOT IN ('turn', 'refused') ORDER BY 1
"""


class SimulatorServer:
    """The one server of this process."""

    current: ClassVar[Server | None] = None

    @classmethod
    def get(cls) -> Server:
        """The server, started now if this is the first question."""
        if cls.current is None:
            server = Server(Path(mkdtemp(prefix="poolpair-simulator-")))
            server.initialise()
            server.start()
            atexit.register(server.end)
            server.dba("CREATE ROLE app LOGIN CREATEDB")
            server.create(TEMPLATE)
            with server.connect(TEMPLATE, "app") as connection:
                connection.execute(TABLES)
                for table in SCHEMA.application:
                    each = "FOR EACH ROW EXECUTE FUNCTION refuse()"
                    connection.execute(f"CREATE TRIGGER app BEFORE INSERT OR UPDATE ON {table.name} {each}")
            cls.current = server
        return cls.current


class SimulatedStore(PostgresStore):
    """The production's store; when it is closed, its backends are gone with every lock they held."""

    def close(self) -> None:
        """Wait for the server to see it."""
        connections = [self._db.connection, *([self._view.connection] if self._view else [])]
        backends = [connection.info.backend_pid for connection in connections if not connection.closed]
        super().close()
        with closing(psycopg.connect(self._url, autocommit=True)) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid = ANY (%s)", (backends,)
            )


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup: the rows of each table as COPY writes them, and the function that is the fence."""

    tables: dict[str, bytes]
    fence: str


class PostgresDatabase:
    """Implements `view.Database`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._server = SimulatorServer.get()
        self._url = self._server.url(name, "app")
        self._long: psycopg.Connection[TupleRow] | None = None
        self._reader = self._server.connect(name, "app")
        self._seen: tuple[str, View] | None = None

    @classmethod
    def make(cls, pool: str) -> PostgresDatabase:
        """A new database, prepared, with what the application of a pool had before."""
        server, name = SimulatorServer.get(), f"simulated_{next(_NUMBER)}"
        server.create(name, TEMPLATE)
        with server.connect(name, "app") as connection:
            for group in inherited(pool) if pool in POOLS else ():
                _write(connection, Write(*group))
        homes = [(home.rank, home.pattern, home.pool) for home in home_ranks(HOMES)]
        setup.install(server.url(name, "app"), PROFILE, homes, SETTINGS, 1.0, record=lambda *_: None)
        return cls(name)

    def open(self, clock: Clock) -> Store:
        """A handle."""
        return SimulatedStore(self._url, PROFILE, clock, lock_wait_s=0.0)

    def join(self, store: Store, clock: Clock) -> Store:
        """A handle under the lease of another."""
        assert isinstance(store, PostgresStore)
        joined = SimulatedStore(self._url, PROFILE, clock, lock_wait_s=0.0)
        joined.join_lease(store.lease_number)
        return joined

    def write(self, writes: tuple[Write, ...], *, fenced: bool = True) -> None:
        """One transaction."""
        with closing(self._begun(writes, fenced=fenced)) as connection, _as_the_application():
            connection.commit()

    def begin_long(self, writes: tuple[Write, ...]) -> None:
        """A transaction that stays open; one at a time, as on the other stores."""
        if self._long is not None:
            raise PoolpairError(Code.STORE_LOCKED, "a transaction is open already")
        self._long = self._begun(writes)

    def _begun(self, writes: tuple[Write, ...], *, fenced: bool = True) -> psycopg.Connection[TupleRow]:
        connection = self._server.connect(self._name, "app", autocommit=False)
        try:
            with _as_the_application():
                connection.execute("SET LOCAL lock_timeout = '1ms'")
                fence = connection.execute(_FENCE).fetchone()
                assert fence is not None
                if not fenced:
                    connection.execute(_OPEN)
                for write in writes:
                    _write(connection, write)
                if not fenced:
                    connection.execute(str(fence[0]))
        except BaseException:  # whatever it was: nothing stays open
            connection.rollback()
            connection.close()
            raise
        return connection

    def end_long(self, *, commit: bool) -> None:
        """Commit it, or roll it back."""
        if self._long is not None:
            with closing(self._long) as connection:
                if commit:
                    connection.commit()
                else:
                    connection.rollback()
            self._long = None

    def view(self) -> View:
        """Read what is committed; the same object as long as no transaction ended."""
        row = self._reader.execute("SELECT pg_current_snapshot()::text").fetchone()
        assert row is not None
        if self._seen is None or self._seen[0] != row[0]:
            fresh = read_view(self._reader)
            same = self._seen is not None and self._seen[1].same_as(fresh)
            self._seen = (row[0], self._seen[1] if same and self._seen else fresh)
        return self._seen[1]

    def save(self) -> object:
        """What every table holds, and the fence, in one view."""
        with self._reader.transaction():
            self._reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            fence = self._reader.execute(_FENCE).fetchone()
            tables = {str(table): self._copied(str(table)) for (table,) in self._reader.execute(_SAVED).fetchall()}
            return Saved(tables, str(fence[0]) if fence else "")

    def _copied(self, table: str) -> bytes:
        with self._reader.cursor().copy(f"COPY {table} TO STDOUT") as copy:
            return b"".join(bytes(block) for block in copy)

    def restore(self, saved: object) -> None:
        """Put a backup back, in place, as one transaction that no trigger logs."""
        assert isinstance(saved, Saved)
        with self._server.connect(self._name, "dba", autocommit=False) as connection, _as_the_application():
            connection.execute("SET LOCAL lock_timeout = '1ms'; SET LOCAL session_replication_role = replica")
            connection.execute(f"SELECT set_config('{APPLYING}', pg_current_xact_id()::text, true)")
            connection.execute(f"SELECT set_config('{APPLIED_HOMES}', 'a|b|', true)")
            connection.execute(saved.fence)
            for table, rows in saved.tables.items():
                connection.execute(f"DELETE FROM {table}")
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(rows)

    def clone(self) -> PostgresDatabase:
        """A copy at another place."""
        made = PostgresDatabase.make("")
        made.restore(self.save())
        return made

    def refuse(self, values: frozenset[int]) -> None:
        """The triggers look into a table."""
        with self._server.connect(self._name, "app", autocommit=False) as connection:
            connection.execute("DELETE FROM refused")
            connection.cursor().executemany("INSERT INTO refused VALUES (%s)", [(value,) for value in sorted(values)])

    def lose_lock(self) -> None:
        """The server loses sight of the service's connections, unless they are at work."""
        idle = f"datname = '{self._name}' AND application_name LIKE 'poolpair%' AND state = 'idle'"
        self._server.dba(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {idle}")

    def close(self) -> None:
        """Close everything, and drop the database."""
        self.end_long(commit=False)
        self._reader.close()
        self._server.drop(self._name)


@contextmanager
def _as_the_application() -> Iterator[None]:
    """What PostgreSQL says to the application, in the words of `view.Database`."""
    try:
        yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise PoolpairError(Code.STORE_LOCKED, "a row is locked") from error
    except (psycopg.IntegrityError, psycopg.errors.RaiseException) as error:
        raise RowRefused(str(error)) from error
    except psycopg.Error as error:
        if error.sqlstate != "PP001":  # the fence
            raise
        raise RowRefused(str(error)) from error


def _write(connection: psycopg.Connection[TupleRow], write: Write) -> None:
    spec = SCHEMA.named(write.table)
    rows = [(*row[:-1], None if row[-1] is None else repr(row[-1])) for row in write.rows]
    columns, marks = ", ".join(f'"{name}"' for name in spec.columns), ", ".join(["%s"] * len(spec.columns))
    insert, cursor = f"INSERT INTO {write.table} ({columns}) VALUES ({marks})", connection.cursor()
    if spec.unique and rows:
        update = ", ".join(f'"{name}" = excluded."{name}"' for name in spec.columns)
        keys = ", ".join(f'"{name}"' for name in spec.key)
        cursor.executemany(f"{insert} ON CONFLICT ({keys}) DO UPDATE SET {update}", rows)
        return
    # Nothing else keeps two transactions from replacing a group without a unique key at once, and then both sets of rows would stand.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (repr((write.table, write.key)),))
    same = " AND ".join(f'"{name}" IS NOT DISTINCT FROM %s' for name in spec.key)
    cursor.execute(f"DELETE FROM {write.table} WHERE {same}", write.key)
    cursor.executemany(insert, rows)
