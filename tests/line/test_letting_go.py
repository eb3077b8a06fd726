"""An application has rows in its memory: it lets go of a home before they are written; started anew, it is told everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.decisions import ORDER_LIES_S, chosen_entries, order_resolution
from poolpair.errors import Code, PoolpairError
from poolpair.hooks.memory import MemoryHooks
from poolpair.moves import HookStep, Move
from poolpair.serving.asks import attend
from poolpair.serving.gate import tend
from poolpair.serving.plan import give_up, order
from poolpair.serving.resolving import RESOLVE, ResolveOrder, refused_decisions
from poolpair.store.values import Choice
from tests.home_moves import COSETTE, VALJEAN, make_pair, send, take_in, take_over, value, write
from tests.memory_pair import USERS, MemoryPair

GATE = {HookStep.GATE_OPEN: ("open",), HookStep.GATE_CLOSE: ("close",)}


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """A died with writes of its own, B took over and wrote one of the groups; A is back. B has hooks of the gate."""
    made = make_pair(tmp_path)
    made.crash("a")
    write(made, "a", 1)
    write(made, "a", 1, COSETTE)
    take_over(made, "b")
    write(made, "b", 2)
    send(made, "b")
    made.sites["b"].hooks = MemoryHooks(dict(GATE))
    tend(made.sites["b"])
    made.start("a")
    take_in(made, "a")
    send(made, "a")
    return made


def hooks(pair: MemoryPair, pool: str = "b") -> MemoryHooks:
    """The hooks of a pool."""
    found = pair.sites[pool].hooks
    assert isinstance(found, MemoryHooks)
    return found


def ran(pair: MemoryPair, pool: str = "b") -> list[str]:
    """Which hooks ran for the users of a since it was asked last."""
    found = [step.value for step, words in hooks(pair, pool).ran if words["POOLPAIR_HOME"] == "a"]
    hooks(pair, pool).ran.clear()
    return found


def test_what_a_returned_pool_brings_waits_until_the_application_let_go(pair: MemoryPair) -> None:
    """Merged beside a running application, it would be overwritten from its memory. It is closed once for all that stands."""
    assert ran(pair) == ["gate-open"]
    take_in(pair, "b")
    assert value(pair, "b", COSETTE) is None
    hooks(pair).failing = 1
    tend(pair.sites["b"])
    take_in(pair, "b")
    assert (ran(pair), value(pair, "b", COSETTE)) == (["gate-close"], None)
    pair.clock.advance(60)
    tend(pair.sites["b"])
    assert ran(pair) == ["gate-close"]
    take_in(pair, "b")
    assert value(pair, "b", COSETTE) == 1
    tend(pair.sites["b"])
    assert ran(pair) == []
    take_in(pair, "b")
    tend(pair.sites["b"])
    assert ran(pair) == ["gate-open"]


def merged(pair: MemoryPair) -> MemoryPair:
    """Everything is handed in, and one entry waits for a decision."""
    for _ in range(10):
        pair.turn(force=True)
        tend(pair.sites["b"])
    pair.settle()
    tend(pair.sites["b"])
    assert ran(pair)[-1] == "gate-open"
    return pair


def test_a_decision_that_replaces_rows_waits_until_the_application_let_go(pair: MemoryPair) -> None:
    """The service carries it out, and tells how it ended."""
    site = merged(pair).sites["b"]
    (name,) = order_resolution(site, chosen_entries(site, None, Choice.THEIRS), Choice.THEIRS)
    assert not attend(site)
    assert value(pair, "b", VALJEAN) == 2
    tend(site)
    assert ran(pair) == ["gate-close"]
    assert attend(site)
    assert value(pair, "b", VALJEAN) == 1
    found = site.store.read(ResolveOrder, name)
    assert found is not None
    assert (found.is_over, found.done, found.fault) == (True, 1, None)
    assert not attend(site)
    tend(site)
    assert ran(pair) == ["gate-open"]


def test_a_decision_that_cannot_be_carried_out_says_so(pair: MemoryPair) -> None:
    """The group was written again since. Given once more after it was decided, an order does nothing."""
    site = merged(pair).sites["b"]
    write(pair, "b", 3)
    mine = chosen_entries(site, None, Choice.THEIRS)
    orders = [order_resolution(site, mine, Choice.THEIRS, force=force)[0] for force in (False, True)]
    attend(site)
    tend(site)
    attend(site)
    found = site.store.read_all(ResolveOrder, RESOLVE)
    faults = [found[name].fault for name in orders]
    assert [fault and fault.code for fault in faults] in ([Code.LEDGER_MOVED, None], [None, None])
    assert value(pair, "b", VALJEAN) == 1


def test_a_refused_decision_is_told_until_it_is_ordered_anew(pair: MemoryPair) -> None:
    """Why, for the page and the API: whoever ordered it there does not wait for the end."""
    site = merged(pair).sites["b"]
    write(pair, "b", 3)
    (entry,) = chosen_entries(site, None, Choice.THEIRS)
    order_resolution(site, [entry], Choice.THEIRS)
    assert refused_decisions(site) == ()
    attend(site)
    tend(site)
    attend(site)
    (refused,) = refused_decisions(site)
    assert (refused.entry_id, refused.fault.code) == (entry.entry_id, Code.LEDGER_MOVED)
    pair.clock.advance(1)
    order_resolution(site, [entry], Choice.THEIRS, force=True)
    assert refused_decisions(site) == ()


def test_an_order_whose_command_was_killed_goes_with_a_later_one(pair: MemoryPair) -> None:
    """Nobody read how it ended; after an hour nobody will."""
    site = merged(pair).sites["b"]
    mine = chosen_entries(site, None, Choice.THEIRS)
    for _ in range(2):
        order_resolution(site, mine, Choice.THEIRS)
        tend(site)
        attend(site)
        tend(site)
        pair.clock.advance(ORDER_LIES_S / 2 + 1)
    assert len(site.store.read_all(ResolveOrder, RESOLVE)) == 2
    order_resolution(site, mine, Choice.THEIRS)
    assert len(site.store.read_all(ResolveOrder, RESOLVE)) == 2


def test_without_a_service_no_decision_replaces_rows(pair: MemoryPair) -> None:
    """Nobody would close the application."""
    site = merged(pair).sites["b"]
    mine = chosen_entries(site, None, Choice.THEIRS)
    site.store.release_lease()
    with pytest.raises(PoolpairError, match="the application must let go") as caught:
        order_resolution(site, mine, Choice.THEIRS)
    assert caught.value.code is Code.SERVICE_DOWN


def test_without_hooks_of_the_gate_nothing_waits(pair: MemoryPair) -> None:
    """There is nobody to be asked."""
    pair.sites["b"].hooks = MemoryHooks({HookStep.GATE_CLOSE: ("close",)})
    take_in(pair, "b")
    assert value(pair, "b", COSETTE) == 1


def test_an_application_that_was_started_anew_is_told_everything(pair: MemoryPair) -> None:
    """It knows nothing of what the hooks told it before; a hook that failed does not wait for its next try."""
    site = merged(pair).sites["b"]
    tend(site)
    assert ran(pair) == []
    hooks(pair).starts += 1
    hooks(pair).failing = 1
    tend(site)
    assert ran(pair) == ["gate-open"]
    tend(site)
    assert ran(pair) == []
    hooks(pair).starts += 1
    tend(site)
    assert ran(pair) == ["gate-open"]


def test_a_plan_that_is_given_up_opens_what_its_own_hook_closed(tmp_path: Path) -> None:
    """The fence was never closed, so that nothing else would tell the application."""
    pair = make_pair(tmp_path)
    site = pair.sites["a"]
    site.hooks = MemoryHooks({**GATE, HookStep.BEFORE_FENCE: ("drain",)})
    tend(site)
    assert ran(pair, "a") == ["gate-open"]
    order(site, Move.HANDOVER, "a")
    for _ in range(20):
        if HookStep.BEFORE_FENCE in [step for step, _ in hooks(pair, "a").ran]:
            break
        hooks(pair, "a").failing = 1
        attend(site)
        pair.settle()
    give_up(site, "a")
    attend(site)
    tend(site)
    assert ran(pair, "a") == ["before-fence", "gate-open"]
    assert USERS in site.channels
