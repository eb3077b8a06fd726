"""Told stories of failover on the memory pair: ways in which simpler protocols lose what was accepted. `test_told_stories` lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.cycle import _import, run_pass
from poolpair.decisions import resolve_ledger
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import data_dir
from poolpair.moves import Move
from poolpair.pipeline.acknowledge import hear_word
from poolpair.reigns import serves
from poolpair.report import gather
from poolpair.serving.plan import advance, order
from poolpair.store.memory.disk import RowRefused
from poolpair.store.values import Choice
from tests.home_moves import (
    COSETTE,
    JAVERT,
    VALJEAN,
    call_complete,
    hand_over,
    make_pair,
    send,
    serving,
    set_back,
    settle,
    speak,
    take_in,
    take_over,
    takes_writes,
    value,
    values,
    versions,
    write,
)
from tests.memory_pair import USERS, MemoryPair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    return make_pair(tmp_path)


def test_what_the_server_wrote_survives_its_own_acknowledgement(pair: MemoryPair) -> None:
    """The returned pool applies and acknowledges before it hands in: the server still knows what it changed in its reign."""
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    write(pair, "b", 2)
    run_pass(pair.sites["b"], USERS)
    _import(pair.start("a"), USERS)
    assert value(pair, "a") == 2
    run_pass(pair.sites["b"], USERS)
    settle(pair)
    assert (value(pair, "a"), value(pair, "b")) == (2, 2)
    (entry,) = pair.sites["b"].store.ledger()
    assert "1" in entry.theirs
    assert entry == pair.sites["a"].store.ledger()[0]
    with pytest.raises(PoolpairError, match="only of a file"):
        resolve_ledger(pair.sites["b"], None, Choice.BOTH)
    assert serving(pair, "b").open == ()


def test_nobody_becomes_the_server_by_hearsay(pair: MemoryPair) -> None:
    """A taker that was set back hears of its own reign: it is fenced and stops, until its operator decides."""
    backup = pair.disks["b"].copy("b")
    take_over(pair, "b")
    write(pair, "b", 2)
    settle(pair)
    assert value(pair, "a") == 2
    set_back(pair, "b", backup)
    settle(pair)
    mine = serving(pair, "b")
    assert mine.stopped is not None
    assert mine.stopped.code is Code.STORE_SET_BACK
    assert not serves(mine, "b", "a")
    with pytest.raises(RowRefused):
        write(pair, "b", 3)


def test_a_home_is_handed_over_only_to_an_equal_copy(pair: MemoryPair) -> None:
    """A row that differs unseen is repaired first; at the moment at which the partner serves its copy is equal."""
    with pair.disks["b"].change() as draft:
        draft.put(pair.disks["b"].schema.named("account"), VALJEAN, ((*VALJEAN, 666),))
    order(pair.sites["a"], Move.HANDOVER, "a")
    for _ in range(60):
        pair.turn(force=True)
        for site in pair.sites.values():
            advance(site)
        if serves(serving(pair, "b"), "b", "a"):
            break
    assert value(pair, "b") == 0
    with pytest.raises(RowRefused):
        write(pair, "a", 1)
    write(pair, "b", 1)
    settle(pair)
    assert value(pair, "a") == 1


def test_a_second_takeover_settles_the_first_returns_spool(pair: MemoryPair) -> None:
    """Before its spool arrived the returned pool takes over again: what it had and what came meanwhile are both kept."""
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    write(pair, "b", 2)
    run_pass(pair.sites["b"], USERS)
    _import(pair.start("a"), USERS)
    pair.crash("b")
    call_complete(pair, "a", "a", "b")
    take_over(pair, "a")
    assert value(pair, "a") == 2
    (entry,) = pair.sites["a"].store.ledger()
    assert "1" in entry.theirs
    pair.start("b")
    settle(pair)
    assert (value(pair, "a"), value(pair, "b")) == (2, 2)
    assert serves(serving(pair, "a"), "a", "b")
    assert serving(pair, "a").present == serving(pair, "b").present


def test_an_incomplete_copy_is_not_taken_for_the_whole(pair: MemoryPair) -> None:
    """What the taker knew it lacked is offered by the pool that returns, all of it, before any comparison deletes it there."""
    with pair.disks["b"].change() as draft:
        draft.put(pair.disks["b"].schema.named("account"), VALJEAN, ())
    call_complete(pair, "b")
    pair.crash("a")
    with pytest.raises(PoolpairError, match="is not complete"):
        take_over(pair, "b")
    take_over(pair, "b", accept_incomplete=True)
    assert not serving(pair, "b").present.complete
    pair.start("a")
    settle(pair)
    assert (value(pair, "a"), value(pair, "b")) == (0, 0)


def test_what_only_the_returned_pool_had_goes_out_again_when_it_serves_again(pair: MemoryPair) -> None:
    """Its spool was addressed to a server that is dead: the group is sent as one of its own, though it had been acknowledged as packed."""
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    send(pair, "b")
    pair.start("a")
    take_in(pair, "a")
    pair.crash("b")
    call_complete(pair, "a", "a", "b")
    take_over(pair, "a")
    pair.start("b")
    settle(pair)
    assert values(pair) == (1, 1)
    assert versions(pair, "a") == []


def test_a_package_is_refused_only_for_homes_whose_rows_it_carries(pair: MemoryPair) -> None:
    """B's own rows were cut before it took A's over; A hears of that first, and B dies for good: what stands is all that there is."""
    write(pair, "b", 9, JAVERT)
    send(pair, "b")
    take_over(pair, "b")
    speak(pair, "b")
    hear_word(pair.sites["a"], USERS)
    assert not serves(serving(pair, "a"), "a", "b")
    pair.crash("b")
    take_in(pair, "a")
    assert value(pair, "a", JAVERT) == 9


def test_pools_that_take_each_other_over_swap_their_users(pair: MemoryPair) -> None:
    """While the line is cut nobody can see or refuse it. All that was written is at both afterwards, and the users go home again."""
    eponine = ("b.example", "eponine")
    write(pair, "a", 1, COSETTE)
    write(pair, "b", 2, eponine)
    take_over(pair, "a", "b")
    take_over(pair, "b", "a")
    write(pair, "a", 3, JAVERT)
    write(pair, "b", 4, VALJEAN)
    settle(pair)
    assert (takes_writes(pair, "a"), takes_writes(pair, "b")) == (("b",), ("a",))
    hand_over(pair, "b", "a")
    hand_over(pair, "a", "b")
    for key, expected in ((COSETTE, 1), (eponine, 2), (JAVERT, 3), (VALJEAN, 4)):
        assert values(pair, key) == (expected, expected)


def test_what_stands_behind_a_gap_is_listed_until_its_pool_returns(pair: MemoryPair) -> None:
    """A dies, and the first of its last two packages is lost: the second cannot be applied, and B says what is in it.

    When A returns it hands all of it in, merged as if nothing had been listed.
    """
    write(pair, "a", 1)
    send(pair, "a")
    pair.shares["b"].tree[data_dir(USERS)].clear()
    write(pair, "a", 2, COSETTE)
    send(pair, "a")
    pair.crash("a")
    take_in(pair, "b")
    take_over(pair, "b")
    take_in(pair, "b")
    assert values(pair, COSETTE) == (2, None)
    (entry,) = pair.sites["b"].store.ledger()
    assert (entry.state, versions(pair, "b")) == (Choice.STANDING, [(2, None)])
    assert gather(pair.sites["b"]).ledger_standing == 1
    pair.start("a")
    settle(pair)
    assert (values(pair), values(pair, COSETTE)) == ((1, 1), (2, 2))
    for pool in ("a", "b"):
        (entry,) = pair.sites[pool].store.ledger()
        assert entry.state is Choice.RETURNED


def test_what_stands_can_be_decided_when_its_pool_is_gone_for_good(pair: MemoryPair) -> None:
    """The package is the only copy: what it holds is put where it was to go."""
    write(pair, "a", 1)
    send(pair, "a")
    pair.shares["b"].tree[data_dir(USERS)].clear()
    write(pair, "a", 2, COSETTE)
    send(pair, "a")
    pair.crash("a")
    take_over(pair, "b")
    take_in(pair, "b")
    assert resolve_ledger(pair.sites["b"], None, Choice.THEIRS) == 0
    assert resolve_ledger(pair.sites["b"], None, Choice.THEIRS, state=Choice.STANDING) == 1
    assert value(pair, "b", COSETTE) == 2
