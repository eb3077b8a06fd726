"""Caps by day and time of day, on the clock of a place."""

from __future__ import annotations

import pytest

from poolpair.bandwidth import Bandwidth, parse_rules, parse_zone, show_rules
from poolpair.model import Channel

USERS = Channel.USERS
# 2026-03-02 is a Monday; Paris is an hour ahead of UTC until 2026-03-29, then two.
OFFICE = ["500", "100 mon-fri 08:00-18:00", "unlimited sat,sun"]
NIGHT = ["200", "unlimited fri 22:00-06:00"]


def kbit(rules: object, now_utc: str, zone: str = "Europe/Paris") -> float | None:
    """The cap at that moment."""
    found = Bandwidth(parse_zone(zone), {USERS: parse_rules(rules)}).bytes_per_s(USERS, now_utc)
    return None if found is None else found / 125


@pytest.mark.parametrize(
    ("rules", "now_utc", "expected"),
    [
        (2000, "2026-03-02T03:00:00+00:00", 2000),
        (OFFICE, "2026-03-02T06:59:59+00:00", 500),
        (OFFICE, "2026-03-02T07:00:00+00:00", 100),
        (OFFICE, "2026-03-02T16:59:00+00:00", 100),
        (OFFICE, "2026-03-02T17:00:00+00:00", 500),
        (OFFICE, "2026-03-07T10:00:00+00:00", None),
        (OFFICE, "2026-03-06T23:30:00+00:00", None),
        (OFFICE, "2026-03-30T06:00:00+00:00", 100),
        (NIGHT, "2026-03-06T20:59:00+00:00", 200),
        (NIGHT, "2026-03-06T21:00:00+00:00", None),
        (NIGHT, "2026-03-07T04:59:00+00:00", None),
        (NIGHT, "2026-03-07T05:00:00+00:00", 200),
        (NIGHT, "2026-03-07T21:30:00+00:00", 200),
        (["unlimited", "64 fri-mon"], "2026-03-01T12:00:00+00:00", 64),
        (["unlimited", "64 fri-mon"], "2026-03-03T12:00:00+00:00", None),
        (["100 08:00-18:00"], "2026-03-02T20:00:00+00:00", None),
    ],
)
def test_the_last_rule_that_counts_is_taken(rules: object, now_utc: str, expected: float | None) -> None:
    """By the wall clock there, summer time included; a night belongs to the day on which it begins; without a rule there is no cap."""
    assert kbit(rules, now_utc) == expected


def test_a_channel_without_rules_has_no_cap() -> None:
    """Nobody asked for one."""
    assert Bandwidth().bytes_per_s(USERS, "2026-03-02T03:00:00+00:00") is None


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        True,
        1.5,
        "500",
        [],
        [500],
        ["fast"],
        ["0"],
        ["500 monday"],
        ["500 mon-"],
        ["500 8:00-9:00"],
        ["500 25:00-26:00"],
        ["500 08:60-09:00"],
        ["500 08:00-08:00"],
        ["500 mon 08:00"],
        ["99999999999"],
        ["500  mon"],
    ],
)
def test_what_is_no_cap_says_what_was_expected(value: object) -> None:
    """A pool file with one of these is not taken."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_rules(value)
    assert len(str(caught.value)) > 10


@pytest.mark.parametrize("value", [1, "", "Middle-earth/Shire", "../../etc/passwd", "/etc/localtime", "a\0b"])
def test_a_zone_must_be_known(value: object) -> None:
    """By the database of time zones, and never as a path."""
    with pytest.raises(ValueError, match="zone"):
        parse_zone(value)


def test_rules_are_shown_as_they_are_understood() -> None:
    """For `config show`."""
    assert show_rules(parse_rules(OFFICE)) == ('["500", "100 mon,tue,wed,thu,fri 08:00-18:00", "unlimited sat,sun"]')
    assert show_rules(()) == '["unlimited"]'
