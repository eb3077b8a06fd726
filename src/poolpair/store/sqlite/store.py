"""The SQLite store: connections, lease and documents behind the store port."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from poolpair.clock import Clock
from poolpair.documents import decode
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, TableShape
from poolpair.slice import Slice
from poolpair.store.buckets import shapes_digest
from poolpair.store.ledger import entry_of
from poolpair.store.profile import Profile
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.catalogue import FILE_COLUMNS, catalogue_file, compare_tree
from poolpair.store.sqlite.connection import connect, file_of, location_of, text, translate, uri_of
from poolpair.store.sqlite.definitions import Definitions
from poolpair.store.sqlite.documents import read_document
from poolpair.store.sqlite.incoming import SqliteIncoming
from poolpair.store.sqlite.lease import SqliteLease
from poolpair.store.sqlite.ledgering import entries
from poolpair.store.sqlite.looking import logs_foreign, stuck_words
from poolpair.store.sqlite.parking import list_parked, retry_parked
from poolpair.store.sqlite.readable import readable
from poolpair.store.sqlite.refusing import RolledBack
from poolpair.store.sqlite.shortening import Shortening
from poolpair.store.sqlite.snapshot import SqliteSnapshot, definition_of
from poolpair.store.sqlite.transaction import SqliteTransaction
from poolpair.store.tree import TreeFile
from poolpair.store.values import CatalogueFile, LeaseHolder, LedgerEntry, Look, ParkedGroup, StoreIdentity, TreeDiff

T = TypeVar("T")
IDENTITY = "store/identity"


class SqliteStore:
    """Implements `store.port.Store`. One instance per thread; several may be open on one database."""

    def __init__(self, path: Path, profile: Profile, clock: Clock, *, lock_wait_s: float, lock_path: Path) -> None:
        self._path = path
        self._lock_wait_s = lock_wait_s
        self._c = connect(path, lock_wait_s)
        self._file = file_of(path)
        with self._translated():
            self._defined = Definitions(self._c, path, profile)
        self._lease = SqliteLease(self._c, lock_path, clock, self._file)
        self._shortening = Shortening(self._c)

    @property
    def _bound(self) -> tuple[Bound, ...]:
        return self._defined.bound

    def identity(self) -> StoreIdentity:
        """Who this store is."""
        with self._translated():
            found = read_document(self._c, StoreIdentity, IDENTITY)
        if found is None:
            raise PoolpairError(Code.NOT_INSTALLED, f"{self._path} was not prepared for poolpair")
        return StoreIdentity(
            store_id=found.store_id, location=location_of(self._path), home_location=found.home_location
        )

    def adopt(self, store_id: str) -> None:
        """Take a new id and the present location."""
        here = location_of(self._path)
        with self.transaction() as tx:
            tx.save(IDENTITY, StoreIdentity(store_id=store_id, location=here, home_location=here))

    def shapes(self, channel: Channel) -> tuple[TableShape, ...]:
        """The tracked tables of a channel."""
        return tuple(b.shape() for b in self._bound if b.spec.channel is channel)

    def layout(self, channel: Channel) -> str:
        """A digest of the shapes."""
        return shapes_digest(self.shapes(channel))

    def check_capture(self) -> str:
        """Bind anew after a schema change, and see that every trigger is what it should be."""
        with self._translated():
            return self._defined.check()

    @contextmanager
    def transaction(self, *, fencing: bool = False, lazily: bool = False) -> Iterator[SqliteTransaction]:
        """One writer at a time, so nobody else writes in any: BEGIN IMMEDIATE, the lease's check, COMMIT; ROLLBACK on any exception."""
        with self._translated():
            tx = self._begin()
            try:
                yield tx
                self._c.execute("COMMIT")
            except BaseException:  # whatever ended it: clean up, then let it pass
                if self._c.in_transaction:
                    self._c.execute("ROLLBACK")
                raise

    def _begin(self) -> SqliteTransaction:
        if file_of(self._path) != self._file:
            raise PoolpairError(Code.STORE_REPLACED, f"{self._path} is not the file any more that this service opened")
        self._c.execute("BEGIN IMMEDIATE")
        try:
            self._lease.check()
        except BaseException:  # whatever ended it: clean up, then let it pass
            self._c.execute("ROLLBACK")
            raise
        return SqliteTransaction(self._c, self._bound)

    def _begin_as_bound(self) -> SqliteTransaction:
        """A migration may have committed while the lock was waited for."""
        tx = self._begin()
        try:
            self._defined.refuse_changed(definition_of(self._c))
        except PoolpairError:
            self._c.execute("ROLLBACK")
            raise
        return tx

    @contextmanager
    def snapshot(self, rows: Path | None = None) -> Iterator[SqliteSnapshot]:
        """A read view on a connection of its own."""
        connection = connect(self._path, self._lock_wait_s)
        try:
            with self._translated():
                view = SqliteSnapshot(connection, self._bound)
                view.begin(rows)
                if rows is not None:
                    self._defined.refuse_changed(view.definition())
                yield view
        finally:
            connection.close()

    @contextmanager
    def incoming(self, rows: Path, channel: Channel, tables: tuple[TableShape, ...]) -> Iterator[SqliteIncoming]:
        """Attach a rows file read-only and check it."""
        with self._translated():
            self._defined.bind_anew()
            with readable():
                self._c.execute("ATTACH DATABASE ? AS pkg", (uri_of(rows, "mode=ro&immutable=1"),))
            try:
                incoming = SqliteIncoming(self._c, self._bound, self._begin_as_bound)
                incoming.open(channel, tables)
                yield incoming
            finally:
                if self._c.in_transaction:
                    self._c.execute("ROLLBACK")
                self._c.execute("DETACH DATABASE pkg")

    def compare_tree(self, scan: Iterable[TreeFile]) -> TreeDiff:
        """Compare a scan with the catalogue."""
        with self._translated():
            return compare_tree(self._c, scan)

    def pending_deletions(self) -> tuple[CatalogueFile, ...]:
        """Deletions applied to the catalogue but perhaps not on disk."""
        with self._translated():
            found = self._c.execute(f"SELECT {FILE_COLUMNS} FROM main.poolpair_file WHERE deleting = 1")
            return tuple(map(catalogue_file, found))

    def finish_deletions(self, paths: Iterable[bytes]) -> None:
        """Drop finished deletions from the catalogue."""
        listed = [(path,) for path in paths]
        if listed:
            with self.transaction():
                self._c.executemany("DELETE FROM main.poolpair_file WHERE path = ? AND deleting = 1", listed)

    def read(self, cls: type[T], name: str) -> T | None:
        """Read one document."""
        with self._translated():
            return read_document(self._c, cls, name)

    def pending(self, channel: Channel, since: int) -> int:
        """Count log entries after a token."""
        with self._translated():
            return SqliteTransaction(self._c, self._bound).pending(channel, since)

    def look(self, channel: Channel, served: tuple[str, ...], since: int) -> Look:
        """Look at what was logged since the last look: the log of a partner that is away is long."""
        homes, mine = json.dumps(served), [b for b in self._bound if b.spec.channel is channel]
        with self._translated():
            parks = bool(list_parked(self._c, channel))
            foreign = parks or any(logs_foreign(self._c, b, homes, self._defined.looked) for b in mine)
            return Look(foreign=foreign, pending=SqliteTransaction(self._c, self._bound).pending(channel, since))

    def shorten(self, channel: Channel) -> None:
        """Leave one entry per key of a log that nobody prunes."""
        with self._translated():
            self._shortening.shorten((b for b in self._bound if b.spec.channel is channel), self.transaction)

    def slices(self, channel: Channel) -> tuple[Slice, ...]:
        """A first copy compares at once."""
        return ()

    def holds(self, channel: Channel, homes: tuple[str, ...]) -> bool:
        """Not asked."""
        return True

    def refresh(self) -> None:
        """Nothing is remembered."""

    def stuck(self) -> str:
        """The write-ahead log, if somebody's read transaction keeps it from being put into the file."""
        with self._translated():
            return stuck_words(self._c, self._path)

    def read_all(self, cls: type[T], prefix: str) -> dict[str, T]:
        """Read every document whose name begins with `prefix`."""
        with self._translated():
            rows = self._c.execute(
                "SELECT name, body FROM main.poolpair_document WHERE name >= ? AND name < ?", (prefix, prefix + "\x7f")
            ).fetchall()
        return {text(name): decode(cls, text(body)) for name, body in rows}

    def hint(self) -> object:
        """SQLite's own counter of foreign commits, and ours."""
        with self._translated():
            return self._c.execute("PRAGMA main.data_version").fetchone()[0], self._c.total_changes

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every ledger entry, oldest first."""
        with self._translated():
            return tuple(map(entry_of, entries(self._c)))

    def parked(self, channel: Channel | None = None) -> tuple[ParkedGroup, ...]:
        """Groups that this store refused."""
        with self._translated():
            return list_parked(self._c, channel)

    def retry_parked(self, group_id: int) -> str | None:
        """Try a parked group again."""
        try:
            with self.transaction():
                return retry_parked(self._c, self._bound, group_id)
        except RolledBack as rolled:
            return rolled.reason

    def take_lease(self, holder: str, front_end: str) -> LeaseHolder:
        """Become the one service of this pool."""
        with self._translated():
            return self._lease.take(holder, front_end)

    def join_lease(self, number: int | None) -> None:
        """Work under the lease that another handle of this process holds."""
        self._lease.number = number

    @property
    def lease_number(self) -> int | None:
        """The fencing number, if this instance works under a lease."""
        return self._lease.number

    def release_lease(self) -> None:
        """Give the lease back."""
        with self._translated():
            self._lease.release()

    def lease_holder(self, _: str = "") -> LeaseHolder | None:
        """Who works for this pool."""
        with self._translated():
            return self._lease.living()

    def close(self) -> None:
        """Let go of every handle, the lease's lock too."""
        self._lease.let_go()
        self._c.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
