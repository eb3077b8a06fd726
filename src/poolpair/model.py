"""The values of the line: positions, reigns, manifests and cookies.

Everything here is a frozen value without I/O. Ids are lower-case hexadecimal text of random bits. Sizes are bytes, lags
seconds. Times ending in `_utc` are for people; no decision reads them. What travels is here, what a pool remembers in `state`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from poolpair.errors import Code

FORMAT_VERSION = 1


class Randomness:
    """Where ids and nonces come from. Only the simulator puts another source here, so that one seed gives one history."""

    draw: ClassVar[Callable[[int], bytes]] = staticmethod(secrets.token_bytes)


def new_id() -> str:
    """Draw 128 random bits as 32 hexadecimal digits."""
    return Randomness.draw(16).hex()


def new_nonce() -> str:
    """Draw 64 random bits as 16 hexadecimal digits, for freshness only."""
    return Randomness.draw(8).hex()


class Channel(StrEnum):
    """What is carried; each channel keeps its own order and promises none to the others."""

    USERS = "users"
    CONFERENCES = "conferences"
    CMS = "cms"


class PackageKind(StrEnum):
    """What a package carries: a delta, a delta plus whole buckets, or groups of a returned pool."""

    DELTA = "delta"
    SEED = "seed"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A point in one stream. Two positions are the same only if all three agree."""

    stream: str
    sequence: int
    package_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """Since when a home pool's users are served where. Epoch 0 is the birth: served at home."""

    home: str
    epoch: int = 0
    reign_id: str = "0" * 32
    began: str = "birth"
    begin: dict[Channel, Position | None] = field(default_factory=dict)
    """The position that the taker had applied on each channel: what it knew of its predecessor."""
    complete: bool = True
    """Whether the taker's copy was; else what it lacks is found by comparison when its predecessor returns."""


