"""The memory store: one process's handle on a `MemoryDisk`. A crash is a handle that is closed without giving anything back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, TableShape
from poolpair.slice import Slice
from poolpair.store.buckets import shapes_digest
from poolpair.store.ledger import entry_of
from poolpair.store.memory.applying import refusal
from poolpair.store.memory.disk import IDENTITY, MemoryDisk
from poolpair.store.memory.incoming import MemoryIncoming, open_rows
from poolpair.store.memory.snapshot import MemorySnapshot
from poolpair.store.memory.state import Draft, FileEntry, State
from poolpair.store.memory.transaction import MemoryTransaction, pending_in, read_document
from poolpair.store.tree import TreeFile
from poolpair.store.values import (
    CatalogueFile,
    LeaseHolder,
    LedgerEntry,
    Look,
    ParkedGroup,
    StoreIdentity,
    TreeDiff,
)

T = TypeVar("T")


class MemoryStore:
    """Implements `store.port.Store`."""

    def __init__(self, disk: MemoryDisk, clock: Clock) -> None:
        self._disk = disk
        self._clock = clock
        self._lease_number: int | None = None
        self._closed = False

    @property
    def _state(self) -> State:
        if self._closed:
            raise PoolpairError(Code.STORE_BROKEN, "this handle was closed")
        return self._disk.state

    def identity(self) -> StoreIdentity:
        """Who this store is."""
        found = read_document(self._state.documents, StoreIdentity, IDENTITY)
        assert found is not None, "a disk has an identity from its beginning"
        here = self._disk.location
        return found if found.location == here else replace(found, location=here)

    def adopt(self, store_id: str) -> None:
        """Take a new id and the present location."""
        here = self._disk.location
        with self.transaction() as tx:
            tx.save(IDENTITY, StoreIdentity(store_id=store_id, location=here, home_location=here))

    def shapes(self, channel: Channel) -> tuple[TableShape, ...]:
        """The tracked tables of a channel."""
        return tuple(table.shape() for table in self._disk.schema.of(channel))

    def layout(self, channel: Channel) -> str:
        """A digest of the shapes."""
        return shapes_digest(self.shapes(channel))

    def check_capture(self) -> str:
        """Capture cannot break here."""
        return ""

    @contextmanager
    def transaction(self, *, fencing: bool = False, lazily: bool = False) -> Iterator[MemoryTransaction]:
        """Check the lease, then change the disk. One transaction at a time: no other one is ever under way."""
        with self._change() as draft:
            yield MemoryTransaction(draft, self._disk.schema, self._disk.refuses)

    @contextmanager
    def _change(self) -> Iterator[Draft]:
        lease = self._state.lease
        if self._lease_number is not None and (lease is None or lease.number != self._lease_number):
            who = lease.holder if lease else "somebody"
            raise PoolpairError(Code.LEASE, f"{who} took over the work for this pool")
        with self._disk.change() as draft:
            yield draft

    @contextmanager
    def snapshot(self, rows: Path | None = None) -> Iterator[MemorySnapshot]:
        """The committed state as it is now."""
        yield MemorySnapshot(self._state, self._disk.schema, rows)

    @contextmanager
    def incoming(self, rows: Path, channel: Channel, tables: tuple[TableShape, ...]) -> Iterator[MemoryIncoming]:
        """Read a rows file and check it."""
        yield MemoryIncoming(self._disk, channel, open_rows(rows, self._disk, channel, tables), self.transaction)

    def compare_tree(self, scan: Iterable[TreeFile]) -> TreeDiff:
        """Compare a scan with the catalogue."""
        known, seen = self._state.files, {file.path: file for file in scan}
        changed = [file for path, file in seen.items() if path not in known or not _rests(file, known[path])]
        vanished = [path for path, entry in known.items() if entry.file.present and path not in seen]
        return TreeDiff(changed=tuple(sorted(changed, key=lambda file: file.path)), vanished=tuple(sorted(vanished)))

    def pending_deletions(self) -> tuple[CatalogueFile, ...]:
        """Deletions applied to the catalogue but perhaps not on disk."""
        return tuple(entry.file for _, entry in sorted(self._state.files.items()) if entry.deleting)

    def finish_deletions(self, paths: Iterable[bytes]) -> None:
        """Drop finished deletions from the catalogue."""
        listed = tuple(paths)
        if listed:
            with self._change() as draft:
                for path in listed:
                    if path in draft.files.now and draft.files.now[path].deleting:
                        del draft.files.edit[path]

    def read(self, cls: type[T], name: str) -> T | None:
        """Read one document."""
        return read_document(self._state.documents, cls, name)

    def pending(self, channel: Channel, since: int) -> int:
        """Count log entries after a token."""
        return pending_in(self._state, self._disk.schema, channel, since)

    def look(self, channel: Channel, served: tuple[str, ...], since: int) -> Look:
        """Look at the whole log."""
        state, schema = self._state, self._disk.schema
        parks = any(group.channel is channel for group in state.parked.values())
        foreign = parks or any(
            schema.home(table, key) not in served
            for table in schema.of(channel)
            for key in state.logs[table.number - 1]
        )
        return Look(foreign=foreign, pending=self.pending(channel, since))

    def shorten(self, channel: Channel) -> None:
        """The log has one entry per key."""

    def slices(self, channel: Channel) -> tuple[Slice, ...]:
        """A first copy compares at once."""
        return ()

    def holds(self, channel: Channel, homes: tuple[str, ...]) -> bool:
        """Not asked."""
        return True

    def refresh(self) -> None:
        """Nothing is remembered."""

    def stuck(self) -> str:
        """Nothing grows while somebody reads."""
        return ""

    def read_all(self, cls: type[T], prefix: str) -> dict[str, T]:
        """Read every document whose name begins with `prefix`."""
        found = {name: self.read(cls, name) for name in sorted(self._state.documents) if name.startswith(prefix)}
        return {name: value for name, value in found.items() if value is not None}

    def hint(self) -> object:
        """How often the disk changed."""
        return self._disk.commits

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every ledger entry, oldest first."""
        number = self._disk.schema.ledger.number
        rows = sorted(
            (row for group in self._state.groups[number - 1].values() for row in group), key=lambda r: r.number
        )
        return tuple(entry_of(row.values) for row in rows)

    def parked(self, channel: Channel | None = None) -> tuple[ParkedGroup, ...]:
        """Groups that this store refused, oldest first."""
        tables = self._disk.schema.tables
        return tuple(
            ParkedGroup(
                group_id=group_id,
                channel=group.channel,
                table=tables[group.table - 1].name,
                key=tables[group.table - 1].describe(group.key),
                reason=group.reason,
                package_id=group.package_id,
                since_utc=group.since_utc,
            )
            for group_id, group in sorted(self._state.parked.items())
            if channel in {None, group.channel}
        )

    def retry_parked(self, group_id: int) -> str | None:
        """Try a parked group again."""
        with self._change() as draft:
            group = draft.parked.now.get(group_id)
            if group is None:
                raise PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")
            table = self._disk.schema.tables[group.table - 1]
            reason = refusal(table, group.rows, self._disk.refuses)
            if reason is None:
                draft.put(table, group.key, group.rows)
                del draft.parked.edit[group_id]
        return reason

    def take_lease(self, holder: str, front_end: str) -> LeaseHolder:
        """Become the one service of this pool."""
        last = self._state.lease
        if not self._disk.lock(self):
            who = f"{last.holder} since {last.since_utc}" if last and last.holder else "another process"
            raise PoolpairError(Code.LEASE, f"a service already works for this pool: {who}")
        number = last.number + 1 if last else 1
        found = LeaseHolder(number=number, holder=holder, front_end=front_end, since_utc=self._clock.utc_iso())
        with self._disk.change() as draft:
            draft.lease = found
        self._lease_number = number
        return found

    def join_lease(self, other: MemoryStore) -> None:
        """Work under the lease that another instance of this process holds."""
        self._lease_number = other.lease_number

    @property
    def lease_number(self) -> int | None:
        """The fencing number, if this instance works under a lease."""
        return self._lease_number

    def release_lease(self) -> None:
        """Give the lease back; a number is never used again."""
        lease = self._state.lease
        if lease is not None and lease.number == self._lease_number:
            with self._disk.change() as draft:
                draft.lease = replace(lease, holder="")
        self._lease_number = None
        self._disk.unlock(self)

    def lease_holder(self, _: str = "") -> LeaseHolder | None:
        """Who works for this pool, if anybody alive does."""
        lease = self._state.lease
        alive = self._lease_number is not None or self._disk.is_locked
        return lease if lease is not None and lease.holder and alive else None

    def close(self) -> None:
        """Let go of every handle; the kernel frees the lock of a process that ends, too."""
        self._closed = True
        self._disk.unlock(self)


def _rests(found: TreeFile, entry: FileEntry) -> bool:
    return entry.deleting or entry.file.rests(found)
