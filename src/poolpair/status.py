"""Status: one value per channel and direction, derived from documents only; never greener than what was acknowledged.

`export_status` is the first match of the list in the design. `PairStatus` holds the partner's view too, from its cookie, and how old
that word is: so one command on either side tells the truth about both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from poolpair.errors import CATALOGUE, Code
from poolpair.model import Channel, Cookie, ExportStatus, Fault, ImportStatus
from poolpair.moves import DrillResult
from poolpair.outlook import Between, Takeover
from poolpair.protocol import QUICK_TRIES
from poolpair.state import Inbound, Outbound, SeedPhase, VerifyResult

SILENT_AFTER_S = 30.0
"""The partner counts as silent after this long without a fresh word, or three heartbeats if that is longer."""


class Reason(StrEnum):
    """Why a channel is not steady."""

    NONE = ""
    PARTNER_SILENT = "PartnerSilent"
    BACKLOG = "Backlog"
    COMPARING = "Comparing"
    INCOMPLETE = "CopyIncomplete"
    TABLES_DIFFER = "TablesDiffer"
    IN_VAIN = "SentInVain"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermarks:
    """Sequence numbers, always in this order: acknowledged <= applied <= delivered <= packed <= captured."""

    acknowledged: int
    applied: int
    delivered: int
    packed: int
    captured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportView:
    """How sending stands on one channel."""

    status: ExportStatus
    reason: Reason
    watermarks: Watermarks
    lag_s: float
    """Age of the oldest change that is not acknowledged, by this service's own samples; 0 if there is none."""
    pending_groups: int
    in_flight: int
    in_flight_bytes: int
    word_age_s: float | None
    """At most this old is the partner's word on this channel; None: no fresh word since the service started."""
    pieces: tuple[int, ...]
    """Bytes of the next package that stand at the partner, and all of its bytes, a heartbeat ago; empty if it does not go in pieces."""
    left_behind: tuple[str, ...]
    rewinds: int
    replays: int
    last_verify: VerifyResult | None
    fault: Fault | None
    partner_import: ImportStatus | None
    partner_parked: int
    partner_held: int
    partner_unhomed: int
    partner_quarantined: int
    partner_foreign_writes: int
    partner_waiting: tuple[str, ...]
    partner_fault: Fault | None
    partner_complete: tuple[str, ...] = ()
    """Homes whose copy at the partner is complete, by its last word."""
    between: Between = field(default_factory=Between)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportView:
    """How receiving stands on one channel."""

    status: ImportStatus
    applied: int
    packages: int
    groups: int
    rows: int
    applied_utc: str
    reach_age_s: float | None
    """Whatever the partner had accepted so long ago is applied; None: not known, or the copy is not complete."""
    standing: int
    standing_bytes: int
    complete: tuple[str, ...]
    expected: tuple[str, ...]
    """Homes that the partner serves: their copies here should be complete."""
    parked: int
    held: int
    unhomed: int
    foreign_writes: int
    quarantined: int
    superseded: int
    waiting: tuple[str, ...]
    fault: Fault | None
    partner_sending: Fault | None
    """Why the partner's sending is not whole, by its own word: what is here may be stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatus:
    """Both directions of one channel."""

    channel: Channel
    module: str
    export: ExportView
    imports: ImportView


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeStatus:
    """Who serves the users of one pool, as this side knows it."""

    home: str
    served_by: str
    epoch: int
    takes_writes: bool
    """Here; False also while they are being handed over."""
    plan: str
    """The step of a failover or failback that is under way, and what it waits for; empty if none is."""
    recovering: bool
    """Groups written at both pools are still being brought together."""
    stopped: Fault | None
    fault: Fault | None = None
    """The plan's present step failed, and waits for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStatus:
    """What `poolpair status` says."""

    pool: str
    partner: str
    at_utc: str
    service_running: bool
    front_end: str
    homes_served: tuple[str, ...]
    word_age_s: float | None
    channels: tuple[ChannelStatus, ...]
    homes: tuple[HomeStatus, ...] = ()
    standing_by: tuple[str, ...] = ()
    """Other front ends of this pool, of which one goes on at once if the one at work does not."""
    ledger_open: int = 0
    """Groups that wait in the ledger for a decision."""
    ledger_standing: int = 0
    """Groups of packages that were not applied when their users were taken over, and which the partner has not handed in since."""
    fence_off: str = ""
    """Why the fence was taken away by hand; empty while it stands."""
    gate: Fault | None = None
    """The gate is closed: what this pool serves is fenced until the partner is heard."""
    drills: tuple[DrillResult, ...] = ()
    """The last of each home that was rehearsed here."""
    gate_word: str = ""
    """Why an operator holds the gate open although the partner is not heard."""
    application: Fault | None = None
    """The application here does not run."""
    partner_application: Fault | None = None
    """The partner's does not, by its last word."""
    takeovers: tuple[Takeover, ...] = ()
    """Of each home: who could take it over now, and what that would cost."""
    share: Fault | None = None
    """Why the own share, or the key file, is not this pool's, as it is now: a service that runs may go on with what it had."""
    stuck: str = ""
    """What somebody's long transaction keeps the database here from doing, so that it grows. Nothing is lost or held up by it."""

    hanging_s: float | None = None
    """For how long the service that runs has given no sign of life; None if it lives, or none runs."""

    @property
    def service_works(self) -> bool:
        """It runs, and does not hang."""
        return self.service_running and self.hanging_s is None

    @property
    def exit_status(self) -> int:
        """0 healthy; 1 not steady, degraded or not initialised; 2 error or partner silent; 3 own service down or hanging."""
        if not self.service_works:
            return 3
        if self.application or self.fence_off or self.share or any(home.stopped or home.fault for home in self.homes):
            return 2
        if self.gate is not None and CATALOGUE[self.gate.code].exit_status > 1:
            return 2
        gated = self.gate is not None or bool(self.gate_word)
        moving = any(home.plan or home.recovering for home in self.homes)
        undecided = self.ledger_open + self.ledger_standing > 0
        restless = gated or moving or undecided or self.partner_application is not None
        return max((_channel_exit(channel) for channel in self.channels), default=0) or (1 if restless else 0)


