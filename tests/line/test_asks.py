"""A handover that is asked for at the other side: carried out once, or refused with its reason, whatever comes of cookies and stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.asks import ASK_LIES_S, AskAnswer, AskMade, AskTaken, AskVerb, made_name, taken_name
from poolpair.cycle import beat, run_pass
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import COOKIE_NAME, cookie_dir
from poolpair.model import Ask, Fault
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.pipeline.site import serving_name
from poolpair.reigns import birth, takes_writes
from poolpair.serving.asks import attend, make_ask
from poolpair.serving.plan import give_up, order
from poolpair.state import Serving
from tests.memory_pair import USERS, MemoryPair

FAR_S = 31.0
"""Longer than the word of a partner counts as fresh."""


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    made = MemoryPair(tmp_path)
    with made.disks["a"].transaction() as tx:
        tx.write("account", ("a.example", "valjean"), [("a.example", "valjean", 0)])
    for pool, other in (("a", "b"), ("b", "a")):
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool)
    made.settle()
    return made


def asked(pair: MemoryPair, pool: str = "b") -> Ask:
    """What its maker knows of the last ask."""
    made = pair.sites[pool].store.read(AskMade, made_name("a"))
    assert made is not None
    return made.ask


def answer_at(pair: MemoryPair, ask: Ask, pool: str = "a") -> str | None:
    """What the other pool noted; None if it knows nothing of it."""
    taken = pair.sites[pool].store.read(AskTaken, taken_name(ask.ask_id))
    return taken.ask.answer if taken else None


def plan(pair: MemoryPair, pool: str = "a") -> Plan | None:
    """The plan of a pool for a's users."""
    return pair.sites[pool].store.read(Plan, plan_name("a"))


def look(pair: MemoryPair, *pools: str) -> None:
    """One look of these services, heartbeat included."""
    pair.clock.advance(1)
    for pool in pools:
        beat(pair.sites[pool], USERS)
        run_pass(pair.sites[pool], USERS, force=True)
        attend(pair.sites[pool])


def settle(pair: MemoryPair, looks: int = 40) -> None:
    """Both services look again and again."""
    for _ in range(looks):
        look(pair, "a", "b")


def server(pair: MemoryPair) -> set[str]:
    """Who takes writes for a's users."""
    found = set()
    for pool, other in (("a", "b"), ("b", "a")):
        serving = pair.sites[pool].store.read(Serving, serving_name("a")) or birth("a")
        if takes_writes(serving, pool, other):
            found.add(pool)
    return found


def word_of(pair: MemoryPair, reader: str) -> bytes:
    """The cookie that lies in a pool's share."""
    data = pair.shares[reader].read_small(f"{cookie_dir(USERS)}/{COOKIE_NAME}", 1 << 20)
    assert data is not None
    return data


def replay(pair: MemoryPair, reader: str, data: bytes) -> None:
    """Somebody puts an old cookie back."""
    pair.shares[reader].replace(cookie_dir(USERS), COOKIE_NAME, data, "old.part")


def test_there_and_back_is_asked_for_at_the_other_side(pair: MemoryPair) -> None:
    """The pool that serves carries it out; its maker hears of the end, and the partner keeps an answer."""
    there = make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    settle(pair)
    assert server(pair) == {"b"}
    assert asked(pair).answer == AskAnswer.DONE
    assert answer_at(pair, there) == AskAnswer.DONE
    make_ask(pair.sites["a"], AskVerb.HANDOVER, "a")
    settle(pair)
    assert server(pair) == {"a"}
    assert asked(pair, "a").answer == AskAnswer.DONE


def test_the_same_command_again_is_the_same_ask(pair: MemoryPair) -> None:
    """Two operators ask, or one asks twice: one ask stands."""
    site = pair.sites["b"]
    assert make_ask(site, AskVerb.HANDOVER, "a") == make_ask(site, AskVerb.HANDOVER, "a")


