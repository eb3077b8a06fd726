"""What each pool says of itself in short, carried to every server: so any of them tells how the whole deployment stands, and since when.

A server says it with the answer to its replica, the store passes all of them on with the next one. Ages add up: what is measured on the way
is measured by one clock each. A word is for people; nothing is decided by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from poolpair.status import PairStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedHome:
    """Who serves the users of a pool."""

    home: str
    served_by: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolWord:
    """How a pool stands, by its own `status`."""

    pool: str
    partner: str
    exit_status: int
    front_end: str = ""
    """The one at work; empty if none is."""
    homes: tuple[ServedHome, ...] = ()
    states: tuple[str, ...] = ()
    """Of each channel: export and import."""
    lag_s: float = 0.0
    age_s: float = 0.0
    """How old it was when it was passed on."""


def word_of(found: PairStatus) -> PoolWord:
    """A status in short."""
    return PoolWord(
        pool=found.pool,
        partner=found.partner,
        exit_status=found.exit_status,
        front_end=found.front_end,
        homes=tuple(ServedHome(home=each.home, served_by=each.served_by, epoch=each.epoch) for each in found.homes),
        states=tuple(f"{each.channel} {each.export.status}/{each.imports.status}" for each in found.channels),
        lag_s=max((each.export.lag_s for each in found.channels), default=0.0),
    )
