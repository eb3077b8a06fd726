"""What a pool remembers of each channel and direction, as JSON documents in the application's own store.

They change in the transactions that change the rows they speak of. What travels is in `model`. Times in `_utc` are for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from poolpair.changed import Changed, WaitingTable
from poolpair.model import (
    Answer,
    BucketSet,
    Channel,
    Cookie,
    Fault,
    PackageKind,
    Position,
    Recovered,
    RefusedPackage,
    Reign,
    TableDigests,
    TableShape,
)
from poolpair.slice import Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A comparison that found the partner's copy equal. With what was logged since, a handover need not compare the rest again."""

    position: Position
    """The package that asked."""
    token: int
    """What its view may not hold was logged after this, and stays logged."""
    definition: str
    """The tracked tables and the settings as they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What an origin made durable before it delivered: this package, onto that position, from that capture token."""

    position: Position
    follows: Position | None
    token: int
    """Private to the origin's store: everything logged up to it is in this package or an earlier one."""
    kind: PackageKind = PackageKind.DELTA
    settings: str = ""
    shapes: str = ""
    """Digest of the tracked tables as they were."""
    definition: str = ""
    """The same in every detail that a change of them leaves behind, and the settings."""
    delivered: bool = False
    package_bytes: int = 0
    """0: never finished, so the partner cannot have it; an old copy of the store may hold such an intent of a package that was."""
    groups: int = 0
    captured_s: float = 0.0
    """Monotonic time at which the oldest change in it was first seen; see `boot_id`."""
    boot_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureMark:
    """The tracked tables and triggers as the last pass found them."""

    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Single intents of a stream are kept for its newest packages only; all up to this sequence were made by this store."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """Digests that arrived with the applied package and were not yet compared."""

    package_id: str
    digests: tuple[TableDigests, ...]
    left_behind: tuple[str, ...] = ()
    reread: bool = False
    """The files are read again before they are compared."""
    doubted: bool = False
    """That has begun: what is not in doubt any more was read."""
    hands: tuple[Reign, ...] = ()
    """The reigns that end if the copy is found equal: this pool then serves their homes."""
    since: Position | None = None
    """The digests are of what changed after this comparison."""
    changed: Changed | None = None
    """What was found here of that, when it was applied."""
    tables: tuple[TableShape, ...] = ()
    """The order of columns in which the partner computed them."""


class SeedPhase(StrEnum):
    """Where a comparison of both copies stands: digests to be sent, awaited, or differing buckets to be sent.

    Before, a first copy may send whole tables. After, what could be compared is equal, and tables that differ are waited for.
    """

    COPY = "copy"
    ASK = "ask"
    AWAIT = "await"
    SEND = "send"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A comparison, with or without repair: first copy, verify, and the cure of a target that was set back."""

    phase: SeedPhase = SeedPhase.ASK
    reason: str = "first copy"
    repair: bool = True
    asked: Position | None = None
    to_send: tuple[BucketSet, ...] = ()
    slices: tuple[Slice, ...] = ()
    """Still to be sent before anything is compared."""
    reread: bool = False
    """An operator asked: both sides read their files again, once."""
    sent: int = 0
    rounds: int = 0
    overrule: bool = False
    keeps: bool = False
    """If everything is equal that is the proof on which a handover stands."""
    on_proof: bool = False
    """It is enough to compare what changed since the proof, if there still is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What the last finished comparison found."""

    at_utc: str
    equal: bool
    differing_buckets: int
    repaired: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """What the origin remembers of one channel towards the partner."""

    stream: str
    next_sequence: int = 1
    acknowledged: Position | None = None
    acknowledged_token: int = 0
    """Everything logged up to here was applied by the partner."""
    base: Position | None = None
    """What the next package applies onto: the last packed position, or what the cookie showed at a rewind."""
    base_token: int = 0
    heard: bool = False
    """A cookie of the partner was read at least once; nothing is packed before."""
    partner_store_id: str = ""
    in_flight: tuple[Position, ...] = ()
    """Delivered, in order, not yet seen applied; the first follows what the partner applied last."""
    one_at_a_time: bool = False
    curing: bool = False
    """The partner's store was set back to `root`; its older word is known and being cured by a seed."""
    root: Position | None = None
    overruled: tuple[str, ...] = ()
    """Streams with a future that this store lost: its operator let it win, and an old word of the partner's may still speak of them."""
    initialised: bool = False
    seed: Seed | None = None
    stopped: Fault | None = None
    paused: Fault | None = None
    """An operator holds packages back; words go on, and so does whatever comes in."""
    settings: str = ""
    layout: str = ""
    """The tracked tables as they were when the last package was cut."""
    rewinds: int = 0
    in_vain: int = 0
    """Rewinds since the last acknowledgement."""
    replays: int = 0
    last_verify: VerifyResult | None = None
    proof: Proof | None = None
    """Kept while a handover is under way, and the log with it; whatever puts the copy in doubt ends it."""
    fault: Fault | None = None
    partner: Cookie | None = None
    """The partner's last believed word."""

    @property
    def prunable_token(self) -> int:
        """Everything logged up to here may be forgotten."""
        return min(self.acknowledged_token, self.proof.token) if self.proof else self.acknowledged_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A package that waits for the operator because it would delete very much."""

    position: Position
    table: str
    deletes: int
    of: int
    first: bool = False
    """It is of a first copy: what stands here was never at its origin."""
    approved: bool = False
    since_utc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A moment of this machine's monotonic clock, within one boot."""

    boot_id: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """What the target remembers of one channel from the partner. Changes in the transaction that applies."""

    applied: Position | None = None
    seen_sequence: int = 0
    complete: tuple[str, ...] = ()
    settled: tuple[str, ...] | None = None
    """Homes whose copy was whole once, or whose first copy the operator let delete; None: all, for an older release began it."""
    doubts: bool = False
    """The copy may have been changed unseen; a comparison settles it."""
    waiting: tuple[WaitingTable, ...] = ()
    """Tables of which the last package applied nothing, since they are not the same at both pools."""
    layout: str = ""
    """Our own tables as they were then."""
    answer: Answer | None = None
    refused: tuple[RefusedPackage, ...] = ()
    held: Held | None = None
    past_streams: tuple[str, ...] = ()
    ledger_kept: str = ""
    """The stream of a partner that overrules this pool, and is handed in this pool's ledger."""
    superseded: int = 0
    applied_packages: int = 0
    applied_groups: int = 0
    applied_rows: int = 0
    applied_utc: str = ""
    fault: Fault | None = None
    partner_homes: tuple[Reign, ...] = ()
    sequences: dict[str, int] = field(default_factory=dict)
    """The highest number that the partner's serials are known to have given, by table and column."""
    reached: Reached | None = None
    """Whatever the partner had accepted until then is applied."""


