"""The pair at a glance, for the page and for `status --watch`: sentences, lanes and levels. Pure; only what the status says is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from poolpair.errors import CATALOGUE
from poolpair.model import Channel, ExportStatus, ImportStatus
from poolpair.outlook import Level, Stretch, Takeover, worst
from poolpair.readiness import is_silent
from poolpair.status import ChannelStatus, ExportView, HomeStatus, ImportView, PairStatus, Reason
from poolpair.units import show_age, show_bytes, show_count
from poolpair.wording import REASONS, words_of_hanging

_NAMES = ("captured", "packed", "delivered", "applied", "acknowledged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An answer of the five seconds: whether this pool could take over from the other."""

    level: Level
    title: str
    answer: str
    cost: str
    details: tuple[str, ...]
    takes_over: str = ""
    """The home that could be taken over here, where that is what one may want to do: its server is not heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One watermark."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One channel in one direction."""

    channel: Channel
    sender: str
    receiver: str
    leaves: bool
    """Sent from here."""
    level: Level
    state: str
    note: str
    stops: tuple[Stop, ...]
    gaps: tuple[str, ...]
    """What lies between two stops; empty if nothing does."""
    foot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One pool."""

    pool: str
    here: bool
    level: Level
    serves: tuple[str, ...]
    lines: tuple[str, ...]


def headline(found: PairStatus) -> str:
    """The answer in one sentence."""
    could = {pool: _could(found, pool) for pool in (found.pool, found.partner)}
    needed = {pool: level for pool, level in could.items() if level is not None}
    able = [pool for pool, level in needed.items() if level is not Level.BROKEN]
    unable = [pool for pool in needed if pool not in able]
    other = {found.pool: found.partner, found.partner: found.pool}
    if found.hanging_s is not None:
        return f"The service at {found.pool} hangs: how the pair stands is not known."
    if is_silent(found) and found.service_works:
        if found.pool in needed:
            can = "could" if found.pool in able else "could not"
            return f"{found.partner} is not heard. {found.pool} {can} take over from it."
        return f"{found.partner} is not heard; {found.pool} serves everybody."
    if not unable and len(able) == 2:
        return "Both sites could take over."
    if not able and len(unable) == 2:
        return "Neither site is known to be able to take over."
    words = [f"{pool} could take over from {other[pool]}" for pool in able]
    words += [f"{pool} could not take over from {other[pool]}, or that is not known" for pool in unable]
    return "; ".join(words) + "." if words else "Nobody is served."


def _could(found: PairStatus, pool: str) -> Level | None:
    """How well a pool could take over; None if nobody is served by the other."""
    levels = [each.level for each in found.takeovers if each.by == pool]
    return worst(*levels) if levels else None


def cards(found: PairStatus) -> tuple[Card, ...]:
    """One for each home."""
    return tuple(_card(found, each) for each in found.takeovers)


def _card(found: PairStatus, each: Takeover) -> Card:
    answers = {
        Level.HEALTHY: f"{each.by} could take over.",
        Level.ATTENTION: f"{each.by} could take over. See to this:",
        Level.BROKEN: f"{each.by} could not, or that is not known:",
    }
    return Card(
        level=each.level,
        title=f"If {each.served_by} died now: users of {each.home}",
        answer=answers[each.level],
        cost=_cost(found, each),
        details=each.why,
        takes_over=each.home if each.by == found.pool and is_silent(found) and found.service_works else "",
    )


def _cost(found: PairStatus, each: Takeover) -> str:
    if each.groups is not None:  # served here: what is not acknowledged is known to the group
        if not each.groups and is_silent(found):
            return f"nothing waits here that {each.by} did not acknowledge"
        if not each.groups:
            final = all(channel.export.status is ExportStatus.FINAL for channel in found.channels)
            if final:
                return "nothing would be missing"
            broken = (
                each.level is Level.BROKEN
            )  # of a copy that could not take over, it would read as if nothing were missing
            return "what would be missing is not known" if broken else "nothing is known that would be missing"
        size = f", {show_bytes(each.package_bytes)} of it under way" if each.package_bytes else ""
        return f"would be missing: {show_count(each.groups, 'changed group')} of the last {show_age(each.cost_s or 0)}{size}"
    if each.cost_s is None:
        return "what would be missing is not known"
    return f"would be missing: what {each.served_by} accepted in the last {show_age(each.cost_s)}"


def sides(found: PairStatus) -> tuple[Side, Side]:
    """The own pool, and the partner as it was last heard."""
    silent = is_silent(found)
    by = f"; standing by: {', '.join(found.standing_by)}" if found.standing_by else ""
    service = f"service runs on {found.front_end}{by}" if found.service_running else "no service runs"
    service = words_of_hanging(found) or service
    ours = [service, *([found.application.detail] if found.application else [])]
    age = (
        "not heard since the service started" if found.word_age_s is None else f"heard {show_age(found.word_age_s)} ago"
    )
    there = found.partner_application
    theirs = [age, *([f"application: {there.detail}"] if there else [])]
    unheard = Level.ATTENTION if silent else Level.HEALTHY  # whoever hangs hears nobody
    down = found.application is not None or not found.service_works
    return (
        Side(
            pool=found.pool,
            here=True,
            level=Level.BROKEN if down else Level.HEALTHY,
            serves=_served(found, found.pool),
            lines=tuple(ours),
        ),
        Side(
            pool=found.partner,
            here=False,
            level=Level.BROKEN if there or (silent and found.hanging_s is None) else unheard,
            serves=_served(found, found.partner),
            lines=tuple(theirs),
        ),
    )


def _served(found: PairStatus, pool: str) -> tuple[str, ...]:
    return tuple(home.home for home in found.homes if home.served_by == pool)


def lanes(found: PairStatus) -> tuple[Lane, ...]:
    """Every channel, first what is sent, then what is received."""
    return (
        *(_outward(found, channel) for channel in found.channels),
        *(_inward(found, channel) for channel in found.channels),
    )


def _outward(found: PairStatus, channel: ChannelStatus) -> Lane:
    view, marks = channel.export, channel.export.watermarks
    values = (marks.captured, marks.packed, marks.delivered, marks.applied, marks.acknowledged)
    between = view.between
    stretches = (between.to_pack, between.to_deliver, between.to_apply, between.to_acknowledge)
    return Lane(
        channel=channel.channel,
        sender=found.pool,
        receiver=found.partner,
        leaves=True,
        level=_export_level(view),
        state=view.status,
        note=REASONS.get(view.reason, "").format(partner=found.partner),
        stops=tuple(Stop(name=name, value=f"{value:,}") for name, value in zip(_NAMES, values, strict=True)),
        gaps=tuple(map(words_of_stretch, stretches)),
        foot=_export_foot(view),
    )


def _export_level(view: ExportView) -> Level:
    if view.status is ExportStatus.ERROR or view.reason is Reason.PARTNER_SILENT:
        return Level.BROKEN
    return Level.HEALTHY if view.status in {ExportStatus.FINAL, ExportStatus.STEADY} else Level.ATTENTION


def _export_foot(view: ExportView) -> str:
    if view.pieces:
        brought, whole = view.pieces
        return f"the next package goes in pieces: {show_bytes(brought)} of {show_bytes(whole)} are there"
    return f"lag {show_age(view.lag_s)}" if view.lag_s else "no lag"


def words_of_stretch(stretch: Stretch) -> str:
    """What lies between two watermarks; empty if nothing does."""
    if stretch.is_empty:
        return ""
    words = [show_count(stretch.groups, "group")] if stretch.groups else []
    words += [show_bytes(stretch.package_bytes)] if stretch.package_bytes else []
    words += [show_age(stretch.age_s)] if stretch.age_s else []
    return ", ".join(words) or show_count(stretch.packages, "package")


def _inward(found: PairStatus, channel: ChannelStatus) -> Lane:
    """From `delivered` on: what the partner captured and packed before is its own to know, and stands on its own page."""
    view = channel.imports
    standing = f"+{view.standing}" if view.standing else f"{view.applied:,}"
    silent = is_silent(found) and found.service_works
    level = worst(_import_level(view), Level.ATTENTION if silent else Level.HEALTHY)
    return Lane(
        channel=channel.channel,
        sender=found.partner,
        receiver=found.pool,
        leaves=False,
        level=level,
        state=view.status,
        note=_import_note(view, found.partner) or (f"nothing arrives from {found.partner}" if silent else ""),
        stops=(
            Stop(name="delivered", value=standing),
            Stop(name="applied", value=f"{view.applied:,}"),
            Stop(name="acknowledged", value=f"{view.applied:,}"),
        ),
        gaps=(_standing(view), ""),
        foot=_import_foot(view, found.partner),
    )


def _standing(view: ImportView) -> str:
    return f"{show_count(view.standing, 'package')}, {show_bytes(view.standing_bytes)}" if view.standing else ""


def _import_note(view: ImportView, partner: str) -> str:
    if view.fault:
        return view.fault.detail
    if view.partner_sending:
        return f"{partner} says of its sending: {view.partner_sending.detail}"
    return ""


def _import_foot(view: ImportView, partner: str) -> str:
    if not view.expected:
        return f"{partner} serves nobody"
    if view.reach_age_s is None:
        return f"how far this copy reaches is not known; {partner} knows what it has captured and packed"
    return f"all that {partner} had accepted until {show_age(view.reach_age_s)} ago is here"


def _import_level(view: ImportView) -> Level:
    if view.status is ImportStatus.ERROR:
        return Level.BROKEN
    incomplete = not set(view.expected) <= set(view.complete)
    doubtful = view.status is ImportStatus.DEGRADED or incomplete or view.partner_sending is not None
    return Level.ATTENTION if doubtful else Level.HEALTHY


def homes(found: PairStatus) -> Iterator[tuple[HomeStatus, Level, str]]:
    """Who serves whom, how that stands, and in words."""
    for home in found.homes:
        mine = home.served_by == found.pool
        fault = home.stopped or home.fault
        if fault is not None:
            yield home, Level.BROKEN, f"{fault.code} {fault.detail}; {CATALOGUE[fault.code].hint}"
        elif home.plan:
            yield home, Level.ATTENTION, f"being moved ({home.plan.split(',')[0]})"
        elif mine and not home.takes_writes:
            yield home, Level.ATTENTION, "fenced: nobody may write"
        elif home.recovering:
            yield home, Level.ATTENTION, "what was written at both pools is being brought together"
        else:
            away = home.served_by != home.home
            yield home, Level.ATTENTION if away else Level.HEALTHY, "away from home" if away else "at home"
