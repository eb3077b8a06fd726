"""Looked at from another machine, or behind another boot id: a service's times are read by its clock, and mean the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.alongside import write_pulse
from poolpair.asks import ASK_LIES_S, AskAnswer, AskMade, AskVerb, made_name
from poolpair.model import ExportStatus
from poolpair.pipeline.site import Site, Volatile
from poolpair.report import gather
from poolpair.serving.asks import attend, make_ask
from poolpair.status import SILENT_AFTER_S, PairStatus, Reason
from poolpair.store.memory.store import MemoryStore
from poolpair.testing.clock import VirtualClock
from tests.memory_pair import LIMITS, MemoryPair

AHEAD_S = 5000.0
"""By how much longer the other machine is up."""


class OtherMachine:
    """Implements `clock.Clock`: a machine that was started earlier, and whose date is the same."""

    def __init__(self, there: VirtualClock) -> None:
        self._there = there

    def monotonic_s(self) -> float:
        """Seconds since its start."""
        return self._there.monotonic_s() + AHEAD_S

    def utc_iso(self) -> str:
        """The same date."""
        return self._there.utc_iso()

    def boot_id(self) -> str:
        """Its own boot."""
        return "elsewhere"


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools at rest."""
    made = MemoryPair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    return made


def elsewhere(pair: MemoryPair, pool: str) -> Site:
    """What a command on another machine of the pool has: the store, and nothing of the service's memory."""
    clock = OtherMachine(pair.clock)
    there = pair.sites[pool]
    return replace(there, store=MemoryStore(pair.disks[pool], clock), clock=clock, memory=Volatile())


def seen(pair: MemoryPair, pool: str) -> tuple[PairStatus, PairStatus]:
    """The status of a pool beside its service, and from elsewhere."""
    return gather(pair.sites[pool]), gather(elsewhere(pair, pool))


def test_the_status_is_the_same_on_every_machine(pair: MemoryPair) -> None:
    """At rest, and when the partner is silent; ages are at most a heartbeat older there, and never younger."""
    here, there = seen(pair, "a")
    assert there.channels[0].export.status is here.channels[0].export.status is ExportStatus.FINAL
    assert there.channels[0].imports.reach_age_s is not None
    _must_be_older(here.word_age_s, there.word_age_s)
    pair.crash("b")
    pair.disks["a"].write("account", ("a.example", "ann"), [("a.example", "ann", "new")])
    pair.turn()
    pair.clock.advance(SILENT_AFTER_S)
    write_pulse(pair.sites["a"])  # as a service that lives does with each heartbeat
    here, there = seen(pair, "a")
    assert there.channels[0].export.status is here.channels[0].export.status is ExportStatus.NON_STEADY
    assert there.channels[0].export.reason is here.channels[0].export.reason is Reason.PARTNER_SILENT
    _must_be_older(here.channels[0].export.lag_s, there.channels[0].export.lag_s)


def _must_be_older(here_s: float | None, there_s: float | None) -> None:
    assert here_s is not None
    assert there_s is not None
    assert here_s <= there_s <= here_s + LIMITS.heartbeat_s


def test_without_a_living_service_no_clock_is_trusted(pair: MemoryPair) -> None:
    """Nothing would keep its pulse young: how old the word is, nobody on another machine can say."""
    looks = elsewhere(pair, "a")
    pair.crash("a")
    found = gather(looks)
    assert not found.service_running
    assert found.word_age_s is None


def test_an_ask_made_on_another_machine_stands_as_long_as_any(pair: MemoryPair) -> None:
    """The service there does not take it for one of an earlier boot; and one that nobody answers is withdrawn by the date."""
    pair.crash("a")
    make_ask(elsewhere(pair, "b"), AskVerb.HANDOVER, "a")
    attend(pair.sites["b"])
    assert _asked(pair).ask.answer is None
    pair.clock.advance(ASK_LIES_S - 1)
    attend(pair.sites["b"])
    assert _asked(pair).ask.answer is None
    pair.clock.advance(2)
    attend(pair.sites["b"])
    assert _asked(pair).ask.answer == AskAnswer.WITHDRAWN


def _asked(pair: MemoryPair) -> AskMade:
    made = pair.sites["b"].store.read(AskMade, made_name("a"))
    assert made is not None
    return made
