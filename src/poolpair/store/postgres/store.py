"""The PostgreSQL store: connections, lease and documents behind the store port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, TableShape
from poolpair.store.ledger import ledger_table
from poolpair.store.postgres import capturing, catalogue
from poolpair.store.postgres import fencing as fences
from poolpair.store.postgres.binding import Bound, bind
from poolpair.store.postgres.capturing import CAPTURE, CaptureState
from poolpair.store.postgres.catalogue import COLUMNS, FILE, catalogue_file
from poolpair.store.postgres.database import SCHEMA, Database
from poolpair.store.postgres.documents import DOCUMENT, EVERYTHING, TOKEN, read_document, read_documents
from poolpair.store.postgres.drift import layout_of
from poolpair.store.postgres.following import follow_partitions, moved
from poolpair.store.postgres.identity import location_of
from poolpair.store.postgres.incoming import PostgresIncoming
from poolpair.store.postgres.install import follow_tables, made_of
from poolpair.store.postgres.lease import TURN, PostgresLease
from poolpair.store.postgres.ledgering import ledger_of, list_ledger
from poolpair.store.postgres.parking import list_parked, retry_parked
from poolpair.store.postgres.snapshot import VIEW, PostgresSnapshot
from poolpair.store.postgres.transaction import PostgresTransaction
from poolpair.store.profile import Profile
from poolpair.store.tree import TreeFile
from poolpair.store.values import CatalogueFile, LeaseHolder, LedgerEntry, ParkedGroup, StoreIdentity, TreeDiff

T = TypeVar("T")
IDENTITY = "store/identity"


class PostgresStore:
    """Implements `store.port.Store`. One instance per thread; several may be open on one database."""

    def __init__(self, url: str, profile: Profile, clock: Clock, *, lock_wait_s: float) -> None:
        self._url = url
        self._profile = profile
        self._specs = (*profile.tables, ledger_table(1 + len(profile.tables)))
        self._lock_wait_s = lock_wait_s
        self._db = Database(url, lock_wait_s, self._connected)
        self._view: Database | None = None  # a connection for read views, kept for the next one
        self._compacted: dict[int, int] = {}
        self._seen = self._documents = ""
        self._news = 0
        """What `hint` saw last, and how often there was something new."""
        self._version = self._checked = self._moved = ""
        """The catalogue as it was bound, and as capture was found whole in it."""
        self._location = ""
        """Where this connection's server is, once it was asked."""
        self._lease = PostgresLease(self._db, clock)
        try:
            with self._db.translated():
                self._bound: tuple[Bound, ...] = bind(self._db, profile, partly=True)
        except BaseException:  # whatever ended it: no connection is left behind
            self._db.close()
            raise

    def _connected(self) -> None:
        self._version = self._location = ""
        self._lease.relock()

    def identity(self) -> StoreIdentity:
        """Who this store is."""
        with self._db.translated():
            found = read_document(self._db, StoreIdentity, IDENTITY)
            if found is None:
                raise PoolpairError(Code.NOT_INSTALLED, f"{self._db.name} was not prepared for poolpair")
            self._location = self._location or location_of(self._db)
        return StoreIdentity(store_id=found.store_id, location=self._location, home_location=found.home_location)

    def adopt(self, store_id: str) -> None:
        """Take a new id and the present location. Transaction ids of another server mean nothing here: all is logged anew."""
        with self.transaction() as tx:
            here, known = location_of(self._db), tx.load(StoreIdentity, IDENTITY)
            if known is not None and known.home_location != here:
                self._db.run(f"UPDATE {TOKEN} SET snapshot = $1::pg_snapshot", EVERYTHING)
                self._db.run(f"UPDATE {SCHEMA}.parked SET snapshot = pg_current_snapshot()")
                for b in self._bound:
                    self._db.run(f"UPDATE {b.log} SET poolpair_xid = pg_current_xact_id()")
            tx.save(IDENTITY, StoreIdentity(store_id=store_id, location=here, home_location=here))

    def shapes(self, channel: Channel) -> tuple[TableShape, ...]:
        """The tracked tables of a channel."""
        return tuple(b.shape() for b in self._bound if b.spec.channel is channel)

    def layout(self, channel: Channel) -> str:
        """A digest of the tables that are there, with the types of their columns."""
        if not self._db.in_transaction:  # in an apply: as they were bound for it
            with self._db.translated():
                self._rebind()
        return layout_of(b for b in self._bound if b.spec.channel is channel)

    def check_capture(self) -> str:
        """Bind anew after a schema change, and see that every trigger is what it should be.

        What was dropped and made again is found by its catalogue numbers and raises CAPTURE_BROKEN; the mark tells of partitions only.
        """
        with self._db.translated():
            self._rebind()
            if self._checked != self._version:
                self._follow_partitions()
                known = read_document(self._db, CaptureState, CAPTURE) or CaptureState()
                capturing.check(self._db, self._bound, made_of(self._bound), known)
                fences.check(self._db, read_document(self._db, fences.FenceState, fences.FENCE) or fences.FenceState())
                self._checked, self._moved = self._version, moved(self._db)
        return self._moved

    def _follow_partitions(self) -> None:
        """The service takes new partitions in; whoever only looks changes nothing."""
        if self._lease.number is None:
            return
        try:
            with self.transaction():
                if follow_partitions(self._db, self._bound):
                    self._version = capturing.version(self._db, self._bound)
        except PoolpairError as error:
            if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
                raise  # else the check that follows says what is missing

    def _rebind(self) -> None:
        """Bind anew if the catalogue rows of tracked tables changed."""
        whole = len(self._bound) == len(self._specs)  # a table that is not there has no row that could change
        if whole and self._version and capturing.version(self._db, self._bound) == self._version:
            return
        self._bound = bind(self._db, self._profile, partly=True)
        version = capturing.version(self._db, self._bound)
        with self._db.transaction():
            follow_tables(self._db, self._bound)
        self._version = version

    @contextmanager
    def transaction(self, *, fencing: bool = False) -> Iterator[PostgresTransaction]:
        """BEGIN, the turn, the lease's check, COMMIT; ROLLBACK on any exception."""
        with self._db.translated():
            if fencing:
                self._rebind()
            tx = self._begin()
            try:
                if fencing:
                    tx.wait_for_writers()
                yield tx
                self._db.run("COMMIT")
            except BaseException:  # whatever ended it: clean up, then let it pass
                self._db.roll_back()
                raise

    def _begin(self) -> PostgresTransaction:
        try:
            self._db.run(f"BEGIN; {TURN}")
            self._lease.check()
        except BaseException:  # whatever ended it: clean up, then let it pass
            self._db.roll_back()
            raise
        return PostgresTransaction(self._db, self._bound, self._compacted)

    @contextmanager
    def snapshot(self, rows: Path | None = None) -> Iterator[PostgresSnapshot]:
        """A read view on a connection of its own."""
        database: Database | None
        database, self._view = self._view or Database(self._url, self._lock_wait_s), None
        view = PostgresSnapshot(database, self._bound)
        try:
            with database.translated(), database.transaction(VIEW):
                view.begin(rows)
                yield view
            self._view, database = database, None
        finally:
            view.end()
            if database is not None:
                database.close()

    @contextmanager
    def incoming(self, rows: Path, channel: Channel, tables: tuple[TableShape, ...]) -> Iterator[PostgresIncoming]:
        """Copy a rows file into temporary tables and check it."""
        with self._db.translated():
            self._rebind()
            incoming = PostgresIncoming(self._db, self._bound, self._specs, self._begin)
            incoming.open(rows, channel, tables)
            try:
                yield incoming
            finally:
                self._db.roll_back()
                incoming.close(channel)

    def compare_tree(self, scan: Iterable[TreeFile]) -> TreeDiff:
        """Compare a scan with the catalogue."""
        with self._db.translated():
            return catalogue.compare_tree(self._db, scan)

    def pending_deletions(self) -> tuple[CatalogueFile, ...]:
        """Deletions applied to the catalogue but perhaps not on disk."""
        with self._db.translated():
            return tuple(
                map(catalogue_file, self._db.rows(f"SELECT {COLUMNS} FROM {FILE} WHERE deleting ORDER BY path"))
            )

    def finish_deletions(self, paths: Iterable[bytes]) -> None:
        """Drop finished deletions from the catalogue."""
        listed = list(paths)
        if listed:
            with self.transaction():
                self._db.run(f"DELETE FROM {FILE} WHERE path = ANY ($1::bytea[]) AND deleting", listed)

    def read(self, cls: type[T], name: str) -> T | None:
        """Read one document."""
        with self._db.translated():
            return read_document(self._db, cls, name)

    def pending(self, channel: Channel, since: int) -> int:
        """Count the groups that a token did not see."""
        with self._db.translated():
            return PostgresTransaction(self._db, self._bound).pending(channel, since)

    def foreign_waits(self, channel: Channel, served: tuple[str, ...]) -> bool:
        """Always ask: a transaction here keeps no writer waiting."""
        return True

    def read_all(self, cls: type[T], prefix: str) -> dict[str, T]:
        """Read every document whose name begins with `prefix`."""
        with self._db.translated():
            return read_documents(self._db, cls, prefix)

    def hint(self) -> object:
        """Grows when something of ours was written. The server's snapshot tells cheaply that nothing at all was, as mostly."""
        with self._db.translated():
            row = self._db.row("SELECT pg_current_snapshot()::text")
            assert row is not None
            seen, self._seen = self._seen, str(row[0])
            if seen != self._seen and self._is_news(seen or self._seen):
                self._news += 1
        return self._news

    def _is_news(self, seen: str) -> bool:
        """Whether a log or a document was written since a snapshot; other tables and databases write too, and mean nothing here."""
        logged = " OR ".join(
            f"EXISTS (SELECT 1 FROM {b.log} WHERE NOT pg_visible_in_snapshot(poolpair_xid, $1::pg_snapshot))"
            for b in self._bound
        )
        row = self._db.row(
            f"SELECT {logged or 'false'}, (SELECT md5(string_agg(name || xmin::text, ',' ORDER BY name)) FROM {DOCUMENT})",
            seen,
        )
        assert row is not None
        written, self._documents = self._documents != row[1], row[1]
        return bool(row[0]) or written

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every ledger entry, oldest first."""
        with self._db.translated():
            return list_ledger(self._db, ledger_of(self._bound))

    def parked(self, channel: Channel | None = None) -> tuple[ParkedGroup, ...]:
        """Groups that this store refused."""
        with self._db.translated():
            return list_parked(self._db, self._bound, channel)

    def retry_parked(self, group_id: int) -> str | None:
        """Try a parked group again."""
        with self.transaction():
            return retry_parked(self._db, self._bound, group_id)

    def take_lease(self, holder: str, front_end: str) -> LeaseHolder:
        """Become the one service of this pool."""
        with self._db.translated():
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
        with self._db.translated():
            self._lease.release()

    def lease_holder(self) -> LeaseHolder | None:
        """Who works for this pool."""
        with self._db.translated():
            return self._lease.living()

    def close(self) -> None:
        """Let go of every connection, and with it of the lease's lock."""
        self._db.close()
        if self._view is not None:
            self._view.close()
            self._view = None
