"""The store port: the application's database as the line sees it.

Three faces, each with its own lifetime:

* `Transaction`: one short write transaction. Documents (what the pool remembers) and the capture log change here, together.
  Every one checks the lease's fencing number, so a service that lost its lease can commit nothing.
* `Snapshot`: one consistent read view. A package is cut from it, and digests are computed on it.
* `Incoming`: the rows file of one received package, checked against the tables; applied in one transaction with whatever the
  caller records.

A capture token is an integer that only its store understands: all logged up to it was committed before it was drawn; `None` is no delta.
Raises `PoolpairError` with STORE_*, SCHEMA, CAPTURE_BROKEN, LEASE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from poolpair.model import Channel, TableShape
from poolpair.store.port_compares import Compares
from poolpair.store.port_looks import Looks
from poolpair.store.port_moves import HomeMoves
from poolpair.store.tree import TreeFile
from poolpair.store.values import (
    Applied,
    ApplyPlan,
    CatalogueFile,
    Cut,
    Dropped,
    Exported,
    LeaseHolder,
    LedgerEntry,
    MassDelete,
    PackedFile,
    ParkedGroup,
    Reclaimed,
    RecoverPlan,
    StoreIdentity,
    TreeDiff,
)

T = TypeVar("T")


class Transaction(HomeMoves, Protocol):
    """One short write transaction; commits when its context ends without an exception."""

    def load(self, cls: type[T], name: str) -> T | None:
        """Read a document, None if there is none."""
        ...

    def save(self, name: str, value: object) -> None:
        """Write a document."""
        ...

    def delete(self, name: str) -> None:
        """Forget a document."""
        ...

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the documents that begin with `prefix`, in order."""
        ...

    def token(self) -> int:
        """The newest token that was drawn."""
        ...

    def advance(self) -> int:
        """Draw a token: everything logged until now is up to it, everything later is after it."""
        ...

    def pending(self, channel: Channel, since: int) -> int:
        """Count the log entries (groups and files) after a token."""
        ...

    def drop_foreign(self, channel: Channel, served: tuple[str, ...]) -> Dropped:
        """Take entries of homes not served here out of the log, and count them. A parked group that was written since is unparked."""
        ...

    def postpone(self, channel: Channel, conferences: frozenset[str], served: tuple[str, ...], *, whole: bool) -> None:
        """Log again, after the newest token, what is logged of these conferences; after a comparison left them out, `whole`."""
        ...

    def prune(self, channel: Channel, token: int) -> int:
        """Forget log entries up to an acknowledged token; returns how many."""
        ...

    def drop_parked(self, group_id: int) -> Channel | None:
        """Forget a parked group; the copy then lacks it. Returns its channel, None if there is no such group."""
        ...

    def note_files(self, files: Iterable[CatalogueFile], *, log: bool) -> None:
        """Put files (or, with `present` False, their absence) into the catalogue; logged as changes or not.

        An absence that is not logged leaves nothing behind.
        """
        ...

    def touch_files(self, files: Iterable[CatalogueFile]) -> None:
        """Record new size, time and inode of files whose content is known; what was logged stays logged."""
        ...

    def doubt_files(self, homes: tuple[str, ...] | None = None) -> None:
        """Make the next scan read every file again, or every file of these homes."""
        ...

    def doubted_files(self, homes: tuple[str, ...]) -> tuple[CatalogueFile, ...]:
        """Files of these homes that were not read since they were doubted."""
        ...

    def file(self, path: bytes) -> CatalogueFile | None:
        """One entry of the catalogue."""
        ...

    def placing(self, path: bytes) -> str | None:
        """The digest that an apply was about to place at this path, if it did not finish."""
        ...


class Snapshot(Compares, Protocol):
    """One consistent read view of the store."""

    def token(self) -> int:
        """The newest token drawn at this view."""
        ...

    def changed_files(self, cut: Cut) -> Iterator[CatalogueFile]:
        """Files of the delta and of the whole buckets of table 0, tombstones included."""
        ...

    def list_files(self, files: Iterable[PackedFile]) -> None:
        """Begin the rows file with the list of files that the package carries."""
        ...

    def export(self, cut: Cut, left_behind: AbstractSet[str]) -> Exported:
        """Add the rows, but for those of conferences in `left_behind`, which wait; ends the view."""
        ...

    def export_spool(self, number: int, channel: Channel) -> Exported:
        """Add spooled groups instead; ends the view."""
        ...

    def too_large(self, served: tuple[str, ...], limit_bytes: int) -> frozenset[str]:
        """Conferences of the served homes whose files are larger together than the limit."""
        ...

    def unhomed(self, channel: Channel) -> int:
        """Count groups whose home_key matches no pattern."""
        ...


