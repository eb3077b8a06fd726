"""The gate on the memory pair: nobody writes at a pool that cannot know whether its partner took over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.decisions import take_fence_away
from poolpair.errors import Code, PoolpairError
from poolpair.hooks.memory import MemoryHooks
from poolpair.moves import GATE_WORD, GateRules, GateWhy, GateWord, HookStep, Move
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.serving.gate import RETRY_S, begin, close_by_hand, open_by_hand, tend, wanted
from poolpair.serving.plan import advance, give_up, order
from poolpair.store.memory.disk import RowRefused
from tests.memory_pair import MemoryPair

HOOKS = {HookStep.GATE_OPEN: ("open",), HookStep.GATE_CLOSE: ("close",)}
START = GateRules(at_start=True)
SILENT = GateRules(self_fence_after_s=60.0)


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    made = MemoryPair(tmp_path)
    for pool, other in (("a", "b"), ("b", "a")):
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool)
    made.settle()
    return made


def restart(pair: MemoryPair, pool: str, rules: GateRules, *, away_s: float = 600.0) -> Site:
    """The service dies, and another begins with these rules after a while; hooks of the gate are set."""
    pair.crash(pool)
    pair.clock.advance(away_s)
    site = pair.start(pool)
    site.gate, site.hooks = rules, MemoryHooks(dict(HOOKS))
    begin(site)
    return site


def writes(pair: MemoryPair, pool: str, home: str = "a") -> str:
    """What the application is told: nothing, or why it is refused."""
    try:
        with pair.disks[pool].transaction() as tx:
            tx.write("account", (f"{home}.example", "valjean"), [(f"{home}.example", "valjean", 1)])
    except RowRefused as refused:
        return str(refused)
    return ""


def look(pair: MemoryPair, seconds: float = 1.0) -> None:
    """Time passes, then every service takes a pass, its plans and its gate."""
    pair.clock.advance(seconds)
    pair.turn(force=True)
    for site in pair.sites.values():
        advance(site)
        tend(site)


def ran(site: Site) -> list[str]:
    """Gate hooks, and for which home."""
    assert isinstance(site.hooks, MemoryHooks)
    return [f"{step} {words['POOLPAIR_HOME']}" for step, words in site.hooks.ran]


CASES: dict[str, tuple[GateRules, GateWhy | None, bool, bool, float | None, float, bool, GateWhy | None]] = {
    "at the start": (START, None, True, False, None, 0, True, GateWhy.START),
    "a fresh word": (START, GateWhy.START, True, False, 1.0, 5, True, None),
    "waits": (START, GateWhy.START, True, False, None, 119, True, GateWhy.START),
    "waited": (START, GateWhy.START, True, False, None, 120, True, None),
    "waited, but a word lies there": (START, GateWhy.START, True, False, None, 500, False, GateWhy.START),
    "waits for ever": (replace(START, wait_s=None), GateWhy.START, True, False, None, 1e6, True, GateWhy.START),
    "an operator's word": (replace(START, wait_s=None), GateWhy.START, True, True, None, 1, True, None),
    "by hand": (START, GateWhy.BY_HAND, False, False, None, 1, True, GateWhy.BY_HAND),
    "opened already": (START, None, False, False, None, 500, True, None),
    "quiet": (SILENT, None, False, False, 59.0, 500, True, None),
    "too quiet": (SILENT, None, False, False, 60.0, 500, True, GateWhy.SILENT),
    "quiet since the start": (SILENT, None, False, False, None, 60, True, GateWhy.SILENT),
    "quiet, said an operator": (SILENT, GateWhy.SILENT, False, True, 500.0, 600, True, None),
    "heard again": (SILENT, GateWhy.SILENT, False, False, 0.5, 900, True, None),
    "no time opens it": (replace(SILENT, at_start=True), GateWhy.START, True, False, None, 59, True, GateWhy.START),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_when_the_gate_is_closed(
    case: tuple[GateRules, GateWhy | None, bool, bool, float | None, float, bool, GateWhy | None],
) -> None:
    """One decision from the rules, its present state, an operator's word, and how old the partner's is."""
    rules, closed, unconfirmed, has_word, age_s, up_s, read_share, expected = case
    assert (
        wanted(
            rules,
            closed,
            unconfirmed=unconfirmed,
            has_word=has_word,
            word_age_s=age_s,
            up_s=up_s,
            read_share=read_share,
        )
        is expected
    )


def test_the_wait_begins_when_the_own_share_is_there(pair: MemoryPair) -> None:
    """The partner may have taken over and could not say so: it has as long as ever once the share is back."""

    def away(_operation: str, _folder: str) -> None:
        raise PoolpairError(Code.SHARE_MISSING, "it is not there")

    pair.crash("b")
    share = pair.shares["a"]
    before, share.before = share.before, away
    a = restart(pair, "a", START)
    assert "perhaps" in writes(pair, "a")
    look(pair, 1000.0)
    assert "perhaps" in writes(pair, "a")
    share.before = before
    look(pair, 100.0)
    assert "perhaps" in writes(pair, "a")
    look(pair, 30.0)
    assert (writes(pair, "a"), ran(a)[-1]) == ("", "gate-open a")


@pytest.mark.parametrize("away_s", [0.0, 600.0])
def test_a_returning_pool_learns_of_the_takeover_before_anybody_writes(pair: MemoryPair, away_s: float) -> None:
    """At no time between its start and its adoption does its database take a write; then it names the new server."""
    pair.crash("a")
    order(pair.sites["b"], Move.TAKEOVER, "a")
    for _ in range(5):
        look(pair)
    assert writes(pair, "b") == ""
    pair.clock.advance(away_s)
    a = pair.start("a")
    a.gate = START
    begin(a)
    assert writes(pair, "a") != ""
    assert ("(perhaps)" in writes(pair, "a")) is bool(away_s)
    for _ in range(20):
        look(pair, 5.0)
        assert writes(pair, "a") != ""
    assert gather(a).gate is None
    assert "b" in writes(pair, "a")
    assert "(perhaps)" not in writes(pair, "a")


def test_a_restart_opens_with_the_partners_first_word(pair: MemoryPair) -> None:
    """Hooks close the application, and open it for the home that is served here alone."""
    a = restart(pair, "a", START)
    assert writes(pair, "a") != ""
    status = gather(a)
    assert status.gate is not None
    assert (status.gate.code, status.homes[0].takes_writes) == (Code.GATE_CLOSED, False)
    for _ in range(4):
        look(pair, 5.0)
    assert writes(pair, "a") == ""
    assert gather(a).gate is None
    assert ran(a) == ["gate-close a", "gate-close b", "gate-open a"]


def test_a_quick_restart_closes_nothing(pair: MemoryPair) -> None:
    """The service before it had heard the partner a moment ago, in the same boot: nobody is kept from writing."""
    a = restart(pair, "a", START, away_s=2.0)
    assert writes(pair, "a") == ""
    assert ran(a) == ["gate-open a", "gate-close b"]


def test_with_a_dead_partner_it_waits_and_then_serves(pair: MemoryPair) -> None:
    """The wait of the pool file is bounded; without a bound an operator decides, and the partner's next word ends that."""
    pair.crash("b")
    a = restart(pair, "a", replace(START, wait_s=30.0))
    look(pair, 25.0)
    assert writes(pair, "a") != ""
    look(pair, 10.0)
    assert writes(pair, "a") == ""
    a = restart(pair, "a", replace(START, wait_s=None))
    look(pair, 1e5)
    assert writes(pair, "a") != ""
    open_by_hand(a, "b burnt down")
    assert writes(pair, "a") == ""
    look(pair)
    status = gather(a)
    assert (status.gate, status.gate_word) == (None, "b burnt down")
    pair.start("b")
    for _ in range(6):
        look(pair, 5.0)
    assert gather(a).gate_word == ""
    assert writes(pair, "a") == ""


