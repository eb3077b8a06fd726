"""The last day of a pair in a few kilobytes: lag and traffic every five minutes, and who served whom since when.

The store is the application's database, so this is frugal: one small document an hour, used again after a day, written by
the running service each five minutes; a list of the newest moves of homes, written when one is seen. Both are for people: nothing
is decided by them, and what a killed service had not written yet is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from poolpair.model import Channel, Reign, serving_pool
from poolpair.pipeline.site import Site, serving_name
from poolpair.pulse import lag_s
from poolpair.reigns import birth
from poolpair.state import Serving

EVERY_S = 300
LOOK_S = 60.0
"""How often the lag is looked at; the worst of five minutes is kept."""
DAY_S = 86_400
HOURS = 25
MOVES_KEPT = 100
SAMPLES = "samples/"
MOVES = "moves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One channel in five minutes."""

    lag_s: float = 0.0
    """The worst that was seen."""
    sent_bytes: int = 0
    """Of packages that were delivered; and received ones that were applied."""
    received_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """All channels in the five minutes that begin at `at_s`, seconds since 1970."""

    at_s: int
    channels: dict[Channel, Sample] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """The moments of one hour."""

    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveSeen:
    """Who serves a home since when, as this pool noticed it."""

    home: str
    epoch: int
    served_by: str
    began: str
    """`birth`, `handover` or `takeover`."""
    reign_id: str
    at_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """The newest moves, the last one at the end."""

    seen: tuple[MoveSeen, ...] = ()


class Recorder:
    """What a running service notes down, called at each heartbeat."""

    def __init__(self) -> None:
        self._looked_s: float | None = None
        self._now: Moment | None = None
        self._counted: dict[Channel, tuple[int, int]] = {}

    def note(self, site: Site) -> None:
        """Look, and write what is due. Raises STORE_* and LEASE; what could not be written is not tried again."""
        note_moves(site)
        now_s = site.clock.monotonic_s()
        if self._looked_s is not None and now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        at_s = int(datetime.fromisoformat(site.clock.utc_iso()).timestamp()) // EVERY_S * EVERY_S
        before = self._now
        if before is not None and before.at_s != at_s:
            self._now = None
            self._write(site, self._counted_into(site, before))
        moment = self._now or Moment(at_s=at_s)
        self._now = replace(moment, channels={each: self._worse(site, each, moment) for each in site.channels})

    def _worse(self, site: Site, channel: Channel, moment: Moment) -> Sample:
        known = moment.channels.get(channel, Sample())
        return replace(known, lag_s=max(known.lag_s, round(lag_s(site, channel), 1)))

    def _counted_into(self, site: Site, moment: Moment) -> Moment:
        """With what went over the line since the last one."""
        channels: dict[Channel, Sample] = {}
        for channel, sample in moment.channels.items():
            sent, received = site.memory.traffic.sent_bytes[channel], site.memory.traffic.received_bytes[channel]
            sent_before, received_before = self._counted.get(channel, (0, 0))
            self._counted[channel] = (sent, received)
            channels[channel] = replace(
                sample, sent_bytes=sent - sent_before, received_bytes=received - received_before
            )
        return replace(moment, channels=channels)

    def _write(self, site: Site, moment: Moment) -> None:
        name = hour_name(moment.at_s)
        with site.store.transaction(lazily=True) as tx:
            known = tx.load(Hour, name) or Hour()
            fresh = [each for each in known.moments if 0 <= moment.at_s - each.at_s < 3600 and each.at_s != moment.at_s]
            tx.save(name, Hour(moments=(*fresh, moment)))


def hour_name(at_s: int) -> str:
    """The document of an hour; one more than a day has, so that the oldest is whole until it is used again."""
    return f"{SAMPLES}{at_s // 3600 % HOURS:02d}"


def last_day(site: Site) -> tuple[Moment, ...]:
    """What was noted in the last 24 hours, in order of time."""
    now_s = datetime.fromisoformat(site.clock.utc_iso()).timestamp()
    found = [each for hour in site.store.read_all(Hour, SAMPLES).values() for each in hour.moments]
    return tuple(sorted((each for each in found if 0 <= now_s - each.at_s <= DAY_S), key=lambda each: each.at_s))


def moves(site: Site) -> tuple[MoveSeen, ...]:
    """Who served whom, the last change first."""
    known = site.store.read(Moves, MOVES) or Moves()
    return tuple(reversed(known.seen))


def note_moves(site: Site) -> None:
    """Note the reigns that were not seen before."""
    known = site.store.read(Moves, MOVES) or Moves()
    present = [(site.store.read(Serving, serving_name(home)) or birth(home)).present for home in site.homes]
    fresh = _unseen(site, known.seen, present)
    if not fresh:
        return
    with site.store.transaction(lazily=True) as tx:
        known = tx.load(Moves, MOVES) or Moves()
        seen = {(each.home, each.reign_id) for each in known.seen}
        added = tuple(each for each in fresh if (each.home, each.reign_id) not in seen)
        tx.save(MOVES, Moves(seen=(*known.seen, *added)[-MOVES_KEPT:]))


def _unseen(site: Site, seen: Iterable[MoveSeen], present: list[Reign]) -> list[MoveSeen]:
    last = {each.home: each.reign_id for each in seen}
    pools, now = (site.pool, site.partner), datetime.fromisoformat(site.clock.utc_iso()).astimezone(UTC)
    return [
        MoveSeen(
            home=reign.home,
            epoch=reign.epoch,
            served_by=serving_pool(reign, pools),
            began=reign.began,
            reign_id=reign.reign_id,
            at_utc=now.isoformat(timespec="seconds"),
        )
        for reign in present
        if last.get(reign.home) != reign.reign_id
    ]
