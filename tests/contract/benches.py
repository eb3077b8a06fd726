"""Benches: a store under test, with the application that writes to it. One on SQLite, one in memory, with the same tables."""

from __future__ import annotations

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol

from poolpair.homes import home_ranks
from poolpair.model import Channel, new_id
from poolpair.store.memory.disk import MemoryDisk, RowRefused
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable, Row
from poolpair.store.memory.store import MemoryStore
from poolpair.store.port import Store
from poolpair.store.profile_file import parse_profile
from poolpair.store.sqlite import setup
from poolpair.store.sqlite.store import SqliteStore
from poolpair.testing.clock import VirtualClock

HOMES = (("a.example", "a"), ("*.a.example", "a"), ("b.example", "b"), ("shared", "a"))
POISON = "poison"
REFUSAL = "no poison here"
SCHEMA = """
CREATE TABLE account (id INTEGER PRIMARY KEY, host TEXT NOT NULL, user TEXT NOT NULL, value, UNIQUE (host, user));
CREATE TABLE setting (host TEXT, user TEXT, store TEXT, name TEXT, value);
CREATE INDEX setting_group ON setting (host, user, store);
CREATE TABLE notice (name TEXT PRIMARY KEY NOT NULL, value);
CREATE TABLE upload (host TEXT NOT NULL, slot TEXT NOT NULL, value, PRIMARY KEY (host, slot)) WITHOUT ROWID;
"""
PROFILE = parse_profile(
    b"""
[[tables]]
name = "account"
key = ["host", "user"]
home_key = "host"
leave_out = ["id"]

[[tables]]
name = "setting"
key = ["host", "user", "store"]
home_key = "host"
where = "store <> 'local'"

[[tables]]
name = "notice"
key = ["name"]
home = "shared"

[[tables]]
name = "upload"
key = ["host", "slot"]
home_key = "host"
channel = "conferences"
conference = "slot"
""",
    "contract",
)


def _text(key: Key, place: int) -> str:
    value = key[place]
    assert isinstance(value, str)
    return value


MEMORY_SCHEMA = MemorySchema(
    (
        MemoryTable(
            number=1,
            name="account",
            key=("host", "user"),
            columns=("host", "user", "value"),
            unique=True,
            home_key=lambda key: _text(key, 0),
        ),
        MemoryTable(
            number=2,
            name="setting",
            key=("host", "user", "store"),
            columns=("host", "user", "store", "name", "value"),
            home_key=lambda key: _text(key, 0),
            tracked=lambda key: key[2] != "local",
        ),
        MemoryTable(number=3, name="notice", key=("name",), columns=("name", "value"), unique=True),
        MemoryTable(
            number=4,
            name="upload",
            key=("host", "slot"),
            columns=("host", "slot", "value"),
            unique=True,
            channel=Channel.CONFERENCES,
            home_key=lambda key: _text(key, 0),
            conference=lambda key: _text(key, 1),
        ),
    ),
    HOMES,
)


class Application(Protocol):
    """The application within one transaction."""

    def write(self, table: str, key: Key, rows: Iterable[Row]) -> None:
        """Let a group consist of these rows; none deletes it."""
        ...


class Bench(ABC):
    """One pool's store and its application."""

    store: Store
    """The handle of the service."""

    @abstractmethod
    def open(self, lock: str = "lock") -> Store:
        """Another handle, as another process has it; with another `lock`, one that does not see a living holder."""

    @abstractmethod
    def application(self) -> AbstractContextManager[Application]:
        """One transaction of the application."""

    @abstractmethod
    def rekey(self, table: str, old: Key, new: Key) -> None:
        """Change the key of a group in place."""

    @abstractmethod
    def rows(self, table: str) -> list[Row]:
        """Every row in this site's order, without what the profile leaves out."""

    @abstractmethod
    def refuse_poison(self, *, refused: bool) -> None:
        """Let the tables refuse rows whose value is POISON from now on, or take them again."""

    @abstractmethod
    def copy(self, name: str) -> Bench:
        """A copy of the store at another place."""

    @abstractmethod
    def restore(self, backup: Bench) -> None:
        """Set the store back in place while no handle is open; `store` is a new handle."""

    def write(self, table: str, key: Key, *rows: Row) -> None:
        """Write one group in a transaction of its own."""
        with self.application() as application:
            application.write(table, key, rows)

    def delete(self, table: str, key: Key) -> None:
        """Delete one group in a transaction of its own."""
        self.write(table, key)

    def account(self, user: str, value: object, host: str = "a.example") -> None:
        """Write one account."""
        self.write("account", (host, user), (host, user, value))

    def setting(self, user: str, *values: object, host: str = "a.example", store: str = "roster") -> None:
        """Write one group of settings."""
        rows = [(host, user, store, f"name{n}", value) for n, value in enumerate(values)]
        self.write("setting", (host, user, store), *rows)


