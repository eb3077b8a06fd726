"""SQLite as a kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.store.counting import Contents, Owner, contents_query, counted
from poolpair.store.drafting import Described
from poolpair.store.kind import StoreHandle
from poolpair.store.prepared import Farewell, Installed, InstalledSettings, Record
from poolpair.store.profile import Profile
from poolpair.store.profile_check import Problem
from poolpair.store.sqlite import setup
from poolpair.store.sqlite.binding import bind
from poolpair.store.sqlite.connection import as_tree, connect, quote, text, translated
from poolpair.store.sqlite.definitions import known_settings
from poolpair.store.sqlite.looking import stuck_words
from poolpair.store.sqlite.schema import describe_all
from poolpair.store.sqlite.store import SqliteStore
from poolpair.store.sqlite.trial import problems_of
from poolpair.units import show_bytes
from poolpair.wording import STUCK_HINT


class SqliteKind:
    """Implements `store.kind.StoreKind` for one file. `lock_path` names the file that a working service keeps locked."""

    def __init__(self, path: Path, lock_wait_s: float, lock_path: Callable[[], Path]) -> None:
        self._path = path
        self._lock_wait_s = lock_wait_s
        self._lock_path = lock_path

    def shown(self) -> str:
        return f"sqlite:///{self._path}"

    def local_file(self) -> Path | None:
        return self._path

    def open(self, profile: Profile, clock: Clock) -> StoreHandle:
        return SqliteStore(self._path, profile, clock, lock_wait_s=self._lock_wait_s, lock_path=self._lock_path())

    def statements(self, profile: Profile, homes: Iterable[tuple[int, str, str]]) -> Iterator[str]:
        return setup.statements(self._path, profile, homes, self._lock_wait_s)

    def install(
        self, profile: Profile, homes: Sequence[tuple[int, str, str]], settings: str, record: Record
    ) -> Installed:
        return setup.install(
            self._path, profile, homes, settings, self._lock_wait_s, lock_path=self._lock_path(), record=record
        )

    def uninstalled(self, *, keep_wal: bool) -> AbstractContextManager[tuple[str, ...]]:
        return setup.uninstalled(self._path, self._lock_wait_s, lock_path=self._lock_path(), keep_wal=keep_wal)

    def unpaired(self, profile: Profile, pool: str, farewell: Farewell) -> tuple[str, ...]:
        return setup.unpaired(
            self._path, profile, pool, self._lock_wait_s, lock_path=self._lock_path(), farewell=farewell
        )

    def described(self) -> Described:
        with closing(connect(self._path, self._lock_wait_s, read_only=True)) as connection, translated(self._path):
            return describe_all(connection)

    def prepared(self) -> InstalledSettings | None:
        with closing(connect(self._path, self._lock_wait_s, read_only=True)) as connection, translated(self._path):
            return known_settings(connection)

    def problems(self, profile: Profile) -> tuple[Problem, ...]:
        with closing(connect(self._path, self._lock_wait_s, read_only=True)) as connection, translated(self._path):
            return problems_of(connection, profile)

    def contents(self, profile: Profile, owner: Owner) -> Iterator[Contents]:
        with closing(connect(self._path, self._lock_wait_s, read_only=True)) as connection, translated(self._path):
            for b in bind(connection, profile)[:-1]:  # the last is the ledger, which is ours
                size = as_tree("+", (f"coalesce(length(CAST({quote(name)} AS BLOB)), 0)" for name in b.columns))
                rows = connection.execute(contents_query(b.spec, b.table, b.key, b.scope, size))
                typed = ((None if home is None else text(home), *counts) for home, *counts in rows)
                yield counted(b.spec, typed, owner)

    def health(self, profile: Profile) -> str:
        with closing(connect(self._path, self._lock_wait_s)) as connection, translated(self._path):
            mode = text(connection.execute("PRAGMA main.journal_mode").fetchone()[0])
            stuck = stuck_words(connection, self._path) if mode == "wal" else ""
        if stuck:
            raise PoolpairError(Code.STORE_LOCKED, stuck, STUCK_HINT)
        if mode != "wal":
            raise PoolpairError(
                Code.NOT_INSTALLED,
                f"{self._path} is in journal mode {mode}, not WAL",
                hint="run `poolpair -c FILE init`",
            )
        return f"{self._path} is readable, {show_bytes(self.size_bytes())}, in WAL"

    @contextmanager
    def spare(self, folder: Path, name: str, *, keep: bool) -> Iterator[str]:
        yield f"sqlite:///{folder / name}.sqlite"

    def size_bytes(self) -> int:
        return self._path.stat().st_size
