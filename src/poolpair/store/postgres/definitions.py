"""The tables as they are defined now: bound anew when that changed, and capture and fence found whole in it.

A service looks once per pass. What is cut for the partner is cut in a view of its own, which looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres import capturing, fencing
from poolpair.store.postgres.binding import bind
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.capturing import CAPTURE, CaptureState
from poolpair.store.postgres.database import Database
from poolpair.store.postgres.documents import read_document
from poolpair.store.postgres.following import follow_columns, follow_partitions, moved
from poolpair.store.postgres.install import follow_tables, made_of
from poolpair.store.profile import Profile, ProfileTable

Begin = Callable[[], AbstractContextManager[object]]
Fix = Callable[[Path | None, str], list[TupleRow]]
BINDS_MAX = 8
"""In a row, before a chain of migrations is left to the next pass."""


class Definitions:
    """What one connection knows of the tables."""

    def __init__(self, database: Database, profile: Profile, specs: tuple[ProfileTable, ...]) -> None:
        self._db = database
        self._profile = profile
        self._specs = specs
        self.bound: tuple[Bound, ...] = ()
        """The profile's entries whose table is here, and the ledger."""
        self._version = self._fence = self._moved = ""
        """The catalogue as it was bound, and the fence as it was then."""
        self._checked: tuple[str, str] | None = None
        """Both, as they were found whole."""
        self._remembers = self._is_seen = False
        self._told: tuple[str, str] | None = None
        """What the server said of both together with the documents, since the last `refresh`."""

    def bind(self) -> None:
        """Bind for the first time. Raises PROFILE."""
        self.bound = bind(self._db, self._profile, partly=True)

    def forget(self) -> None:
        """Another server may answer now."""
        self._version, self._is_seen, self._told = "", False, None

    def refresh(self) -> None:
        """Look anew at the next check; from then on once per `refresh`."""
        self._remembers, self._is_seen, self._told = True, False, None

    def statement(self) -> str:
        """What to ask the server together with the documents, since the next check will ask it."""
        return capturing.version_statement(self._db, self.bound) if self._remembers and not self._is_seen else ""

    def take(self, rows: list[tuple[object, ...]]) -> None:
        """What it answered."""
        self._told = capturing.version_of(rows)

    def look(self) -> None:
        """Bind anew if the catalogue rows of tracked tables changed. Our own fence leaves the tables as they were."""
        self._is_seen = self._remembers
        whole = len(self.bound) == len(self._specs)  # a table that is not there has no row that could change
        if whole and self._version and self._look_at_version() == self._version:
            return
        version = self._bind_for_sure()
        with self._db.transaction():
            follow_tables(self._db, self.bound)
        self._version = version

    def _bind_for_sure(self) -> str:
        """Bind, and return the version that tells of just that: binding asks many things one after the other, while tables may change."""
        self._told = None
        self.bind()
        for _ in range(BINDS_MAX):
            before, version = self.bound, self._look_at_version()
            self.bind()
            if self.bound == before:
                return version
        raise PoolpairError(Code.STORE_LOCKED, f"{self._db.name}: tracked tables are being changed")

    def _look_at_version(self) -> str:
        version, self._fence = self._told or capturing.version(self._db, self.bound)
        self._told = None
        return version

    def check(self, begin: Begin | None) -> str:
        """See that every trigger is what it should be. A service, which can `begin` a transaction, takes new partitions in.

        Returns a text that is another one after rows may have come or gone with a partition. Raises CAPTURE_BROKEN.
        """
        if not self._is_seen:
            self.look()
        if self._checked != (self._version, self._fence):
            if begin is not None:  # whoever only looks changes nothing
                self._follow(begin)
            known = read_document(self._db, CaptureState, CAPTURE) or CaptureState()
            capturing.check(self._db, self.bound, made_of(self.bound), known)
            fence = read_document(self._db, fencing.FenceState, fencing.FENCE) or fencing.FenceState()
            fencing.check(self._db, fence)
            self._checked, self._moved = (self._version, self._fence), moved(self._db)
        return self._moved

    def _follow(self, begin: Begin) -> None:
        try:
            with begin():
                follow_columns(self._db, self.bound)
                followed = follow_partitions(self._db, self.bound)
            if followed:
                self._version = self._bind_for_sure()
        except PoolpairError as error:
            if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
                raise  # else the check that follows says what is missing

    @contextmanager
    def unchanged(self, database: Database, fix: Fix, rows: Path | None) -> Iterator[None]:
        """Around a view, which `fix` fixes by what it is to ask first. If `rows` are cut from it, the tables are what they are bound as.

        Nor was one written anew before all was read: the view would have found it empty, its rows deleted. Raises STORE_LOCKED,
        and the next pass binds anew.
        """
        if rows is None:
            fix(None, "")
            yield
            return
        files = capturing.files_of(database, self.bound)
        version, _ = capturing.version_of(fix(rows, capturing.version_statement(database, self.bound)))
        if self._version and version != self._version:
            raise PoolpairError(Code.STORE_LOCKED, f"{database.name}: tracked tables are being changed")
        yield
        if capturing.files_of(database, self.bound) != files:
            raise PoolpairError(Code.STORE_LOCKED, f"{database.name}: tracked tables are being written anew")