class Fencing(StrEnum):
    """Why the pool that serves a home refuses writes for it."""

    NONE = ""
    FENCED = "fenced"
    """A handover has begun, which may still be given up here, or another reign was heard of and is about to be adopted."""
    HANDING = "handing"
    """The final package is on its way: only another reign ends this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What this pool knows of who serves one home."""

    reigns: tuple[Reign, ...]
    """The present reign last; before it those of ours that the partner has not confirmed."""
    known: tuple[str, ...]
    """Ids of all reigns that were ever learnt; few, and kept."""
    fencing: Fencing = Fencing.NONE
    stopped: Fault | None = None
    """A reign of our own was heard of that this store does not know: it was set back. Neither served nor taken over until decided."""
    forgot: tuple[str, ...] = ()
    """Ids of reigns of our own for which it was stopped; once that is decided they are no news any more."""
    accepts: bool = False
    """Decided: what this store holds is what counts. It serves again in the reign that it forgot, when the partner names it again."""
    reign_token: int = 0
    """What the log holds after this token was changed in the present reign of ours: the reign set."""
    open: tuple[Channel, ...] = ()
    """Channels on which the partner has not adopted this reign of ours and handed in what it had; nothing is pruned there."""
    acknowledged: dict[Channel, Position | None] = field(default_factory=dict)
    """What the partner had acknowledged on each channel when this reign of ours began."""

    @property
    def present(self) -> Reign:
        """The reign that counts."""
        return self.reigns[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Groups that were spooled when a reign was adopted, and how far they have come. They lie in the store under `number`."""

    number: int
    brings: Recovered
    groups: int = 0
    files: int = 0
    position: Position | None = None
    """The package that carries them."""
    arrived: bool = False
    """That package was applied: they are merged, equal, or in the ledger over there."""
    closed: bool = False
    """And what became of them has come back here: nothing is lost any more with the partner's store."""
