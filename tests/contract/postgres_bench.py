"""The bench on PostgreSQL: the same tables. Its application keeps any value in a text column, as Python writes it."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
from psycopg.rows import TupleRow

from poolpair.homes import home_ranks
from poolpair.model import new_id
from poolpair.store.memory.disk import RowRefused
from poolpair.store.memory.schema import Key, Row
from poolpair.store.port import Store
from poolpair.store.postgres import setup
from poolpair.store.postgres.store import PostgresStore
from poolpair.testing.clock import VirtualClock
from tests.cluster import Cluster
from tests.contract.benches import HOMES, MEMORY_SCHEMA, POISON, PROFILE, REFUSAL, Application, Bench

SCHEMA = """
CREATE TABLE account (id bigserial PRIMARY KEY, host text NOT NULL, "user" text NOT NULL, value text, UNIQUE (host, "user"));
CREATE TABLE setting (host text, "user" text, store text, name text, value text);
CREATE INDEX setting_group ON setting (host, "user", store);
CREATE TABLE notice (name text PRIMARY KEY, value text);
CREATE TABLE upload (host text NOT NULL, slot text NOT NULL, value text, PRIMARY KEY (host, slot));
"""
REFUSE = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$
"""
PREPARED = "contract_prepared"
_NUMBER = count(1)


def _written(row: Row) -> Row:
    """A row as its columns hold it: its last value as Python writes it."""
    return (*row[:-1], None if row[-1] is None else repr(row[-1]))


def _read(row: tuple[object, ...]) -> Row:
    return (*row[:-1], None if row[-1] is None else literal_eval(str(row[-1])))


class PostgresApplication:
    """The application inside one transaction."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._c = connection

    def write(self, table: str, key: Key, rows: Iterable[Row]) -> None:
        spec, fresh = MEMORY_SCHEMA.named(table), [_written(row) for row in rows]
        same = " AND ".join(f'"{name}" IS NOT DISTINCT FROM %s' for name in spec.key)
        columns, marks = ", ".join(f'"{name}"' for name in spec.columns), ", ".join(["%s"] * len(spec.columns))
        insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        with self._c.cursor() as cursor:
            if spec.unique and fresh:
                update = ", ".join(f'"{name}" = excluded."{name}"' for name in spec.columns)
                keys = ", ".join(f'"{name}"' for name in spec.key)
                cursor.executemany(f"{insert} ON CONFLICT ({keys}) DO UPDATE SET {update}", fresh)
                return
            cursor.execute(f"DELETE FROM {table} WHERE {same}", key)
            cursor.executemany(insert, fresh)


class PostgresBench(Bench):
    """The store on PostgreSQL, in a database of its own."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self.cluster = cluster
        self.database = database
        self.copies: list[PostgresBench] = []
        self.store = self.open()

    def open(self, lock: str = "lock") -> Store:
        if lock != "lock":  # the server loses sight of the holder, whose process goes on
            self.cluster.throw_out(self.database, "application_name LIKE 'poolpair%'")
        return PostgresStore(self.cluster.url(self.database), PROFILE, VirtualClock(), lock_wait_s=0.1)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[TupleRow]]:
        """The database as the application opens it; commits at the end."""
        with self.cluster.connect(self.database, autocommit=False) as connection:
            yield connection

    @contextmanager
    def application(self) -> Iterator[Application]:
        try:
            with self.connection() as connection:
                yield PostgresApplication(connection)
        except (psycopg.errors.RaiseException, psycopg.IntegrityError) as error:
            raise RowRefused(error.diag.message_primary) from error

    def rekey(self, table: str, old: Key, new: Key) -> None:
        spec = MEMORY_SCHEMA.named(table)
        moved = ", ".join(f'"{name}" = %s' for name in spec.key)
        same = " AND ".join(f'"{name}" = %s' for name in spec.key)
        with self.connection() as connection:
            connection.execute(f"UPDATE {table} SET {moved} WHERE {same}", (*new, *old))

    def rows(self, table: str) -> list[Row]:
        spec = MEMORY_SCHEMA.named(table)
        columns = ", ".join(f'"{name}"' for name in spec.columns)
        order = {"account": "id", "upload": "host, slot"}.get(table, "ctid")
        with self.connection() as connection:
            return [_read(row) for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")]

    def refuse_poison(self, *, refused: bool) -> None:
        with self.connection() as connection:
            for spec in MEMORY_SCHEMA.application:
                connection.execute(f"DROP TRIGGER IF EXISTS app ON {spec.name}")
                if refused:
                    when = f"FOR EACH ROW WHEN (NEW.value = $${POISON!r}$$) EXECUTE FUNCTION refuse()"
                    connection.execute(f"CREATE TRIGGER app BEFORE INSERT OR UPDATE ON {spec.name} {when}")

    def copy(self, name: str) -> Bench:
        database = f"{name}_{next(_NUMBER)}"
        self.cluster.create(database, self.database)
        copy = PostgresBench(self.cluster, database)
        self.copies.append(copy)
        return copy

    def restore(self, backup: Bench) -> None:
        assert isinstance(backup, PostgresBench)
        self.store.close()
        self.cluster.drop(self.database)
        self.cluster.create(self.database, backup.database)
        self.store = self.open()

    def drop(self) -> None:
        """Close the handle and drop the databases, those of copies too."""
        self.store.close()
        for bench in (*self.copies, self):
            bench.cluster.drop(bench.database)


def prepare_template(cluster: Cluster) -> None:
    """A database with the tables, ready for poolpair; every bench is a copy of it."""
    cluster.create(PREPARED)
    with cluster.connect(PREPARED) as connection:
        connection.execute(SCHEMA)
        connection.execute(REFUSE)
    homes = [(home.rank, home.pattern, home.pool) for home in home_ranks(HOMES)]
    setup.install(cluster.url(PREPARED), PROFILE, homes, "settings", 1.0, record=lambda _tx, _done: None)


def postgres_bench(cluster: Cluster, name: str) -> PostgresBench:
    """A fresh store on PostgreSQL."""
    database = f"{name}_{next(_NUMBER)}"
    cluster.create(database, PREPARED)
    bench = PostgresBench(cluster, database)
    bench.store.adopt(new_id())
    return bench
