"""The PostgreSQL store: connections, lease and documents behind the store port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, TableShape
from poolpair.slice import Slice
from poolpair.store.ledger import ledger_table
from poolpair.store.postgres import catalogue
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database, answers_of
from poolpair.store.postgres.definitions import Definitions
from poolpair.store.postgres.documents import Documents
from poolpair.store.postgres.drift import layout_of
from poolpair.store.postgres.identity import location_of, log_anew
from poolpair.store.postgres.incoming import PostgresIncoming
from poolpair.store.postgres.lease import LEASE, TURN, PostgresLease
from poolpair.store.postgres.ledgering import ledger_of, list_ledger
from poolpair.store.postgres.log import CaptureLog
from poolpair.store.postgres.parking import list_parked, retry_parked
from poolpair.store.postgres.slices import holds_any, slices_of
from poolpair.store.postgres.snapshot import PostgresSnapshot
from poolpair.store.postgres.transaction import PostgresTransaction
from poolpair.store.profile import Profile
from poolpair.store.tree import TreeFile
from poolpair.store.values import CatalogueFile, LeaseHolder, LedgerEntry, Look, ParkedGroup, StoreIdentity, TreeDiff

T = TypeVar("T")
IDENTITY = "store/identity"
LAZILY = "SET LOCAL synchronous_commit = off; "


class PostgresStore:
    """Implements `store.port.Store`. One instance per thread; several may be open on one database."""

    def __init__(self, url: str, profile: Profile, clock: Clock, *, lock_wait_s: float) -> None:
        self._url = url
        self._profile = profile
        self._specs = (*profile.tables, ledger_table(profile))
        self._lock_wait_s = lock_wait_s
        self._db = Database(url, lock_wait_s, self._connected)
        self._view: Database | None = None  # a connection for read views, kept for the next one
        self._defined = Definitions(self._db, profile, self._specs)
        self._documents = Documents(self._db, self._defined)
        self._log = CaptureLog(self._db)
        self._location = ""  # where this connection's server is, once it was asked
        self._lease = PostgresLease(self._db, clock)
        try:
            with self._db.translated():
                self._defined.bind()
        except BaseException:  # whatever ended it: no connection is left behind
            self._db.close()
            raise

    @property
    def _bound(self) -> tuple[Bound, ...]:
        return self._defined.bound

    def _connected(self) -> None:
        self._location = ""
        self._defined.forget()
        self._documents.doubt()
        self._log.forget()
        self._lease.relock()

    def identity(self) -> StoreIdentity:
        """Who this store is."""
        with self._db.translated():
            found = self._documents.read(StoreIdentity, IDENTITY)
            if found is None:
                raise PoolpairError(Code.NOT_INSTALLED, f"{self._db.name} was not prepared for poolpair")
            self._location = self._location or location_of(self._db)
        return StoreIdentity(store_id=found.store_id, location=self._location, home_location=found.home_location)

    def adopt(self, store_id: str) -> None:
        """Take a new id and the present location. Transaction ids of another server mean nothing here: all is logged anew."""
        with self.transaction() as tx:
            here, known = location_of(self._db), tx.load(StoreIdentity, IDENTITY)
            if known is not None and known.home_location != here:
                log_anew(self._db, self._bound)
                self._log.forget()
            tx.save(IDENTITY, StoreIdentity(store_id=store_id, location=here, home_location=here))

    def shapes(self, channel: Channel) -> tuple[TableShape, ...]:
        """The tracked tables of a channel."""
        return tuple(b.shape() for b in self._bound if b.spec.channel is channel)

    def layout(self, channel: Channel) -> str:
        """A digest of the tables that are there, with the types of their columns."""
        if not self._db.in_transaction:  # in an apply: as they were bound for it
            with self._db.translated():
                self._defined.look()
        return layout_of(b for b in self._bound if b.spec.channel is channel)

    def check_capture(self) -> str:
        """Bind anew after a schema change, and see that every trigger is what it should be; the mark tells of partitions only."""
        with self._db.translated():
            return self._defined.check(self.transaction if self._lease.number is not None else None)

    @contextmanager
    def transaction(self, *, fencing: bool = False, lazily: bool = False) -> Iterator[PostgresTransaction]:
        """BEGIN, the turn, the lease's check, COMMIT; ROLLBACK on any exception."""
        with self._db.translated():
            if fencing:
                self._defined.look()
            tx = self._begin(lazily=lazily)
            try:
                if fencing:
                    tx.wait_for_writers()
                yield tx
                tx.commit()
            except BaseException:  # whatever ended it: clean up, then let it pass
                self._undo()
                raise
            self._log.drawn(tx.drawn)
            self._log.pruned(self._bound, tx.pruned)

    def _begin(self, *, lazily: bool = False, first: str = "") -> PostgresTransaction:
        """Begin, wait for the turn, do what comes `first`, and see the lease and every document that is asked for often: one round trip."""
        try:
            prelude = f"{first}; " if first else ""
            begin = f"BEGIN; {LAZILY if lazily else ''}{TURN}; {prelude}{LEASE}; {self._documents.query}"
            lease, documents = answers_of(self._db.run(begin))[-2:]
            self._documents.take(documents)
            self._lease.check(lease)
        except BaseException:  # whatever ended it: clean up, then let it pass
            self._undo()
            raise
        return PostgresTransaction(self._db, self._bound, self._documents, self._log.seen)

    def _undo(self) -> None:
        self._db.roll_back()
        self._documents.doubt()

    @contextmanager
    def snapshot(self, rows: Path | None = None) -> Iterator[PostgresSnapshot]:
        """A read view on a connection of its own, in which the tables are defined as they are bound."""
        database, self._view = self._view or Database(self._url, self._lock_wait_s), None
        kept: Database | None = None
        view = PostgresSnapshot(database, self._bound, self._log.seen)
        try:
            with database.translated():
                with self._defined.unchanged(database, view.begin, rows):
                    yield view
                view.commit()
            kept = database
        except BaseException:  # whatever ended it: clean up, then let it pass
            database.roll_back()
            raise
        finally:
            view.end()
            self._view = kept
            if kept is None:
                database.close()

    @contextmanager
    def incoming(self, rows: Path, channel: Channel, tables: tuple[TableShape, ...]) -> Iterator[PostgresIncoming]:
        """Copy a rows file into temporary tables and check it."""
        with self._db.translated():
            self._defined.look()
            incoming = PostgresIncoming(self._db, self._bound, self._specs, self._begin, self._undo)
            try:
                incoming.open(rows, channel, tables)
                yield incoming
            finally:
                self._db.roll_back()
                incoming.close()

    def compare_tree(self, scan: Iterable[TreeFile]) -> TreeDiff:
        """Compare a scan with the catalogue."""
        with self._db.translated():
            return catalogue.compare_tree(self._db, scan)

    def pending_deletions(self) -> tuple[CatalogueFile, ...]:
        """Deletions applied to the catalogue but perhaps not on disk."""
        with self._db.translated():
            return catalogue.pending_deletions(self._db)

    def finish_deletions(self, paths: Iterable[bytes]) -> None:
        """Drop finished deletions from the catalogue."""
        if listed := list(paths):
            with self.transaction():
                catalogue.finish_deletions(self._db, listed)

    def read(self, cls: type[T], name: str) -> T | None:
        """Read one document."""
        with self._db.translated():
            return self._documents.read(cls, name)

    def slices(self, channel: Channel) -> tuple[Slice, ...]:
        """Ranges of blocks; a table whose groups are several rows only whole."""
        if channel is not Channel.USERS:  # a row that describes a file comes after it
            return ()
        with self._db.translated():
            return tuple(slices_of(self._db, self._of(channel)))

    def holds(self, channel: Channel, homes: tuple[str, ...]) -> bool:
        """Look for one row."""
        with self._db.translated():
            return holds_any(self._db, self._of(channel), homes)

    def refresh(self) -> None:
        """Read documents anew once, and remember them; look at the tables' definitions once."""
        self._documents.refresh()
        self._defined.refresh()

    def stuck(self) -> str:
        """Whoever reads for hours keeps back VACUUM, which the server's own views tell, and nothing of ours."""
        return ""

    def pending(self, channel: Channel, since: int) -> int:
        """Count the groups that a token did not see."""
        with self._db.translated():
            return PostgresTransaction(self._db, self._bound).pending(channel, since)

    def look(self, channel: Channel, served: tuple[str, ...], since: int) -> Look:
        """One pass over the log; what an earlier one saw is not asked for its home again."""
        with self._db.translated():
            return self._log.look(self._of(channel), channel, served, since, parks=not self._documents.none_parked)

    def shorten(self, channel: Channel) -> None:
        """Leave one entry per key of a log that nobody prunes."""
        with self._db.translated():
            long = [b for b in self._of(channel) if self._log.is_long(b)]
        if long:
            with self.transaction():
                for b in long:
                    self._log.compact(b)
            with self._db.translated():
                self._log.pruned(long, {})

    def _of(self, channel: Channel) -> tuple[Bound, ...]:
        return tuple(b for b in self._bound if b.spec.channel is channel)

    def read_all(self, cls: type[T], prefix: str) -> dict[str, T]:
        """Read every document whose name begins with `prefix`."""
        with self._db.translated():
            return self._documents.read_all(cls, prefix)

    def hint(self) -> object:
        """Grows when something of ours was written. The server's snapshot tells cheaply that nothing at all was, as mostly."""
        with self._db.translated():
            return self._log.hint(self._bound)

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every ledger entry, oldest first."""
        with self._db.translated():
            return list_ledger(self._db, ledger_of(self._bound))

    def parked(self, channel: Channel | None = None) -> tuple[ParkedGroup, ...]:
        """Groups that this store refused."""
        with self._db.translated():
            return () if self._documents.none_parked else list_parked(self._db, self._bound, channel)

    def retry_parked(self, group_id: int) -> str | None:
        """Try a parked group again."""
        with self.transaction():
            self._documents.doubt()
            return retry_parked(self._db, self._bound, group_id)

    def take_lease(self, holder: str, front_end: str) -> LeaseHolder:
        """Become the one service of this pool."""
        with self._db.translated():
            return self._lease.take(holder, front_end)

    def join_lease(self, number: int | None) -> None:
        """Work under the lease that another handle of this process holds."""
        self._lease.number = number
        with self._db.translated():
            self._lease.sign()

    @property
    def lease_number(self) -> int | None:
        """The fencing number, if this instance works under a lease."""
        return self._lease.number

    def release_lease(self) -> None:
        """Give the lease back."""
        with self._db.translated():
            self._lease.release()

    def lease_holder(self, stands_by: str = "") -> LeaseHolder | None:
        """Who works for this pool, and who stands by."""
        with self._db.translated():
            return self._lease.living(stands_by)

    def close(self) -> None:
        """Let go of every connection, and with it of the lease's lock."""
        self._db.close()
        if self._view is not None:
            self._view.close()
            self._view = None