class Incoming(Protocol):
    """The rows file of one package, opened and found to fit the tables."""

    def files(self) -> Iterator[PackedFile]:
        """Files that the package carries, in the order of their bytes."""
        ...

    def surplus_files(self, plan: ApplyPlan) -> Iterator[CatalogueFile]:
        """Files here that a seed's whole buckets do not hold."""
        ...

    def check(self, plan: ApplyPlan) -> MassDelete | None:
        """Say, before anything is placed, whether a guard trips. Raises Refused for rows that are not the partner's to send."""
        ...

    def mass_file_delete(self, plan: ApplyPlan) -> MassDelete | None:
        """Say whether the guard of the tree trips, unless the plan is approved."""
        ...

    def mark_placing(self, deleted: Sequence[bytes] = ()) -> None:
        """Record, durably, which digest is about to be placed at which path; `deleted` are known as such already, and pending."""
        ...

    def apply(
        self, plan: ApplyPlan, placed: Iterable[CatalogueFile], record: Callable[[Transaction, Applied], None]
    ) -> Applied | MassDelete:
        """Apply rows and catalogue, and what `record` writes, in one transaction."""
        ...

    def recover(self, plan: RecoverPlan, record: Callable[[Transaction, Reclaimed], None]) -> Reclaimed:
        """Take in what a returned pool had: merged, equal, or in the ledger; every group named is logged, so that what stands goes back.

        Where it may be merged, entries that were standing for these groups are returned. A plan that `lists` only enters.
        """
        ...


class Store(Looks, Protocol):
    """The application's database."""

    def identity(self) -> StoreIdentity:
        """Who this store is."""
        ...

    def adopt(self, store_id: str) -> None:
        """Give the store a new id and its present location: it is the one to keep."""
        ...

    def shapes(self, channel: Channel) -> tuple[TableShape, ...]:
        """The tracked tables of a channel as they are now."""
        ...

    def layout(self, channel: Channel) -> str:
        """A text that changes when a tracked table of the channel comes, goes, or changes its columns."""
        ...

    def check_capture(self) -> str:
        """Raise CAPTURE_BROKEN or PROFILE if the schema changed so that capture misses rows. Returns a mark of tables and triggers.

        Another mark means that they were taken away and put back, and that what happened between may have gone unseen.
        """
        ...

    def transaction(self, *, fencing: bool = False, lazily: bool = False) -> AbstractContextManager[Transaction]:
        """Begin a write transaction. With `fencing` it begins when no transaction of the application is left that writes tracked tables.

        It then sees whatever those committed, and later ones meet the new fence: raises STORE_LOCKED if one stays open.
        One done `lazily` may be lost with its machine, but not before an earlier or without a later one.
        """
        ...

    def snapshot(self, rows: Path | None = None) -> AbstractContextManager[Snapshot]:
        """Fix a read view; `rows` names the rows file to be cut from it: raises STORE_LOCKED if tables changed since `check_capture`."""
        ...

    def incoming(
        self, rows: Path, channel: Channel, tables: tuple[TableShape, ...]
    ) -> AbstractContextManager[Incoming]:
        """Open a received rows file; raises SCHEMA if the tables differ, unless this store can let single tables wait."""
        ...

    def compare_tree(self, scan: Iterable[TreeFile]) -> TreeDiff:
        """Compare a scan with the catalogue by size, time and inode; a file whose applied deletion is under way is no news."""
        ...

    def pending_deletions(self) -> tuple[CatalogueFile, ...]:
        """Files whose deletion was applied to the catalogue but perhaps not yet on disk."""
        ...

    def finish_deletions(self, paths: Iterable[bytes]) -> None:
        """Record that these files are gone from disk."""
        ...

    def read(self, cls: type[T], name: str) -> T | None:
        """Read one document outside a transaction."""
        ...

    def pending(self, channel: Channel, since: int) -> int:
        """Count log entries after a token, outside a transaction."""
        ...

    def read_all(self, cls: type[T], prefix: str) -> dict[str, T]:
        """Read every document whose name begins with `prefix`."""
        ...

    def hint(self) -> object:
        """A token that changes whenever somebody else wrote to the database; cheap, to be polled."""
        ...

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every ledger entry, oldest first, decided ones too."""
        ...

    def parked(self, channel: Channel | None = None) -> tuple[ParkedGroup, ...]:
        """Groups that this store refused."""
        ...

    def retry_parked(self, group_id: int) -> str | None:
        """Try to apply a parked group again; returns the reason if it is refused again."""
        ...

    def take_lease(self, holder: str, front_end: str) -> LeaseHolder:
        """Become the one service of this pool, unless another is alive: then raises LEASE."""
        ...

    def release_lease(self) -> None:
        """Give the lease back."""
        ...

    def lease_holder(self, stands_by: str = "") -> LeaseHolder | None:
        """Who works for this pool, if anybody alive does; `stands_by` is a front end that says of itself that it waits for this."""
        ...

    def close(self) -> None:
        """Let go of every handle, as the end of a process does; what this instance holds by a lease is free at once."""
        ...
