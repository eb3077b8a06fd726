"""The values that pass through the store port: cuts, exports, files, plans and their outcomes. Sizes are bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum

from poolpair.changed import Changed, WaitingTable
from poolpair.model import BucketSet, Channel, TableShape
from poolpair.slice import Slice
from poolpair.store.tree import TreeFile


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreIdentity:
    """Who this store is. `location` is a digest of where it lies; a copy at another place has the same id but another location."""

    store_id: str
    location: str
    home_location: str
    """Where it lay when it was initialised or last adopted."""

    @property
    def is_clone(self) -> bool:
        """The store was copied or moved without `adopt-store`."""
        return self.location != self.home_location


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a package is to carry: the delta after `since` (None: none) and whole buckets, of the homes `served` here."""

    channel: Channel
    served: tuple[str, ...]
    since: int | None
    buckets: tuple[BucketSet, ...] = ()
    slices: tuple[Slice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a rows file holds."""

    groups: int
    rows: int
    tables: tuple[TableShape, ...]
    sequences: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueFile:
    """One file as the store's catalogue knows it. `sha256` is empty for a deleted file (`present` False)."""

    path: bytes
    size: int
    mtime_ns: int
    inode: int
    mode: int
    sha256: str
    home: str
    conference: str
    ctime_ns: int = 0
    present: bool = True
    foreign: bool = False
    """Somebody changed it here although its home is not served here."""

    def rests(self, found: TreeFile) -> bool:
        """Whether the file on disk is the one that the catalogue knows, by all that tells without reading it."""
        mine = (self.size, self.mtime_ns, self.inode, self.ctime_ns)
        return self.present and mine == (found.size, found.mtime_ns, found.inode, found.ctime_ns)


def as_on_disk(file: CatalogueFile, found: TreeFile) -> CatalogueFile:
    """The entry of a file that lies on disk as `found`."""
    return replace(
        file,
        size=found.size,
        mtime_ns=found.mtime_ns,
        inode=found.inode,
        mode=found.mode,
        ctime_ns=found.ctime_ns,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedFile:
    """A changed file and where its bytes lie in the package; a tombstone has `member` 0."""

    file: CatalogueFile
    member: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Changed groups that are nobody's here: of homes served elsewhere, and of no home at all."""

    foreign: int
    unhomed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look at the log found: whether `drop_foreign` has something to do, and how many entries wait to be packed.

    Several entries may speak of one group; none waits only if no group does.
    """

    foreign: bool
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeDiff:
    """What a scan found against the catalogue."""

    changed: tuple[TreeFile, ...]
    vanished: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyPlan:
    """How a package is applied. Guards: more than `guard_groups` and more than `guard_fraction` of a table deleted = held.

    So is one group or file that a comparison would delete of an `unsettled` home: what its origin never said to delete.
    """

    channel: Channel
    package_id: str
    served: tuple[str, ...]
    buckets: tuple[BucketSet, ...]
    guard_fraction: float
    guard_groups: int
    parked_max: int
    """Groups of one table that may be parked; beyond, nothing is applied: that is no bad row but a wrong table."""
    approved: bool
    left_behind: tuple[str, ...]
    """Conferences that a seed must not delete although the package does not hold them."""
    keep_replaced: bool
    fills: bool = False
    """Most likely nothing of it is here yet."""
    digests: bool = False
    """What it names is digested after it was applied."""
    unsettled: tuple[str, ...] = ()
    """Homes of which the copy here was never whole."""
    now_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What one package did to the rows. `groups` were named, `rows` written, `deleted` groups removed, `parked` refused."""

    groups: int
    rows: int
    deleted: int
    parked: int
    waiting: tuple[WaitingTable, ...] = ()
    """Tables of which nothing was applied."""
    alone: bool = True
    """Nothing but these groups can have changed: no trigger or cascade of the application's could run."""
    changed: Changed | None = None
    """If that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MassDelete:
    """A guard tripped: this package would delete `deletes` of the `of` groups of `table`. Nothing was changed."""

    table: str
    deletes: int
    of: int
    first: bool = False
    """It is a first copy that would delete what its origin does not have; `of` counts what stands here of its homes."""


def too_many_files(plan: ApplyPlan, *, named: int, surplus: Counter[str], of: int, adds: bool) -> MassDelete | None:
    """Guard the tree: like a table, and an emptied tree of two files or more always counts as too much.

    `named` files are said to be deleted; `surplus` counts by home those in compared buckets that the package does not hold.
    """
    if first := sum(surplus[home] for home in plan.unsettled):
        return MassDelete(table="the files", deletes=first, of=of, first=True)
    gone = named + surplus.total()
    emptied = gone >= 2 and gone == of and not adds
    if emptied or (gone > plan.guard_groups and gone > plan.guard_fraction * of):
        return MassDelete(table="the files", deletes=gone, of=of)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedGroup:
    """A group that this store refused, kept with its rows until retried, dropped or overtaken."""

    group_id: int
    channel: Channel
    table: str
    key: str
    reason: str
    package_id: str
    since_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHolder:
    """Who works for this pool now."""

    number: int
    holder: str
    front_end: str
    since_utc: str
    standing_by: tuple[str, ...] = ()
    """Other front ends that live and would take over at once."""


class Choice(StrEnum):
    """What becomes of a ledger entry. `theirs` is what the returned pool had, `ours` what stood at the server."""

    OPEN = "open"
    STANDING = "standing"
    """It lies in a package that could not be applied any more; the pool that made it hands it in when it returns, if it ever does."""
    RETURNED = "returned"
    """It was standing, and the pool that made it has handed the group in."""
    THEIRS = "theirs"
    OURS = "ours"
    BOTH = "both"
    """Of a file: ours stays, theirs lies beside it."""

    @property
    def is_decided(self) -> bool:
        """Whether nobody has to do anything about it any more."""
        return self not in {Choice.OPEN, Choice.STANDING}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNote:
    """What every entry made in one act shares: the reign under which it came up, why, and when; and how it begins."""

    reign_id: str
    why: str
    now_utc: str
    state: Choice = Choice.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverPlan:
    """How groups of a returned pool are taken in. What was changed here after `reign_token` is in the reign set: never overwritten."""

    channel: Channel
    home: str
    reign_token: int
    merge: bool
    note: LedgerNote

    @property
    def lists(self) -> bool:
        """Nothing is taken in or logged: what differs goes to the ledger as standing, and other homes are left out."""
        return self.note.state is Choice.STANDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """What became of groups: taken over as they were sent, equal to what stands here, or in the ledger with both versions."""

    merged: int = 0
    equal: int = 0
    in_ledger: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One group that two pools had both written, or that could not be merged; kept with both versions, whatever is decided."""

    home: str
    entry_id: str
    channel: Channel
    table: str
    key: str
    """For people."""
    why: str
    reign_id: str
    theirs: str
    ours: str
    """Both as JSON text of rows; [] is a group that is not there."""
    state: Choice
    since_utc: str
    decided_utc: str