def test_an_ask_made_while_answers_are_heard_stands(pair: MemoryPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is found to be too old, and at that moment the operator's own process withdraws it: what he asks for last counts."""
    site = pair.sites["b"]
    make_ask(site, AskVerb.HANDOVER, "a")
    pair.clock.advance(ASK_LIES_S + 1)
    boot_id = site.clock.boot_id

    def meanwhile() -> str:
        monkeypatch.setattr(site.clock, "boot_id", boot_id)
        make_ask(site, AskVerb.GIVE_UP, "a")
        return boot_id()

    monkeypatch.setattr(site.clock, "boot_id", meanwhile)
    attend(site)
    assert (asked(pair).verb, asked(pair).answer) == (AskVerb.GIVE_UP, None)


def test_an_ask_of_another_reign_is_refused(pair: MemoryPair) -> None:
    """Who serves changed between the ask and its arrival, and changed back: nothing is begun, and the reason comes back."""
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    with pair.sites["b"].store.transaction() as tx:
        made = tx.load(AskMade, made_name("a"))
        assert made is not None
        tx.save(made_name("a"), replace(made, ask=replace(made.ask, reign_id="1" * 32)))
    run_pass(pair.sites["b"], USERS, force=True)
    for _ in range(2):
        look(pair, "a")
    assert plan(pair) is None
    taken = pair.sites["a"].store.read(AskTaken, taken_name(made.ask.ask_id))
    assert taken is not None
    assert taken.ask.answer == AskAnswer.REFUSED
    assert "changed since this was asked" in taken.ask.detail


def test_nobody_is_asked_for_what_is_served_here(pair: MemoryPair) -> None:
    """Such an ask is refused before it is made."""
    with pytest.raises(PoolpairError, match="served here") as raised:
        make_ask(pair.sites["a"], AskVerb.HANDOVER, "a")
    assert raised.value.code is Code.USAGE


def test_an_old_cookie_begins_nothing(pair: MemoryPair) -> None:
    """The ask was answered and its plan given up; its cookie is brought again, and again after both services were started anew."""
    ask = make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    run_pass(pair.sites["b"], USERS, force=True)
    old = word_of(pair, "a")
    look(pair, "a")
    give_up(pair.sites["a"], "a")
    settle(pair)
    assert asked(pair).answer == AskAnswer.ABORTED
    begun = plan(pair)
    for _ in range(2):
        replay(pair, "a", old)
        for _ in range(3):
            look(pair, "a")
        assert plan(pair) == begun
        for pool in ("a", "b"):
            pair.crash(pool)
            pair.start(pool)
    assert answer_at(pair, ask) == AskAnswer.ABORTED
    assert server(pair) == {"a"}


def test_an_ask_that_was_taken_up_is_begun_once(pair: MemoryPair) -> None:
    """Its cookie still stands when the plan was given up already, and its maker has not heard of anything."""
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    run_pass(pair.sites["b"], USERS, force=True)
    look(pair, "a")
    begun = plan(pair)
    assert begun is not None
    give_up(pair.sites["a"], "a")
    for _ in range(5):
        attend(pair.sites["a"])
    after = plan(pair)
    assert after is not None
    assert (after.plan_id, after.step) == (begun.plan_id, PlanStep.DONE)


def test_a_stale_word_begins_nothing(pair: MemoryPair) -> None:
    """The service of the pool that serves was down when the ask came, and has been; the ask is withdrawn unheard. It is not taken up."""
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    run_pass(pair.sites["b"], USERS, force=True)
    pair.crash("a")
    pair.clock.advance(FAR_S)
    pair.crash("b")
    pair.start("a")
    for _ in range(3):
        look(pair, "a")
    assert plan(pair) is None


def test_a_word_that_was_held_up_begins_nothing(pair: MemoryPair) -> None:
    """It comes late, as over a link that was cut: the same service had asked for it, but long ago. The next word is taken up."""
    look(pair, "a", "b")
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    run_pass(pair.sites["b"], USERS, force=True)
    pair.clock.advance(FAR_S)
    for _ in range(3):
        look(pair, "a")
    assert plan(pair) is None
    look(pair, "b", "a")
    assert plan(pair) is not None


def test_an_ask_that_lies_unanswered_is_withdrawn(pair: MemoryPair) -> None:
    """After the bound nothing is asked any more, and the partner that returns begins nothing."""
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    pair.crash("a")
    look(pair, "b")
    assert asked(pair).answer is None
    pair.clock.advance(ASK_LIES_S)
    look(pair, "b")
    assert asked(pair).answer == AskAnswer.WITHDRAWN
    assert "15 minutes" in asked(pair).detail
    pair.start("a")
    settle(pair)
    assert plan(pair) is None
    assert server(pair) == {"a"}


def test_an_ask_can_be_given_up_before_it_was_heard(pair: MemoryPair) -> None:
    """The partner hears of both, in whatever order cookies come: the first is never begun."""
    first = make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    run_pass(pair.sites["b"], USERS, force=True)
    old = word_of(pair, "a")
    make_ask(pair.sites["b"], AskVerb.GIVE_UP, "a")
    run_pass(pair.sites["b"], USERS, force=True)
    look(pair, "a")
    replay(pair, "a", old)
    settle(pair)
    assert asked(pair).answer == AskAnswer.DONE
    assert answer_at(pair, first) == AskAnswer.WITHDRAWN
    assert plan(pair) is None


def test_a_handover_under_way_is_given_up_from_the_other_side(pair: MemoryPair) -> None:
    """As if the command had been given where it runs."""
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    look(pair, "b")
    look(pair, "a")
    run_pass(pair.sites["a"], USERS, force=True)
    look(pair, "b")
    assert asked(pair).answer == AskAnswer.ACCEPTED
    make_ask(pair.sites["b"], AskVerb.GIVE_UP, "a")
    settle(pair)
    assert asked(pair).answer == AskAnswer.DONE
    assert server(pair) == {"a"}


def test_nothing_to_be_given_up_is_a_refusal(pair: MemoryPair) -> None:
    """With the reason that the same command has at the other side."""
    make_ask(pair.sites["b"], AskVerb.GIVE_UP, "a")
    settle(pair)
    assert asked(pair).answer == AskAnswer.REFUSED
    assert "no failover or failback of a is under way" in asked(pair).detail


def test_a_partner_that_forgot_begins_nothing_again(pair: MemoryPair) -> None:
    """Its store was set back to before the ask; its maker had heard that it was accepted."""
    backup = pair.disks["a"].copy("a")
    ask = make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    for _ in range(3):
        run_pass(pair.sites["b"], USERS, force=True)
        attend(pair.sites["b"])
        run_pass(pair.sites["a"], USERS, force=True)
        if answer_at(pair, ask) is None:
            attend(pair.sites["a"])  # takes it up, and no further step
    assert asked(pair).answer == AskAnswer.ACCEPTED
    pair.crash("a")
    pair.disks["a"].restore(backup)
    pair.start("a")
    settle(pair)
    assert plan(pair) is None
    assert asked(pair).answer == AskAnswer.ABORTED
    assert "set back" in asked(pair).detail
    assert server(pair) == {"a"}


def test_a_maker_that_forgot_hears_the_same_answer(pair: MemoryPair) -> None:
    """Its store was set back to before the answer: it asks again, and nothing is begun again."""
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    backup = pair.disks["b"].copy("b")
    run_pass(pair.sites["b"], USERS, force=True)
    look(pair, "a")
    begun = plan(pair)
    give_up(pair.sites["a"], "a")
    settle(pair)
    assert asked(pair).answer == AskAnswer.ABORTED
    pair.crash("b")
    pair.disks["b"].restore(backup)
    pair.start("b")
    assert asked(pair).answer is None
    settle(pair)
    assert asked(pair).answer == AskAnswer.ABORTED
    after = plan(pair)
    assert begun is not None
    assert after is not None
    assert after.plan_id == begun.plan_id


def test_a_takeover_here_withdraws_what_was_asked_there(pair: MemoryPair) -> None:
    """The partner did not answer, its death was decided: nothing is asked of it when it returns."""
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    pair.crash("a")
    order(pair.sites["b"], Move.TAKEOVER, "a")
    for _ in range(4):
        look(pair, "b")
    assert asked(pair).answer == AskAnswer.WITHDRAWN
    pair.start("a")
    settle(pair)
    assert server(pair) == {"b"}
    assert plan(pair) is None


def test_a_step_that_failed_there_is_taken_again_by_the_same_command(pair: MemoryPair) -> None:
    """Its maker sees that it failed, with what to do; asking once more is another ask, and the same plan goes on."""
    first = make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    look(pair, "b")
    look(pair, "a")
    begun = plan(pair)
    assert begun is not None
    with pair.sites["a"].store.transaction() as tx:
        tx.save(plan_name("a"), replace(begun, fault=Fault(code=Code.HOOK_FAILED, detail="ended with 1")))
    for _ in range(2):
        look(pair, "a", "b")
    assert ("ended with 1" in asked(pair).detail, bool(asked(pair).hint)) == (True, True)
    again = make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    assert (again.ask_id == first.ask_id, again.withdraws) == (False, "")
    settle(pair)
    assert server(pair) == {"b"}
    after = plan(pair)
    assert after is not None
    assert after.plan_id == begun.plan_id


def test_an_answer_that_was_not_heard_yet_outlives_the_next_ask(pair: MemoryPair) -> None:
    """A's operator gave it up; before B hears that, B asks for its own users, too: the first is not begun again."""
    order(pair.sites["b"], Move.HANDOVER, "b")
    settle(pair)
    first = make_ask(pair.sites["b"], AskVerb.HANDOVER, "a")
    look(pair, "b", "a")
    assert answer_at(pair, first) == AskAnswer.ACCEPTED
    give_up(pair.sites["a"], "a")
    for _ in range(3):
        attend(pair.sites["a"])
    assert answer_at(pair, first) == AskAnswer.ABORTED
    make_ask(pair.sites["b"], AskVerb.HANDOVER, "b")
    beat(pair.sites["b"], USERS)
    settle(pair)
    assert answer_at(pair, first) == AskAnswer.ABORTED
    assert server(pair) == {"a"}
    assert asked(pair).answer == AskAnswer.ABORTED
