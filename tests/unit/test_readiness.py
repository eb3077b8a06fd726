"""Whether a site could take over, and what it would cost: never claimed beyond what was heard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolpair.errors import Code
from poolpair.model import Channel, ExportStatus, Fault, ImportStatus
from poolpair.moves import DrillResult
from poolpair.outlook import Between, Level, Stretch, Takeover
from poolpair.overview import cards, headline
from poolpair.readiness import takeovers
from poolpair.status import ChannelStatus, ExportView, HomeStatus, ImportView, PairStatus, Reason
from tests.unit.test_status_text import EXPORT, FAULT, IMPORT

SENT = replace(EXPORT, partner_complete=("a",))
GOT = replace(IMPORT, reach_age_s=0.4)
HOMES = tuple(
    HomeStatus(home=home, served_by=home, epoch=0, takes_writes=home == "a", plan="", recovering=False, stopped=None)
    for home in ("a", "b")
)


def status(
    *, export: ExportView = SENT, imports: ImportView = GOT, homes: tuple[HomeStatus, ...] = HOMES
) -> PairStatus:
    """A pair in which all is well, but for what is said."""
    found = PairStatus(
        pool="a",
        partner="b",
        at_utc="2026-01-01T00:00:00.000+00:00",
        service_running=True,
        front_end="fe",
        homes_served=("a",),
        word_age_s=0.5,
        homes=homes,
        channels=(ChannelStatus(channel=Channel.USERS, module="m", export=export, imports=imports),),
    )
    return replace(found, takeovers=takeovers(found))


def of(found: PairStatus, home: str) -> Takeover:
    """What is said of one home."""
    return next(each for each in takeovers(found) if each.home == home)


def test_both_could_and_nothing_would_be_missing() -> None:
    """At rest: the partner has all of ours, and how far its own copy here reaches is told."""
    found = status()
    ours, theirs = takeovers(found)
    assert (ours.level, ours.by, ours.groups, ours.cost_s, ours.why) == (Level.HEALTHY, "b", 0, 0.0, ())
    assert (theirs.level, theirs.by, theirs.groups, theirs.cost_s) == (Level.HEALTHY, "a", None, 0.4)
    assert headline(found) == "Both sites could take over."
    assert [card.cost for card in cards(found)] == [
        "nothing would be missing",
        "would be missing: what b accepted in the last 0.4 s",
    ]


BAD = Fault(code=Code.SHARE_FULL, detail="no space is left")
BREAKS: dict[str, tuple[dict[str, object], str]] = {
    "silent": ({"status": ExportStatus.NON_STEADY, "reason": Reason.PARTNER_SILENT}, "b was not heard"),
    "error": ({"status": ExportStatus.ERROR, "fault": BAD}, "P213: no space is left"),
    "first copy": ({"status": ExportStatus.NOT_INITIALIZED}, "the first copy is not finished"),
    "incomplete": ({"partner_complete": ()}, "the copy at b is not complete"),
    "cannot apply": ({"partner_import": ImportStatus.ERROR, "partner_fault": BAD}, "b cannot apply, P213"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_partner_could_not_or_that_is_not_known(name: str) -> None:
    """Whatever keeps the copy over there from being served as it should be is said first, and is no less than broken."""
    change, words = BREAKS[name]
    found = of(status(export=replace(SENT, **change)), "a")  # type: ignore[arg-type]
    assert found.level is Level.BROKEN
    assert words in found.why[0]


SEEN_TO: dict[str, tuple[dict[str, object], str]] = {
    "backlog": ({"status": ExportStatus.NON_STEADY, "reason": Reason.BACKLOG}, "two intervals"),
    "parked": ({"partner_parked": 2}, "2 groups parked at b"),
    "held": ({"partner_held": 1}, "1 package held at b"),
    "paused": ({"status": ExportStatus.NON_STEADY, "reason": Reason.PAUSED}, "held back by hand"),
    "left behind": ({"left_behind": ("x",)}, "1 conference cannot be carried"),
}


@pytest.mark.parametrize("name", SEEN_TO)
def test_the_partner_could_but_something_is_to_be_seen_to(name: str) -> None:
    """Neither healthy nor broken."""
    change, words = SEEN_TO[name]
    found = of(status(export=replace(SENT, **change)), "a")  # type: ignore[arg-type]
    assert found.level is Level.ATTENTION
    assert words in found.why[0]


def test_what_is_not_acknowledged_is_what_would_be_missing() -> None:
    """Whatever lies between any two watermarks counts, and the age of the oldest."""
    between = Between(to_pack=Stretch(groups=2, age_s=1.0), to_apply=Stretch(groups=3, packages=1, package_bytes=2048))
    view = replace(SENT, status=ExportStatus.STEADY, lag_s=4.0, in_flight=1, in_flight_bytes=2048, between=between)
    found = of(status(export=view), "a")
    assert (found.level, found.groups, found.cost_s, found.package_bytes) == (Level.HEALTHY, 5, 4.0, 2048)
    card = cards(status(export=view))[0]
    assert card.cost == "would be missing: 5 changed groups of the last 4 s, 2,048 bytes of it under way"


def test_nothing_is_promised_that_is_not_final() -> None:
    """Rows that belong to nobody, say, are in no package: that nothing would be missing is said of FinalState alone."""
    found = status(export=replace(SENT, status=ExportStatus.STEADY))
    assert cards(found)[0].cost == "nothing is known that would be missing"


def test_of_a_copy_that_could_not_take_over_nothing_is_hoped() -> None:
    """That nothing is known that would be missing reads as if nothing were: below a red card the cost is not known."""
    found = status(export=replace(SENT, status=ExportStatus.STEADY, partner_complete=()))
    assert [cards(found)[0].level, cards(found)[0].cost] == [Level.BROKEN, "what would be missing is not known"]


def test_a_silent_partner_can_still_be_taken_over_and_the_price_grows() -> None:
    """Its copy here is as good as it was; how old it is, is said. Nobody claims that nothing would be missing over there."""
    silent = replace(SENT, status=ExportStatus.NON_STEADY, reason=Reason.PARTNER_SILENT)
    found = status(export=silent, imports=replace(GOT, reach_age_s=240.0))
    assert of(found, "b").level is Level.ATTENTION
    assert of(found, "b").cost_s == 240.0
    assert headline(found) == "b is not heard. a could take over from it."
    assert [card.takes_over for card in cards(found)] == ["", "b"]
    assert "nothing would be missing" not in {card.cost for card in cards(found)}


def test_a_copy_here_that_is_not_whole_is_no_copy() -> None:
    """Incomplete, never applied, in error: broken, and the unknown cost is said to be unknown."""
    for change in ({"complete": (), "reach_age_s": None}, {"applied": 0}, {"fault": FAULT}):
        found = of(status(imports=replace(GOT, **change)), "b")
        assert found.level is Level.BROKEN, change
    card = cards(status(imports=replace(GOT, complete=(), reach_age_s=None)))[1]
    assert card.cost == "what would be missing is not known"


def test_services_applications_fence_and_drills_count() -> None:
    """Each on the side that it is about."""
    found = status()
    down = replace(found, service_running=False)
    assert {each.level for each in takeovers(down)} == {Level.BROKEN}
    assert of(replace(found, application=FAULT), "b").level is Level.BROKEN
    assert of(replace(found, application=FAULT), "a").level is Level.HEALTHY
    assert of(replace(found, partner_application=FAULT), "a").level is Level.BROKEN
    assert of(replace(found, fence_off="why"), "b").level is Level.ATTENTION
    assert of(replace(found, share=FAULT), "b").level is Level.BROKEN
    failed = DrillResult(home="b", at_utc="", failure="P313: no")
    assert of(replace(found, drills=(failed,)), "b").level is Level.ATTENTION


def test_a_pool_that_serves_nobody_needs_nobody_to_take_over() -> None:
    """After a failover one question is left, and it is about both homes."""
    homes = tuple(replace(home, served_by="a", epoch=home.epoch + (home.home == "b")) for home in HOMES)
    found = status(export=replace(SENT, partner_complete=("a", "b")), homes=homes)
    assert {each.by for each in found.takeovers} == {"b"}
    assert headline(found) == "b could take over from a."
