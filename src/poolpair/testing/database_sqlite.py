"""The simulator's database on the real SQLite store: slow, for truth. The application has connections of its own; nobody waits for locks.

A view is read on one more connection in one read transaction, and read anew only if SQLite says that somebody committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.homes import home_ranks
from poolpair.model import new_id
from poolpair.store.memory.disk import RowRefused
from poolpair.store.port import Store
from poolpair.store.profile_file import parse_profile
from poolpair.store.sqlite import setup
from poolpair.store.sqlite.store import SqliteStore
from poolpair.testing.database_memory import REFUSE_MODULUS
from poolpair.testing.schema import HOMES, SCHEMA, SETTINGS, inherited
from poolpair.testing.sqlite_view import read_view
from poolpair.testing.view import View, Write

TABLES = """
CREATE TABLE account (id INTEGER PRIMARY KEY, host TEXT NOT NULL, user TEXT NOT NULL, value, UNIQUE (host, user));
CREATE TABLE roster (host TEXT, user TEXT, value);
CREATE TABLE notice (name TEXT PRIMARY KEY NOT NULL, value);
CREATE TABLE upload (host TEXT NOT NULL, slot TEXT NOT NULL, value, PRIMARY KEY (host, slot)) WITHOUT ROWID;
"""
PROFILE = parse_profile(
    b"""
tables = [
  { name = "account", channel = "users", key = ["host", "user"], home_key = "host", leave_out = ["id"] },
  { name = "roster", channel = "users", key = ["host", "user"], home_key = "host" },
  { name = "notice", channel = "users", key = ["name"], home = "shared" },
  { name = "upload", channel = "conferences", key = ["host", "slot"], home_key = "host", conference = "slot" },
]
files = [{ pattern = "{host}/{slot}", home_key = "{host}", conference = "{slot}" }]
""",
    "simulator",
)


class SqliteDatabase:
    """Implements `view.Database`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "app.sqlite"
        self._long: sqlite3.Connection | None = None
        self._reader = sqlite3.connect(self._path, isolation_level=None)
        self._seen: tuple[int, View] | None = None

    @classmethod
    def make(cls, folder: Path, pool: str) -> SqliteDatabase:
        """A new database with what its application had before, prepared."""
        folder.mkdir()
        path = folder / "app.sqlite"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(TABLES)
            for group in inherited(pool):
                _write(connection, Write(*group))
        homes = [(home.rank, home.pattern, home.pool) for home in home_ranks(HOMES)]
        lock = folder / "lock"
        setup.install(path, PROFILE, homes, SETTINGS, 1.0, lock_path=lock, record=lambda *_: None)
        return cls(folder)

    def open(self, clock: Clock) -> Store:
        """A handle."""
        return SqliteStore(self._path, PROFILE, clock, lock_wait_s=0.0, lock_path=self._folder / "lock")

    def join(self, store: Store, clock: Clock) -> Store:
        """A handle under the lease of another."""
        assert isinstance(store, SqliteStore)
        joined = SqliteStore(self._path, PROFILE, clock, lock_wait_s=0.0, lock_path=self._folder / "lock")
        joined.join_lease(store.lease_number)
        return joined

    def write(self, writes: tuple[Write, ...], *, fenced: bool = True) -> None:
        """One transaction."""
        with closing(self._begun(writes, fenced=fenced)) as connection:
            connection.execute("COMMIT")

    def begin_long(self, writes: tuple[Write, ...]) -> None:
        """A transaction that stays open."""
        self._long = self._begun(writes)

    def _begun(self, writes: tuple[Write, ...], *, fenced: bool = True) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            with _as_the_application():
                connection.execute("BEGIN IMMEDIATE")
                fence = [] if fenced else connection.execute("SELECT * FROM poolpair_fence").fetchall()
                connection.execute("DELETE FROM poolpair_fence" if fence else "SELECT 1")
                for write in writes:
                    _write(connection, write)
                connection.executemany("INSERT INTO poolpair_fence VALUES (?, ?)", fence)
        except BaseException:  # whatever it was: nothing stays open
            connection.close()
            raise
        return connection

    def end_long(self, *, commit: bool) -> None:
        """Commit it, or roll it back."""
        if self._long is not None:
            with closing(self._long) as connection:
                connection.execute("COMMIT" if commit else "ROLLBACK")
            self._long = None

    def view(self) -> View:
        """Read what is committed; the same object as long as nobody committed."""
        version = int(self._reader.execute("PRAGMA data_version").fetchone()[0])
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, read_view(self._reader))
        return self._seen[1]

    def save(self) -> object:
        """A copy of the file, made by SQLite."""
        return self._copied_to(self._folder / f"backup-{new_id()[:8]}")

    def _copied_to(self, path: Path) -> Path:
        with closing(sqlite3.connect(path)) as there:
            self._reader.backup(there)
        return path

    def restore(self, saved: object) -> None:
        """Put a copy back, in place."""
        assert isinstance(saved, Path)
        with closing(sqlite3.connect(saved)) as there, closing(sqlite3.connect(self._path)) as here:
            there.backup(here)

    def clone(self) -> SqliteDatabase:
        """A copy at another place."""
        folder = self._folder / f"clone-{new_id()[:8]}"
        folder.mkdir()
        self._copied_to(folder / "app.sqlite")
        return SqliteDatabase(folder)

    def refuse(self, values: frozenset[int]) -> None:
        """Let triggers of the application refuse rows by their value."""
        listed = ", ".join(map(str, sorted(values)))
        with closing(self._begun(())) as connection:
            for table in SCHEMA.application:
                for event in ("insert", "update"):
                    trigger = f"app_{table.name}_{event}"
                    connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
                    when = f"typeof(NEW.value) = 'integer' AND NEW.value % {REFUSE_MODULUS} IN ({listed})"
                    body = f"WHEN {when} BEGIN SELECT RAISE(ABORT, 'refused'); END"
                    if values:
                        connection.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON {table.name} {body}")
            connection.execute("COMMIT")

    def lose_lock(self) -> None:
        """The lock's file goes; the next one is another file."""
        (self._folder / "lock").unlink(missing_ok=True)

    def close(self) -> None:
        """Close everything."""
        self.end_long(commit=False)
        self._reader.close()


@contextmanager
def _as_the_application() -> Iterator[None]:
    """What SQLite says to the application, in the words of `view.Database`."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise RowRefused(str(error)) from error
    except sqlite3.OperationalError as error:
        if not (error.sqlite_errorname or "").startswith("SQLITE_BUSY"):
            raise
        raise PoolpairError(Code.STORE_LOCKED, "the database is locked") from error


def _write(connection: sqlite3.Connection, write: Write) -> None:
    spec = SCHEMA.named(write.table)
    columns, marks = ", ".join(spec.columns), ", ".join("?" * len(spec.columns))
    if spec.unique and write.rows:
        update = ", ".join(f"{name} = excluded.{name}" for name in spec.columns)
        insert = f"INSERT INTO {write.table} ({columns}) VALUES ({marks})"
        connection.executemany(f"{insert} ON CONFLICT ({', '.join(spec.key)}) DO UPDATE SET {update}", write.rows)
        return
    same = " AND ".join(f"{name} IS ?" for name in spec.key)
    connection.execute(f"DELETE FROM {write.table} WHERE {same}", write.key)
    connection.executemany(f"INSERT INTO {write.table} ({columns}) VALUES ({marks})", write.rows)
