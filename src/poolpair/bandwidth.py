"""How much a channel may send in a second, by the clock on the wall of a place: caps in kbit/s with days and times of day. Pure.

A cap is of packages; words, a few hundred bytes every few seconds, are not held back by it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from poolpair.model import Channel

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UNLIMITED = "unlimited"
KBIT_MAX = 10**9
BYTES_PER_KBIT = 125
_DAY_MINUTES = 24 * 60
_RULE = re.compile(r"(unlimited|[0-9]{1,30})(?: ([a-z,-]+))?(?: ([0-9]{2}:[0-9]{2})-([0-9]{2}:[0-9]{2}))?")
EXPECTED = 'expected a number of kbit/s without quotes, or rules in quotes: ["500", "100 mon-fri 08:00-18:00", "unlimited sat,sun"]'


@dataclass(frozen=True, slots=True)
class Rule:
    """One cap and when it counts; `kbit` None: none. Times are minutes of the day; one that ends before it begins goes past midnight."""

    kbit: int | None
    days: frozenset[int] = frozenset(range(7))
    begins: int = 0
    ends: int = _DAY_MINUTES

    def counts(self, day: int, minute: int) -> bool:
        """Whether it does then; a night belongs to the day on which it begins."""
        if self.begins < self.ends:
            return day in self.days and self.begins <= minute < self.ends
        return (day in self.days and minute >= self.begins) or ((day - 1) % 7 in self.days and minute < self.ends)


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """The rules of each channel, of which the last that counts is taken, and the zone whose clock they mean."""

    zone: str = "UTC"
    rules: dict[Channel, tuple[Rule, ...]] = field(default_factory=dict)

    def bytes_per_s(self, channel: Channel, now_utc: str) -> float | None:
        """What the channel may send; None: as much as goes."""
        rules = self.rules.get(channel, ())
        if not rules:
            return None
        here = datetime.fromisoformat(now_utc).astimezone(ZoneInfo(self.zone))
        day, minute = here.weekday(), 60 * here.hour + here.minute
        kbit = next((rule.kbit for rule in reversed(rules) if rule.counts(day, minute)), None)
        return None if kbit is None else float(kbit * BYTES_PER_KBIT)


def parse_rules(value: object) -> tuple[Rule, ...]:
    """Read one channel's value. Raises ValueError with what was expected."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (_rule(str(value)),)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError(EXPECTED)
    return tuple(_rule(each) for each in value)


def _rule(text: str) -> Rule:
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no rule: a speed, then days such as mon-fri or sat,sun, then times such as 08:00-18:00"
        )
    speed, days, begins, ends = found.groups()
    kbit = None if speed == UNLIMITED else int(speed)
    if kbit is not None and not 1 <= kbit <= KBIT_MAX:
        raise ValueError(
            f"{text!r}: a cap lies between 1 and {KBIT_MAX} kbit/s; to send nothing there is `poolpair pause`"
        )
    rule = Rule(
        kbit, _days(days) if days else frozenset(range(7)), _minute(begins or "00:00"), _minute(ends or "24:00")
    )
    if rule.begins == rule.ends:
        raise ValueError(f"{text!r}: it begins when it ends")
    return rule


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (last if dash else first) not in DAYS:
            raise ValueError(f"{text!r} is no list of days, such as mon-fri or sat,sun")
        begins, ends = DAYS.index(first), DAYS.index(last or first)
        found |= {number % 7 for number in range(begins, ends + 1 + (7 if ends < begins else 0))}
    return frozenset(found)


def _minute(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if minutes > 59 or 60 * hours + minutes > _DAY_MINUTES:
        raise ValueError(f"{text!r} is no time of day")
    return 60 * hours + minutes


def parse_zone(value: object) -> str:
    """The name of a time zone that this machine knows. Raises ValueError."""
    if not isinstance(value, str) or not value:
        raise ValueError('expected the name of a time zone, such as "Europe/Paris"')
    try:
        return ZoneInfo(value).key
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"this machine knows no time zone {value!r}; names are such as Europe/Paris (package tzdata)"
        ) from None


def show_rules(rules: tuple[Rule, ...]) -> str:
    """As they stand in the pool file."""
    return json.dumps([_show(rule) for rule in rules] or [UNLIMITED])


def _show(rule: Rule) -> str:
    speed = UNLIMITED if rule.kbit is None else str(rule.kbit)
    days = "" if len(rule.days) == 7 else " " + ",".join(DAYS[number] for number in sorted(rule.days))
    always = (rule.begins, rule.ends) == (0, _DAY_MINUTES)
    return speed + days + ("" if always else f" {_clock(rule.begins)}-{_clock(rule.ends)}")


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
