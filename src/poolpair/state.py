"""What a pool remembers of each channel and direction, as JSON documents in the application's own store.

They change in the transactions that change the rows they speak of. Nothing here travels; what travels is in `model`. Times ending
in `_utc` are for people, tokens are private to the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from poolpair.model import (
    Answer,
    BucketSet,
    Cookie,
    Fault,
    PackageKind,
    Position,
    RefusedPackage,
    Reign,
    Slice,
    TableDigests,
)


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


class SeedPhase(StrEnum):
    """Where a comparison of both copies stands: digests to be sent, awaited, or differing buckets to be sent.

    A first copy may begin by sending slices of whole tables; what it then lacks is found by the comparison.
    """

    COPY = "copy"
    ASK = "ask"
    AWAIT = "await"
    SEND = "send"


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
    """Everything logged up to here may be pruned."""
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
    initialised: bool = False
    seed: Seed | None = None
    stopped: Fault | None = None
    settings: str = ""
    rewinds: int = 0
    in_vain: int = 0
    """Rewinds since the last acknowledgement."""
    replays: int = 0
    last_verify: VerifyResult | None = None
    fault: Fault | None = None
    partner: Cookie | None = None
    """The partner's last believed word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A package that waits for the operator because it would delete very much."""

    position: Position
    table: str
    deletes: int
    of: int
    approved: bool = False
    since_utc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """What the target remembers of one channel from the partner. Changes in the transaction that applies."""

    applied: Position | None = None
    seen_sequence: int = 0
    complete: tuple[str, ...] = ()
    doubts: bool = False
    """The copy may have been changed unseen; a comparison settles it."""
    answer: Answer | None = None
    refused: tuple[RefusedPackage, ...] = ()
    held: Held | None = None
    past_streams: tuple[str, ...] = ()
    superseded: int = 0
    applied_packages: int = 0
    applied_groups: int = 0
    applied_rows: int = 0
    applied_utc: str = ""
    fault: Fault | None = None
    partner_homes: tuple[Reign, ...] = ()
