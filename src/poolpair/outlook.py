"""What a disaster right now would mean, per home: who could take over, how well, and what would be missing. Values only.

`readiness` decides; `status --json`, the page, `status --watch` and the metrics show the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How something stands, in the three words that every face of poolpair shows by a sign, a colour and a text."""

    HEALTHY = "healthy"
    ATTENTION = "attention"
    BROKEN = "broken"


def worst(*levels: Level) -> Level:
    """The worst of these; healthy if there is none."""
    order = list(Level)
    return max(levels, key=order.index, default=Level.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What lies between two watermarks of a channel that is sent. All zero: nothing."""

    groups: int = 0
    """Changed groups, files among them."""
    packages: int = 0
    package_bytes: int = 0
    age_s: float = 0.0
    """Of the oldest of it, by this machine's clock; 0 if that is not known."""

    @property
    def is_empty(self) -> bool:
        """Nothing is under way here."""
        return not (self.groups or self.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """What lies between the five watermarks, from the newest to the oldest."""

    to_pack: Stretch = field(default_factory=Stretch)
    to_deliver: Stretch = field(default_factory=Stretch)
    to_apply: Stretch = field(default_factory=Stretch)
    """Delivered, and not known to be applied."""
    to_acknowledge: Stretch = field(default_factory=Stretch)
    """Applied by the partner's word, which was not taken in yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What would be if the pool that serves a home died now, as far as this pool knows."""

    home: str
    served_by: str
    by: str
    """The pool that would take over."""
    level: Level
    """Healthy: it could. Attention: it could, but something should be seen to. Broken: it could not, or that is not known."""
    cost_s: float | None = None
    """Whatever was accepted more than so long ago is there; None: not known."""
    groups: int | None = None
    """Changed groups that would be missing; None: only the pool that serves knows."""
    package_bytes: int = 0
    """Of packages that are on their way."""
    why: tuple[str, ...] = ()
    """What keeps it from being healthy, the gravest first."""
