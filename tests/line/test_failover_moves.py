"""Told stories of planned moves on the memory pair: final packages that come late, too early, or after somebody thought better of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify, resolve_ledger
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import data_dir
from poolpair.moves import Move, Plan, plan_name
from poolpair.pipeline.acknowledge import hear_word
from poolpair.reigns import serves
from poolpair.serving.ordering import Act, act_for, carry_out
from poolpair.serving.plan import advance, give_up, order
from poolpair.state import SeedPhase
from poolpair.store.values import Choice
from tests.home_moves import (
    COSETTE,
    JAVERT,
    MARIUS,
    VALJEAN,
    call_complete,
    hand_out,
    hand_over,
    make_pair,
    send,
    serving,
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


class ProcessEnd(Exception):
    """The process ends here."""


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    return make_pair(tmp_path)


def test_what_is_compared_of_one_home_goes_on_when_another_is_handed_out(pair: MemoryPair) -> None:
    """A's final package stands at B when A takes B's users over: B adopts both, and what A compares for the second is not given up."""
    hand_out(pair, "a")
    write(pair, "b", 5, JAVERT)
    take_over(pair, "a", "b")
    settle(pair)
    assert takes_writes(pair, "a") == ("b",)
    assert takes_writes(pair, "b") == ("a",)
    assert [pair.channel(pool).imports.complete for pool in ("a", "b")] == [("a",), ("b",)]
    assert pair.outbound("a").seed is None


def test_a_final_package_that_comes_after_a_takeover_changes_nothing(pair: MemoryPair) -> None:
    """B took over while it was on its way, at the same epoch, and accepted a write: the package is refused, and A adopts."""
    write(pair, "a", 1)
    hand_out(pair, "a")
    take_over(pair, "b")
    write(pair, "b", 2)
    take_in(pair, "b")
    assert value(pair, "b") == 2
    assert [each.reason.split(":")[0] for each in pair.shares["b"].quarantined()] == [Code.STALE]
    settle(pair)
    assert values(pair) == (2, 2)
    assert takes_writes(pair) == ("b",)
    assert serving(pair, "a").present == serving(pair, "b").present


def test_a_final_package_that_is_lost_hands_nothing_over(pair: MemoryPair) -> None:
    """Nobody serves, and nobody pretends to, until it is sent again; then the partner does."""
    write(pair, "a", 1)
    hand_out(pair, "a")
    pair.shares["b"].tree[data_dir(USERS)].clear()
    assert takes_writes(pair) == ()
    settle(pair)
    assert takes_writes(pair) == ("b",)
    assert values(pair) == (1, 1)


def test_nobody_serves_before_it_applied_the_final_package(pair: MemoryPair) -> None:
    """The users go home again; A hears B's word while the package with B's last state stands unread: it does not serve on old rows."""
    hand_over(pair, "a")
    write(pair, "b", 2)
    hand_out(pair, "b")
    speak(pair, "b")
    hear_word(pair.sites["a"], USERS)
    assert takes_writes(pair) == ()
    assert serving(pair, "a").stopped is None
    take_in(pair, "a")
    assert takes_writes(pair) == ("a",)
    assert values(pair) == (2, 2)


def test_users_are_not_handed_back_before_their_old_pool_handed_in(pair: MemoryPair) -> None:
    """Else it would find itself the server again without ever having been fenced, and what it had written would overwrite B's."""
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    with pytest.raises(PoolpairError, match="has not handed in yet"):
        order(pair.sites["b"], Move.HANDOVER, "a")
    write(pair, "b", 2)
    pair.start("a")
    settle(pair)
    hand_over(pair, "b")
    assert values(pair) == (2, 2)
    assert versions(pair, "a") == [(1, 2)]


def test_who_gives_up_after_the_final_package_left_takes_over_again(pair: MemoryPair) -> None:
    """The package was out of hand: B serves with it for a moment, but A's epoch is above. What B accepted meanwhile is in the ledger."""
    hand_out(pair, "a")
    give_up(pair.sites["a"], "a")
    while advance(pair.sites["a"]):
        pass
    write(pair, "a", 5)
    take_in(pair, "b")
    assert takes_writes(pair) == ("a", "b")
    write(pair, "b", 6)
    settle(pair)
    assert takes_writes(pair) == ("a",)
    assert values(pair) == (5, 5)
    assert versions(pair, "a") == versions(pair, "b") == [(6, 5)]
    assert serves(serving(pair, "b"), "a", "b")


def test_a_row_that_was_parked_survives_the_move(pair: MemoryPair) -> None:
    """B refuses it, so nothing is handed to B; when A dies B's copy lacks it: it is in the ledger before B's copy replaces it at A."""
    pair.disks["b"].refuses = lambda _table, row: "too new" if row[-1] == 1 else None
    write(pair, "a", 1)
    settle(pair)
    order(pair.sites["a"], Move.HANDOVER, "a")
    settle(pair)
    plan = pair.sites["a"].store.read(Plan, plan_name("a"))
    assert plan is not None
    assert "parked" in plan.waits_for
    assert takes_writes(pair) == ("a",)
    pair.crash("a")
    take_over(pair, "b")
    pair.start("a")
    settle(pair)
    assert values(pair) == (0, 0)
    assert versions(pair, "a") == versions(pair, "b") == [(1, 0)]
    pair.disks["b"].refuses = pair.disks["a"].refuses
    resolve_ledger(pair.sites["b"], None, Choice.THEIRS)
    settle(pair)
    assert values(pair) == (1, 1)