def test_a_silent_line_fences_both_and_a_word_lifts_it(pair: MemoryPair) -> None:
    """Status says why; nothing but a fresh word is needed."""
    for site in pair.sites.values():
        site.gate = SILENT
    b = pair.sites.pop("b")
    look(pair, 55.0)
    assert writes(pair, "a") == ""
    look(pair, 10.0)
    assert "b (perhaps)" in writes(pair, "a")
    status = gather(pair.sites["a"])
    assert (status.exit_status, status.gate and status.gate.code) == (2, Code.SELF_FENCED)
    pair.sites["b"] = b
    for _ in range(6):
        look(pair, 5.0)
    assert writes(pair, "a") == ""
    assert gather(pair.sites["a"]).gate is None


def test_whoever_takes_over_is_not_fenced_by_the_silence(pair: MemoryPair) -> None:
    """The order to take over says that the partner is dead, for the pool's own users too; giving it up takes that back."""
    b = pair.sites["b"]
    b.gate = SILENT
    pair.crash("a")
    look(pair, 100.0)
    assert writes(pair, "b", "b") != ""
    b.hooks = MemoryHooks({HookStep.BEFORE_APPLY: ("x",)}, failing=1)
    order(b, Move.TAKEOVER, "a")
    look(pair)
    give_up(b, "a")
    assert b.store.read(GateWord, GATE_WORD) is None
    look(pair)
    assert writes(pair, "b", "b") != ""
    order(b, Move.TAKEOVER, "a")
    for _ in range(5):
        look(pair, 100.0)
    assert (writes(pair, "b", "a"), writes(pair, "b", "b")) == ("", "")


def test_a_gate_hook_that_fails_is_tried_again_and_said(pair: MemoryPair) -> None:
    """Nobody orders it, so nobody can order it again; the other hook does not wait for it."""
    a = pair.sites["a"]
    hooks = MemoryHooks(dict(HOOKS), failing=1)
    a.hooks = hooks
    tend(a)
    assert ran(a) == ["gate-open a", "gate-close b"]
    fault = gather(a).homes[0].fault
    assert fault is not None
    assert fault.code is Code.HOOK_FAILED
    look(pair)
    assert len(hooks.ran) == 2
    a.memory.echoed_s = None
    close_by_hand(a)
    tend(a)
    assert ran(a)[2:] == ["gate-close a"]
    hooks.failing = 1
    a.memory.echoed_s = a.clock.monotonic_s()
    look(pair)
    assert gather(a).homes[0].fault is not None
    look(pair, RETRY_S)
    assert ran(a)[3:] == ["gate-open a", "gate-open a"]
    assert gather(a).homes[0].fault is None


def test_a_pool_file_without_a_gate_opens_what_another_closed(pair: MemoryPair) -> None:
    """A closed gate does not outlive the setting that closed it."""
    close_by_hand(pair.sites["a"])
    assert writes(pair, "a") != ""
    pair.crash("a")
    begin(pair.start("a"))
    assert writes(pair, "a") == ""


def test_what_stands_open_without_a_reason_is_said_all_the_same(pair: MemoryPair) -> None:
    """An earlier release took an empty one: status is no greener for it."""
    site = pair.sites["a"]
    take_fence_away(site, "")
    open_by_hand(site, "")
    found = gather(site)
    assert found.fence_off == "no reason given"
    assert found.gate_word == "no reason given"
    assert found.exit_status == 2