def serving_pool(reign: Reign, pools: tuple[str, str]) -> str:
    """Name the pool that serves `reign.home`: even epochs at home, odd ones at the partner."""
    if reign.epoch % 2 == 0:
        return reign.home
    return pools[1] if reign.home == pools[0] else pools[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """One tracked table as the origin has it; the target compares before it applies."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[str, ...] = ()
    """What becomes of a value in each column (SQLite: affinity, collation); empty from whoever does not tell, or tells in the rows file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDigests:
    """Per home and table: `counts[i]` rows and `sums[i]` (16 hex digits) in bucket i of len(counts)."""

    home: str
    table: int
    counts: tuple[int, ...]
    sums: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSet:
    """Buckets of one home's table, named by number out of `of`."""

    home: str
    table: int
    of: int
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a recovered package brings: groups that a returned pool had accepted for `home` before it heard of the present reign."""

    home: str
    merge: bool = True
    """False: the writer may have stood on an older copy; what differs goes to the ledger."""
    written_after: Position | None = None
    """What the writer had applied of the reader's when it took the home over itself; older than what it once had: no merge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One sealed member of a package: its name in the ZIP, its number in the nonces, and what must come out of it."""

    name: str
    number: int
    raw_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a package says of itself, sealed. `table` numbers are 1-based in the profile's order; 0 is the tree of files."""

    channel: Channel
    origin: str
    target: str
    position: Position
    follows: Position | None
    kind: PackageKind
    store_id: str
    settings: str
    """Digest of the pair settings (homes, profile); a difference stops the channel."""
    homes: tuple[Reign, ...]
    """Reigns of both home pools as the origin knows them."""
    served: tuple[str, ...]
    """The home pools whose rows this package may carry and whose groups a seed may delete."""
    tables: tuple[TableShape, ...] = ()
    members: tuple[Member, ...] = ()
    groups: int = 0
    rows: int = 0
    files: int = 0
    file_bytes: int = 0
    sequences: dict[str, int] = field(default_factory=dict)
    """Values of serials, so that a pool that starts serving goes on above both."""
    hands: tuple[str, ...] = ()
    """Final for these homes: the target that finds its copy equal serves them from then on."""
    recovered: Recovered | None = None
    heard: Position | None = None
    """What the origin had applied of the target's when it cut this."""
    keep_replaced: bool = False
    """What this seed replaces or deletes at the target is kept there (a set-back store overruled its partner)."""
    digests: tuple[TableDigests, ...] = ()
    buckets: tuple[BucketSet, ...] = ()
    since: Position | None = None
    """It carries all that changed after this comparison, and its digests are of that alone: the rest is equal if that was."""
    compares: bool = False
    """It wants an answer, even where it has no digests because its origin serves nobody."""
    skips: bool = False
    """The delta is not in it, it was too large: the copy is incomplete until its digests are equal."""
    fills: bool = False
    """A part of a first copy for a target that said it has nothing: neither delta nor whole buckets."""
    reread: bool = False
    """An operator wants to know: the target reads its files again before it compares, whatever its catalogue says."""
    left_behind: tuple[str, ...] = ()
    """Conferences that are too large, or moved while they were packed: neither carried, nor digested, nor deleted by a seed."""
    reply_format: int = 1
    cut_utc: str = ""
    echo: str = ""
    """The newest nonce of the target's that the origin had seen before it looked what there is to be packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The target's comparison of the digests in one package. Empty `differs` means equal in one snapshot, unless `unproved`."""

    package_id: str
    differs: tuple[BucketSet, ...] = ()
    unproved: bool = False
    """The digests were of what changed since an earlier comparison, and here that is not enough: compare everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPackage:
    """A package that the target will never apply; its id travels back so that the origin sends anew."""

    package_id: str
    code: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A command carried to the other side; idempotent by id, refused if the reign is over in which it was made."""

    ask_id: str
    verb: str
    home: str
    epoch: int
    expires_utc: str
    answer: str | None = None
    """In `answers` what became of it; in `asks` what its maker has heard of that already."""
    reign_id: str = ""
    """The reign that was present when it was made."""
    withdraws: str = ""
    """An earlier ask: it shall not be carried out any more, if it was not yet."""
    since_utc: str = ""
    detail: str = ""
    """How far it has come, or why it was refused, in words; `hint`: what to do about that, or about a step that failed."""
    hint: str = ""


class ImportStatus(StrEnum):
    """How receiving goes, in the original's words plus `Degraded`."""

    NORMAL = "NormalState"
    DEGRADED = "Degraded"
    ERROR = "ErrorState"


class ExportStatus(StrEnum):
    """How sending goes, in the original's words."""

    NOT_INITIALIZED = "NotInitialized"
    NON_STEADY = "NonSteadyState"
    STEADY = "SteadyState"
    FINAL = "FinalState"
    ERROR = "ErrorState"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The last failure of a step, as status shows it and the cookie carries it."""

    code: Code
    detail: str
    since_utc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A target's word on one channel, dropped into the origin's share."""

    channel: Channel
    origin: str
    """The pool that wrote the cookie."""
    serial: int
    store_id: str
    nonce: str
    echo: str = ""
    """The newest nonce of the reader's that the writer had seen."""
    applied: Position | None = None
    standing: tuple[int, ...] = ()
    """Sequences that stand in the writer's share and may still be applied."""
    answer: Answer | None = None
    refused: tuple[RefusedPackage, ...] = ()
    parked: int = 0
    held: int = 0
    unhomed: int = 0
    quarantined: int = 0
    foreign_writes: int = 0
    status: ImportStatus = ImportStatus.NORMAL
    fault: Fault | None = None
    doubts: bool = False
    """The copy at the writer may have been changed unseen: the reader shall compare, and send what differs."""
    waiting: tuple[str, ...] = ()
    """Tables that are not the same at both pools, and why: nothing of them is applied at the writer until they are."""
    vacant: bool = False
    """Nothing was ever applied here, and there is no row of the reader's homes: a first copy need not ask what differs."""
    sending: Fault | None = None
    """Why the writer's own sending on this channel is not whole; the reader's copy of the writer's home is then stale."""
    homes: tuple[Reign, ...] = ()
    complete: tuple[str, ...] = ()
    """Homes whose copy at the writer is complete on this channel."""
    settings: str = ""
    spooled: tuple[str, ...] = ()
    """Homes of which the writer keeps groups that it still has to hand in for recovery on this channel."""
    sent: tuple[int, ...] = ()
    """Per channel: see `pipeline.reach`."""
    down: str = ""
    """Why the application at the writer does not run; empty if it does, or if nothing tells."""
    asks: tuple[Ask, ...] = ()
    answers: tuple[Ask, ...] = ()
    reads_format: int = 1