class MemoryBench(Bench):
    """The store in memory."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.store = self.open()

    def open(self, lock: str = "lock") -> Store:
        if lock != "lock":
            self.disk.lose_lock()
        return MemoryStore(self.disk, VirtualClock())

    def application(self) -> AbstractContextManager[Application]:
        return self.disk.transaction()

    def rekey(self, table: str, old: Key, new: Key) -> None:
        spec = MEMORY_SCHEMA.named(table)
        moved = [new + row[len(new) :] for row in self.disk.group(table, old)]
        assert spec.columns[: len(new)] == spec.key
        with self.application() as application:
            application.write(table, old, ())
            application.write(table, new, moved)

    def rows(self, table: str) -> list[Row]:
        return self.disk.rows(table)

    def refuse_poison(self, *, refused: bool) -> None:
        self.disk.refuses = lambda _table, row: REFUSAL if refused and row[-1] == POISON else None

    def copy(self, name: str) -> Bench:
        return MemoryBench(self.disk.copy(name))

    def restore(self, backup: Bench) -> None:
        assert isinstance(backup, MemoryBench)
        self.store.close()
        self.disk.restore(backup.disk)
        self.store = self.open()


class SqliteApplication:
    """The application on a connection of its own, inside one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._c = connection

    def write(self, table: str, key: Key, rows: Iterable[Row]) -> None:
        spec, fresh = MEMORY_SCHEMA.named(table), list(rows)
        same = " AND ".join(f"{name} IS ?" for name in spec.key)
        columns, marks = ", ".join(spec.columns), ", ".join("?" * len(spec.columns))
        if spec.unique and fresh:
            update = ", ".join(f"{name} = excluded.{name}" for name in spec.columns)
            insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
            self._c.executemany(f"{insert} ON CONFLICT ({', '.join(spec.key)}) DO UPDATE SET {update}", fresh)
            return
        self._c.execute(f"DELETE FROM {table} WHERE {same}", key)
        self._c.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", fresh)


class SqliteBench(Bench):
    """The store on SQLite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "app.sqlite"
        self.store = self.open()

    def open(self, lock: str = "lock") -> Store:
        return SqliteStore(self.path, PROFILE, VirtualClock(), lock_wait_s=0.05, lock_path=self.folder / lock)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """The database as the application opens it; commits at the end."""
        with closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
            yield connection

    @contextmanager
    def application(self) -> Iterator[Application]:
        try:
            with self.connection() as connection:
                yield SqliteApplication(connection)
        except sqlite3.IntegrityError as error:
            raise RowRefused(str(error)) from error

    def rekey(self, table: str, old: Key, new: Key) -> None:
        spec = MEMORY_SCHEMA.named(table)
        same, moved = (sep.join(f"{name} {op} ?" for name in spec.key) for sep, op in ((" AND ", "IS"), (", ", "=")))
        with self.connection() as connection:
            connection.execute(f"UPDATE {table} SET {moved} WHERE {same}", (*new, *old))

    def rows(self, table: str) -> list[Row]:
        spec = MEMORY_SCHEMA.named(table)
        order = ", ".join(spec.key) if table == "upload" else "rowid"
        with self.connection() as connection:
            return connection.execute(f"SELECT {', '.join(spec.columns)} FROM {table} ORDER BY {order}").fetchall()

    def refuse_poison(self, *, refused: bool) -> None:
        with self.connection() as connection:
            for spec in MEMORY_SCHEMA.application:
                for event in ("insert", "update"):
                    trigger = f"app_{spec.name}_{event}"
                    connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
                    if refused:
                        body = f"WHEN NEW.value = '{POISON}' BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
                        connection.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON {spec.name} {body}")

    def copy(self, name: str) -> Bench:
        elsewhere = self.folder.with_name(name)
        elsewhere.mkdir()
        with closing(sqlite3.connect(self.path)) as here, closing(sqlite3.connect(elsewhere / "app.sqlite")) as there:
            here.backup(there)
        return SqliteBench(elsewhere)

    def restore(self, backup: Bench) -> None:
        assert isinstance(backup, SqliteBench)
        self.store.close()
        with closing(sqlite3.connect(backup.path)) as there, closing(sqlite3.connect(self.path)) as here:
            there.backup(here)
        self.store = self.open()


def prepared_database(folder: Path) -> Path:
    """A database with the tables, ready for poolpair; copied for every bench, since preparing one takes a while."""
    path = folder / "prepared.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
    homes = [(home.rank, home.pattern, home.pool) for home in home_ranks(HOMES)]
    setup.install(path, PROFILE, homes, "settings", 1.0, lock_path=folder / "lock", record=lambda _tx, _done: None)
    return path


def sqlite_bench(prepared: Path, folder: Path) -> SqliteBench:
    """A fresh store on SQLite; `folder` is made for it."""
    folder.mkdir()
    shutil.copy(prepared, folder / "app.sqlite")
    bench = SqliteBench(folder)
    bench.store.adopt(new_id())
    return bench


def memory_bench(name: str) -> MemoryBench:
    """A fresh store in memory."""
    return MemoryBench(MemoryDisk(MEMORY_SCHEMA, location=name))
