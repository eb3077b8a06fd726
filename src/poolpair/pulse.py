"""The pulse of a running service, and what is told from it alone: how long changes have waited."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from poolpair.clock import Clock
from poolpair.model import Channel
from poolpair.pipeline.site import Site, intent_name, outbound_name
from poolpair.state import Intent, Outbound
from poolpair.store.kind import StoreHandle
from poolpair.store.values import LeaseHolder

PULSE = "pulse"
STALE_AFTER_S = 60.0
"""A service whose pulse is older hangs, or six heartbeats if that is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a running service knows only in memory, written down for `status`; its times are of one boot of one machine."""

    boot_id: str
    started_s: float
    at_s: float
    echoed_s: float | None = None
    word_s: dict[Channel, float] = field(default_factory=dict)
    captured_s: dict[Channel, float] = field(default_factory=dict)
    clean_s: dict[Channel, float] = field(default_factory=dict)
    pieces: dict[Channel, tuple[int, ...]] = field(default_factory=dict)
    """Of a package that goes out in pieces: how many bytes of it stand at the partner, of how many."""
    sent_bytes: dict[Channel, int] = field(default_factory=dict)
    """Of packages delivered since `started_s`; `received_bytes`: of packages applied."""
    received_bytes: dict[Channel, int] = field(default_factory=dict)
    lease: int = 0
    """Under which number the service works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockThere:
    """The clock of the machine on which the service works, as far as its pulse tells."""

    boot: str
    then_s: float
    """What that clock shows at most when ours shows `here_s`."""
    here: Clock
    here_s: float

    def monotonic_s(self) -> float:
        """As there."""
        return self.then_s + self.here.monotonic_s() - self.here_s

    def utc_iso(self) -> str:
        """As here."""
        return self.here.utc_iso()

    def boot_id(self) -> str:
        """Of that machine."""
        return self.boot


def read_pulse(site: Site, holder: LeaseHolder | None) -> tuple[Pulse | None, Site]:
    """The pulse, and the site with the clock that tells how old it is and all that the service wrote; None if neither clock does.

    Of another machine only that of the service that lives: it writes one with each heartbeat, so it is at most that old.
    """
    known, here = site.store.read(Pulse, PULSE), site.clock
    if known is None or known.boot_id == here.boot_id():
        return known, site
    if holder is None or holder.number != known.lease:
        return None, site
    then_s = known.at_s + site.limits.heartbeat_s
    there = ClockThere(boot=known.boot_id, then_s=then_s, here=here, here_s=here.monotonic_s())
    return known, replace(site, clock=there)


def is_stale(site: Site, age_s: float) -> bool:
    """Whether a service whose pulse is that old hangs: the one word on it, for /v1/serving, status, page and figures."""
    return age_s > max(STALE_AFTER_S, 6 * site.limits.heartbeat_s)


def hanging_s(site: Site, known: Pulse | None, holder: LeaseHolder | None) -> float | None:
    """For how long the service that holds the lease has given no sign of life; None if it lives, or if one look cannot tell.

    `site` has the clock that `read_pulse` found. A pulse of an earlier service, or of another machine, tells nothing of that in one look.
    """
    if known is None or holder is None or holder.number != known.lease:
        return None
    age_s = site.clock.monotonic_s() - known.at_s
    return age_s if is_stale(site, age_s) else None


def pulse(site: Site) -> Pulse:
    """The running service's present pulse."""
    memory = site.memory
    return Pulse(
        boot_id=site.clock.boot_id(),
        started_s=memory.started_s,
        at_s=site.clock.monotonic_s(),
        echoed_s=memory.echoed_s,
        word_s=dict(memory.word_s),
        captured_s=dict(memory.captured_s),
        clean_s=dict(memory.clean_s),
        pieces={channel: (flow.brought, flow.whole) for channel, flow in list(memory.flows.items()) if flow.brought},
        sent_bytes=dict(memory.traffic.sent_bytes),
        received_bytes=dict(memory.traffic.received_bytes),
        lease=(site.store.lease_number or 0) if isinstance(site.store, StoreHandle) else 0,
    )


def lag_s(site: Site, channel: Channel) -> float:
    """Age of the oldest change of a channel that is not acknowledged, told by the running service itself; 0 if there is none."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None:
        return 0.0
    pending = site.store.pending(channel, out.base_token)
    return lag_of(site, channel, out, pulse(site), site.clock.monotonic_s(), pending)


def lag_of(site: Site, channel: Channel, out: Outbound, known: Pulse | None, now: float, pending: int) -> float:
    """Age of the oldest unacknowledged change: of the first package in flight, or of what is not packed yet."""
    seen: list[float] = []
    for position in out.in_flight[:1]:
        intent = site.store.read(Intent, intent_name(channel, position))
        if intent is not None and intent.boot_id == site.clock.boot_id():
            seen.append(intent.captured_s)
    found_s = max(0.0, now - min(seen)) if seen else 0.0
    return max(found_s, waited_s(channel, known, now)) if pending else found_s


def waited_s(channel: Channel, known: Pulse | None, now: float) -> float:
    """How old the oldest change may be that is in no package: what nobody noticed yet, as the last look that found nothing."""
    if known is None:
        return 0.0
    return max(0.0, now - known.captured_s.get(channel, known.clean_s.get(channel, known.started_s)))
