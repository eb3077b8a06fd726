"""A takeover applies everything that stands: it waits for passes that get on or fail for a moment, and for nothing without end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.cycle import run_pass
from poolpair.errors import Code, PoolpairError
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.serving.applying import PATIENCE_S
from poolpair.serving.plan import advance, give_up, order
from poolpair.serving.price import paid
from poolpair.store.values import Choice
from tests.home_moves import COSETTE, VALJEAN, make_pair, send, take_in, takes_writes, value, write
from tests.memory_pair import USERS, MemoryPair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    return make_pair(tmp_path)


def _is_away(_operation: str, _folder: str) -> None:
    raise PoolpairError(Code.SHARE_FAILED, "input/output error")


def _opens_nothing(operation: str, _folder: str) -> None:
    if operation == "open":
        raise PoolpairError(Code.SHARE_FAILED, "input/output error")


def take(pair: MemoryPair, *, fails: int = 0, how: Callable[[str, str], None] = _is_away) -> list[str]:
    """B is told to take over, and looks once a second until it has; at first its own share fails. Gives what it says."""
    b, said = pair.sites["b"], list[str]()
    order(b, Move.TAKEOVER, "a")
    for number in range(200):
        pair.shares["b"].before = how if number < fails else lambda _operation, _folder: None
        pair.clock.advance(1)
        run_pass(b, USERS)
        advance(b, said.append)
        if plan_of(pair).step is PlanStep.DONE:
            return said
    raise AssertionError(f"it stands at {plan_of(pair)}")


def plan_of(pair: MemoryPair) -> Plan:
    """What b was told to do."""
    plan = pair.sites["b"].store.read(Plan, plan_name("a"))
    assert plan is not None
    return plan


@pytest.mark.parametrize("how", [_is_away, _opens_nothing])
def test_a_share_that_fails_for_a_moment_costs_nothing(pair: MemoryPair, how: Callable[[str, str], None]) -> None:
    """The first two looks after the order cannot read it: what stands is applied by the third."""
    write(pair, "a", "stands")
    send(pair, "a")
    pair.crash("a")
    take(pair, fails=2, how=how)
    assert value(pair, "b") == "stands"
    assert "b" in takes_writes(pair)
    assert pair.sites["b"].store.ledger() == ()


def test_more_than_a_pass_takes_is_taken(pair: MemoryPair) -> None:
    """Forty packages stand, and a pass applies sixteen: none of them is left to the ledger."""
    a = pair.sites["a"]
    a.limits = replace(a.limits, window=100)
    for number in range(40):
        write(pair, "a", number, COSETTE if number % 2 else VALJEAN)
        send(pair, "a")
    assert len(pair.packages("b")) == 40
    pair.crash("a")
    assert take(pair) == []
    assert (value(pair, "b", VALJEAN), value(pair, "b", COSETTE)) == (38, 39)
    assert pair.sites["b"].store.ledger() == ()
    assert pair.packages("b") == []


def test_a_share_that_is_gone_keeps_nobody_from_serving(pair: MemoryPair) -> None:
    """After half a minute in which nothing more was applied the users are served; that is said, and listed when the share is back."""
    write(pair, "a", "stands")
    send(pair, "a")
    pair.crash("a")
    began_s = pair.clock.monotonic_s()
    (said,) = take(pair, fails=200)
    assert PATIENCE_S <= pair.clock.monotonic_s() - began_s <= PATIENCE_S + 10
    assert said.endswith("goes on without what stands and could not be read: users: P216: input/output error")
    assert "b" in takes_writes(pair)
    b = pair.sites["b"]
    assert "what stood and could not be read is not in it: users: P216: input/output error" in list(paid(b, "a"))
    assert b.memory.applying == {}
    pair.shares["b"].before = lambda _operation, _folder: None
    take_in(pair, "b")
    assert [entry.state for entry in b.store.ledger()] == [Choice.STANDING]


def test_one_that_waits_may_be_given_up(pair: MemoryPair) -> None:
    """Then nothing is waited for any more, and the service may rest."""
    b = pair.sites["b"]
    order(b, Move.TAKEOVER, "a")
    pair.shares["b"].before = _is_away
    run_pass(b, USERS)
    assert not advance(b)
    assert plan_of(pair).waits_for == "users: P216: input/output error"
    assert b.memory.applying
    give_up(b, "a")
    assert not advance(b)
    assert b.memory.applying == {}
    assert takes_writes(pair) == ("a",)