def _channel_exit(channel: ChannelStatus) -> int:
    export, imports = channel.export, channel.imports
    sending = imports.partner_sending
    errors = ExportStatus.ERROR is export.status or ImportStatus.ERROR in (imports.status, export.partner_import)
    if errors or export.reason is Reason.PARTNER_SILENT or (sending and CATALOGUE[sending.code].exit_status > 1):
        return 2
    degraded = ImportStatus.DEGRADED in (imports.status, export.partner_import)
    incomplete = imports.applied and not set(imports.expected) <= set(imports.complete)
    doubtful = sending or incomplete or export.left_behind or imports.foreign_writes or export.partner_foreign_writes
    unsteady = export.status in (ExportStatus.NON_STEADY, ExportStatus.NOT_INITIALIZED)
    return 1 if degraded or doubtful or unsteady else 0


def export_status(
    out: Outbound,
    *,
    served: tuple[str, ...],
    pending: int,
    unhomed: int,
    lag_s: float,
    interval_s: float,
    heartbeat_s: float,
    word_age_s: float | None,
) -> tuple[ExportStatus, Reason]:
    """First match wins: error, not initialised, silent, paused, comparing, in vain, backlog or incomplete, final, steady."""
    if out.stopped is not None or out.fault is not None:
        return ExportStatus.ERROR, Reason.NONE
    silent = word_age_s is None or word_age_s >= max(SILENT_AFTER_S, 3 * heartbeat_s)
    if not out.initialised:
        why = Reason.PAUSED if out.paused else Reason.COMPARING
        return ExportStatus.NOT_INITIALIZED, Reason.PARTNER_SILENT if silent else why
    if silent:
        return ExportStatus.NON_STEADY, Reason.PARTNER_SILENT
    if out.paused:
        return ExportStatus.NON_STEADY, Reason.PAUSED
    if out.seed is not None and out.seed.phase is SeedPhase.WAIT:
        return ExportStatus.NON_STEADY, Reason.TABLES_DIFFER
    if out.seed is not None and out.seed.repair:
        return ExportStatus.NON_STEADY, Reason.COMPARING
    if out.in_vain > QUICK_TRIES:
        return ExportStatus.NON_STEADY, Reason.IN_VAIN
    if lag_s > 2 * interval_s:
        return ExportStatus.NON_STEADY, Reason.BACKLOG
    if out.partner is None or not set(served) <= set(out.partner.complete):
        return ExportStatus.NON_STEADY, Reason.INCOMPLETE
    if not pending and not unhomed and not out.in_flight and out.seed is None and _is_whole(out.partner):
        return ExportStatus.FINAL, Reason.NONE
    return ExportStatus.STEADY, Reason.NONE


def _is_whole(partner: Cookie) -> bool:
    """Whether the copy lacks nothing: parked, held, unhomed groups and rows that somebody changed there make FinalState impossible."""
    return not (partner.parked or partner.held or partner.waiting or partner.unhomed or partner.foreign_writes)


def watermarks(out: Outbound, *, pending: int, applied: int) -> Watermarks:
    """The five watermarks, made to keep their order while several are read one after another."""
    acknowledged = out.acknowledged.sequence if out.acknowledged and out.acknowledged.stream == out.stream else 0
    packed = max(out.next_sequence - 1, acknowledged)
    delivered = max((position.sequence for position in out.in_flight), default=acknowledged)
    applied = min(max(applied, acknowledged), delivered)
    return Watermarks(
        acknowledged=acknowledged,
        applied=applied,
        delivered=delivered,
        packed=packed,
        captured=packed + (1 if pending else 0),
    )


def silent_fault(word_age_s: float | None, partner: str) -> str:
    """Say in plain words how long the partner has been silent."""
    since = "since this service started" if word_age_s is None else f"for {word_age_s:.0f} s"
    return (
        f"{Code.PARTNER_SILENT}: no fresh word from {partner} {since}; its service, its share or the line may be down"
    )


def inbound_applied(inbound: Inbound) -> int:
    """The applied sequence, 0 for none."""
    return inbound.applied.sequence if inbound.applied else 0
