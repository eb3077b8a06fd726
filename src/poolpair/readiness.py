"""Whether each site could take over from the other right now, and what that would cost: a pure look at what status knows.

Nothing is claimed that was not heard: a partner that is silent may or may not be able to take over, and that counts as broken.
"""

from __future__ import annotations

from collections.abc import Iterator

from poolpair.model import ExportStatus, ImportStatus
from poolpair.outlook import Level, Takeover, worst
from poolpair.status import ChannelStatus, HomeStatus, PairStatus, Reason
from poolpair.units import show_age, show_count

Found = Iterator[tuple[Level, str]]

_HINDERS = {
    Reason.BACKLOG: "a change waits longer than two intervals",
    Reason.COMPARING: "both copies are being compared",
    Reason.INCOMPLETE: "the copy there is known to differ",
    Reason.TABLES_DIFFER: "a table is not the same on both sides",
    Reason.IN_VAIN: "what is sent does not arrive",
    Reason.PAUSED: "packages are held back by hand",
}


def takeovers(found: PairStatus) -> tuple[Takeover, ...]:
    """One for each home, in the order of `found.homes`."""
    return tuple(_takeover(found, home) for home in found.homes)


def is_silent(found: PairStatus) -> bool:
    """No fresh word from the partner, on any channel."""
    return any(channel.export.reason is Reason.PARTNER_SILENT for channel in found.channels)


def _takeover(found: PairStatus, home: HomeStatus) -> Takeover:
    there = home.served_by == found.pool
    looked = [*_of_both(home), *(_by_partner(found, home.home) if there else _by_us(found, home.home))]
    order = list(Level)
    told = sorted(looked, key=lambda each: -order.index(each[0]))
    return Takeover(
        home=home.home,
        served_by=home.served_by,
        by=found.partner if there else found.pool,
        level=worst(*(level for level, _ in looked)),
        cost_s=max((channel.export.lag_s for channel in found.channels), default=0.0) if there else _reach_s(found),
        groups=_unacknowledged(found) if there else None,
        package_bytes=sum(
            channel.export.in_flight_bytes if there else channel.imports.standing_bytes for channel in found.channels
        ),
        why=tuple(dict.fromkeys(words for _, words in told)),
    )


def _unacknowledged(found: PairStatus) -> int:
    between = [channel.export.between for channel in found.channels]
    return sum(
        stretch.groups
        for each in between
        for stretch in (each.to_pack, each.to_deliver, each.to_apply, each.to_acknowledge)
    )


def _reach_s(found: PairStatus) -> float | None:
    ages = [channel.imports.reach_age_s for channel in found.channels]
    known = [age for age in ages if age is not None]
    return max(known) if known and len(known) == len(ages) else None


def _of_both(home: HomeStatus) -> Found:
    if home.stopped is not None:
        yield Level.BROKEN, f"{home.stopped.code}: {home.stopped.detail}"
    if home.fault is not None:
        yield Level.BROKEN, f"{home.fault.code}: {home.fault.detail}"
    if home.plan:
        yield Level.ATTENTION, f"its users are being moved ({home.plan})"
    if home.recovering:
        yield Level.ATTENTION, "what was written at both pools is still being brought together"


def _by_partner(found: PairStatus, home: str) -> Found:
    """The users are served here; the copy is over there, and what is known of it is the partner's last word."""
    partner = found.partner
    if not found.service_works:
        yield Level.BROKEN, f"{_idle(found)}: nothing is sent"
    elif is_silent(found):
        since = "since this service started" if found.word_age_s is None else f"for {show_age(found.word_age_s)}"
        yield Level.BROKEN, f"{partner} was not heard {since}: whether it could is not known"
    if found.partner_application is not None:
        yield Level.BROKEN, f"the application at {partner} does not run"
    for channel in found.channels:
        yield from _sending(channel, home, partner)


def _sending(channel: ChannelStatus, home: str, partner: str) -> Found:
    name, export = channel.channel, channel.export
    if export.status is ExportStatus.ERROR:
        why = f"{export.fault.code}: {export.fault.detail}" if export.fault else "the last attempt failed"
        yield Level.BROKEN, f"{name}: {why}"
    elif export.status is ExportStatus.NOT_INITIALIZED:
        yield Level.BROKEN, f"{name}: the first copy is not finished"
    elif home not in export.partner_complete:
        yield Level.BROKEN, f"{name}: the copy at {partner} is not complete"
    elif export.reason in _HINDERS:
        yield Level.ATTENTION, f"{name}: {_HINDERS[export.reason]}"
    if export.partner_import is ImportStatus.ERROR:
        fault = export.partner_fault
        yield Level.BROKEN, f"{name}: {partner} cannot apply{f', {fault.code}: {fault.detail}' if fault else ''}"
    counts = (
        (export.partner_parked, "group", "parked at"),
        (export.partner_held, "package", "held at"),
        (export.partner_foreign_writes, "foreign write", "seen at"),
        (len(export.partner_waiting), "table", "waiting at"),
    )
    for count, what, where in counts:
        if count:
            yield Level.ATTENTION, f"{name}: {show_count(count, what)} {where} {partner}"
    if export.left_behind:
        yield Level.ATTENTION, f"{name}: {show_count(len(export.left_behind), 'conference')} cannot be carried"


def _idle(found: PairStatus) -> str:
    if found.hanging_s is None:
        return f"no service runs at {found.pool}"
    return f"the service at {found.pool} has given no sign of life for {show_age(found.hanging_s)}"


def _by_us(found: PairStatus, home: str) -> Found:
    """The users are served by the partner; the copy is here."""
    if not found.service_works:
        yield Level.BROKEN, f"{_idle(found)}: nothing is applied"
    elif is_silent(found):
        yield Level.ATTENTION, f"{found.partner} is not heard: nothing newer arrives"
    if found.application is not None:
        yield Level.BROKEN, f"the application at {found.pool} does not run"
    if found.share is not None:
        yield Level.BROKEN, f"own share: {found.share.code}: {found.share.detail}"
    if found.fence_off:
        yield Level.ATTENTION, "the fence is off"
    for channel in found.channels:
        yield from _receiving(channel, home, found.partner)
    for drill in found.drills:
        if drill.home == home and drill.failure:
            yield Level.ATTENTION, f"its last drill failed: {drill.failure}"


def _receiving(channel: ChannelStatus, home: str, partner: str) -> Found:
    name, imports = channel.channel, channel.imports
    if imports.fault is not None:
        yield Level.BROKEN, f"{name}: {imports.fault.code}: {imports.fault.detail}"
    if not imports.applied:
        yield Level.BROKEN, f"{name}: nothing was applied yet"
    elif home not in imports.complete:
        yield Level.BROKEN, f"{name}: the copy here is not complete"
    if imports.partner_sending is not None:
        yield Level.ATTENTION, f"{name}: {partner} says of its sending: {imports.partner_sending.detail}"
    counts = (
        (imports.parked, "group", "parked"),
        (imports.held, "package", "held"),
        (imports.foreign_writes, "foreign write", "seen"),
        (len(imports.waiting), "table", "waiting"),
    )
    for count, what, how in counts:
        if count:
            yield Level.ATTENTION, f"{name}: {show_count(count, what)} {how} here"
