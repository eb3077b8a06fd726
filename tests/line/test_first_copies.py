"""A first copy deletes nothing of what stands at its target unless somebody says so; a copy that was whole once goes by the guard alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.cycle import run_pass
from poolpair.decisions import approve_held, refuse_held, resume_refused
from poolpair.pipeline.site import inbound_name
from poolpair.state import Held, Inbound
from tests.memory_pair import POOLS, USERS, MemoryPair

HOST = "a.example"


@pytest.fixture
def swapped(tmp_path: Path) -> MemoryPair:
    """Two sites swapped by mistake: all users are A's, and stand at B alone."""
    made = MemoryPair(tmp_path)
    for number in range(3):
        _write(made, "b", f"user{number}")
    for pool in POOLS:
        made.start(pool)
    made.settle()
    return made


def _write(pair: MemoryPair, pool: str, user: str, value: object = 1) -> None:
    pair.disks[pool].write("account", (HOST, user), [(HOST, user, value)])


def _inbound(pair: MemoryPair) -> Inbound:
    inbound = pair.sites["b"].store.read(Inbound, inbound_name(USERS))
    assert inbound is not None
    return inbound


def _held(pair: MemoryPair) -> Held | None:
    return _inbound(pair).held


def _settle(pair: MemoryPair) -> None:
    pair.clock.advance(1)
    pair.settle()


def test_swapped_sites_lose_nothing(swapped: MemoryPair) -> None:
    """However few they are, and however often it is refused."""
    for _ in range(2):
        held = _held(swapped)
        assert held is not None
        assert (held.first, held.table, held.deletes, held.of) == (True, "account", 3, 3)
        assert len(swapped.rows("b")["account"]) == 3
        assert swapped.channel("b").imports.held == 1
        refuse_held(swapped.sites["b"], USERS)
        _settle(swapped)
        resume_refused(swapped.sites["a"], (USERS,))
        _settle(swapped)


def test_one_approval_does_for_the_whole_first_copy(swapped: MemoryPair) -> None:
    """What is meant is meant for every package of it; and later for no more than the guard lets pass."""
    approve_held(swapped.sites["b"], USERS)
    run_pass(swapped.sites["b"], USERS)
    assert swapped.channel("b").imports.complete == ()
    assert _inbound(swapped).settled == ("a",)
    _settle(swapped)
    assert swapped.rows("b")["account"] == []
    assert _held(swapped) is None
    assert _inbound(swapped).settled == ("a",)
    assert swapped.channel("b").imports.complete == ("a",)


def test_a_copy_that_was_whole_is_compared_as_ever(tmp_path: Path) -> None:
    """Rows too many in a copy that is compared once more go without a question, also if it is not whole at that time."""
    pair = MemoryPair(tmp_path)
    _write(pair, "a", "user1")
    for pool in POOLS:
        pair.start(pool)
    pair.settle()
    assert _inbound(pair).settled == ("a",)
    pair.disks["b"].write("account", (HOST, "stray"), [(HOST, "stray", 1)])
    with pair.sites["b"].store.transaction() as tx:
        tx.save(inbound_name(USERS), replace(_inbound(pair), complete=(), doubts=True))
    _settle(pair)
    assert pair.rows("a") == pair.rows("b")
    assert _held(pair) is None


def test_a_copy_that_an_older_release_began_counts_as_whole(swapped: MemoryPair) -> None:
    """It never said; such a pair went through its first copy long ago."""
    with swapped.sites["b"].store.transaction() as tx:
        tx.save(inbound_name(USERS), replace(_inbound(swapped), settled=None, held=None))
    _settle(swapped)
    assert swapped.rows("b")["account"] == []


def test_what_the_origin_deletes_during_the_first_copy_is_no_question(tmp_path: Path) -> None:
    """A tombstone says that the row was there: only what a comparison finds too many is held."""
    pair = MemoryPair(tmp_path)
    _write(pair, "a", "user1")
    _write(pair, "a", "user2")
    for pool in POOLS:
        pair.start(pool)
    pair.settle()
    with pair.sites["b"].store.transaction() as tx:
        tx.save(inbound_name(USERS), replace(_inbound(pair), complete=(), settled=()))
    pair.disks["a"].write("account", (HOST, "user1"), [])
    _settle(pair)
    assert _held(pair) is None
    assert pair.rows("a") == pair.rows("b")