def test_a_bucket_travels_with_all_that_was_written_before_it_was_read(pair: MemoryPair) -> None:
    """A repair sends rows as they are at its view; what else one transaction wrote before that view comes in the same package."""
    write(pair, "a", 7, COSETTE)
    settle(pair)
    with pair.disks["b"].change() as draft:
        draft.put(pair.disks["b"].schema.named("account"), COSETTE, ((*COSETTE, 666),))
    begin_verify(pair.sites["a"], USERS, repair=True)
    send(pair, "a")
    take_in(pair, "b")
    speak(pair, "b")
    hear_word(pair.sites["a"], USERS)
    seed = pair.outbound("a").seed
    assert seed is not None
    assert seed.phase is SeedPhase.SEND
    with pair.disks["a"].transaction() as tx:
        tx.write("account", VALJEAN, [(*VALJEAN, 5)])
        tx.write("roster", MARIUS, [(*MARIUS, "cosette")])
    pair.sites["a"] = replace(pair.sites["a"], limits=replace(pair.sites["a"].limits, window=1))
    send(pair, "a")
    take_in(pair, "b")
    assert [value(pair, "b", key) for key in (COSETTE, VALJEAN)] == [7, 5]
    assert pair.rows("b")["roster"] == [(*MARIUS, "cosette")]


def test_a_comparison_that_comes_after_the_takeover_begins_no_other_reign(pair: MemoryPair) -> None:
    """B applied the final package and died before it compared; its operator orders a takeover first. Its answer hands nothing over."""
    hand_out(pair, "a")
    pair.crash("b")
    pair.start("b")
    take_in(pair, "b")
    speak(pair, "b")
    send(pair, "a")  # everything is compared again: what B's process before this one had found is not known
    pair.crash("a")

    def dies(operation: str, _folder: str) -> None:
        if operation == "remove":
            raise ProcessEnd

    pair.shares["b"].before = dies
    with pytest.raises(ProcessEnd):
        take_in(pair, "b")
    pair.shares["b"].before = lambda _operation, _folder: None
    pair.crash("b")
    pair.start("b")
    take_over(pair, "b")
    mine = serving(pair, "b")
    take_in(pair, "b")
    assert serving(pair, "b") == mine
    pair.start("a")
    settle(pair)
    assert serving(pair, "b").present == mine.present
    assert takes_writes(pair) == ("b",)


def test_a_copy_that_lost_something_since_the_takeover_was_ordered_is_not_served(pair: MemoryPair) -> None:
    """The order was given for a whole copy: what became of it since is asked about once more."""
    pair.crash("a")
    site = pair.sites["b"]
    order(site, Move.TAKEOVER, "a")
    call_complete(pair, "b")
    for _ in range(4):
        advance(site)
    plan = site.store.read(Plan, plan_name("a"))
    assert plan is not None
    assert "not complete" in plan.waits_for
    assert not serves(serving(pair, "b"), "b", "a")
    order(site, Move.TAKEOVER, "a", accept_incomplete=True)
    while advance(site):
        pass
    assert serves(serving(pair, "b"), "b", "a")
    assert not serving(pair, "b").present.complete


def test_a_copy_that_becomes_whole_takes_nobody_over_by_itself(pair: MemoryPair) -> None:
    """The partner lives again and brings what was lacking: it is taken over when the order is given again, and not before."""
    site = pair.sites["b"]
    order(site, Move.TAKEOVER, "a")
    call_complete(pair, "b")
    for _ in range(4):
        advance(site)
    plan = site.store.read(Plan, plan_name("a"))
    assert plan is not None
    assert plan.fault is not None
    assert plan.fault.code is Code.INCOMPLETE
    call_complete(pair, "b", "a")
    settle(pair)
    assert takes_writes(pair) == ("a",)
    act = act_for(site, "a", away=True, disaster=True)
    assert act is Act.RESUME
    call_complete(pair, "b")
    carry_out(site, act, "a", disaster=True, accept_incomplete=True)
    settle(pair)
    assert takes_writes(pair) == ("b",)


def test_what_was_spooled_at_a_handover_is_lacking_in_the_copy(pair: MemoryPair) -> None:
    """Somebody took the fence away and wrote at A after the final package left: A's copy is not what B serves until it was compared."""
    hand_out(pair, "a")
    with pair.disks["a"].tampering() as application:
        application.write("account", COSETTE, [(*COSETTE, 9)])
    take_in(pair, "b")
    speak(pair, "b")
    hear_word(pair.sites["a"], USERS)
    assert serves(serving(pair, "a"), "b", "a")
    assert "a" not in pair.channel("a").imports.complete
    settle(pair)
    assert values(pair, COSETTE) == (9, 9)
    assert "a" in pair.channel("a").imports.complete
