"""Hooks along the steps of plans, on the memory pair: their order, their failure, their repetition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.hooks.memory import MemoryHooks
from poolpair.moves import HookRun, HookStep, Move, Plan, PlanStep, hook_name, plan_name
from poolpair.pipeline.fence import load_serving
from poolpair.reigns import serves, takes_writes
from poolpair.report import gather
from poolpair.serving.plan import advance, give_up, order, resume
from poolpair.serving.price import price, steps_of
from tests.memory_pair import MemoryPair

EVERY = {step: ("/bin/hook", step.value) for step in HookStep}


class _Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy, with every hook set."""
    made = MemoryPair(tmp_path)
    for pool, other in (("a", "b"), ("b", "a")):
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool).hooks = MemoryHooks(dict(EVERY))
    made.settle()
    return made


def hooks(pair: MemoryPair, pool: str) -> MemoryHooks:
    """The hooks of one pool."""
    found = pair.sites[pool].hooks
    assert isinstance(found, MemoryHooks)
    return found


def ran(pair: MemoryPair, pool: str) -> list[str]:
    """Which hooks ran there, in order."""
    return [step.value for step, _ in hooks(pair, pool).ran]


def plan_of(pair: MemoryPair, pool: str) -> Plan:
    """The plan for the users of a."""
    plan = pair.sites[pool].store.read(Plan, plan_name("a"))
    assert plan is not None
    return plan


def go_on(pair: MemoryPair, turns: int = 60) -> None:
    """Passes and plans until both plans are over, or one stands with a fault."""
    for _ in range(turns):
        pair.turn(force=True)
        for site in pair.sites.values():
            advance(site)


def is_served(pair: MemoryPair, pool: str, *, writes: bool = True) -> bool:
    """Whether a's users are served there, and may write."""
    site = pair.sites[pool]
    with site.store.transaction() as tx:
        mine = load_serving(tx, "a")
    return (takes_writes if writes else serves)(mine, pool, site.partner)


def test_a_planned_failover_runs_hooks_at_both_pools(pair: MemoryPair) -> None:
    """The old server's around its fence, the new one's once it serves; each is told which home moves where."""
    order(pair.sites["a"], Move.HANDOVER, "a")
    go_on(pair)
    assert is_served(pair, "b")
    assert (ran(pair, "a"), ran(pair, "b")) == (["before-fence", "after-fence"], ["after-serve"])
    ((_, told), (_, fenced)), ((_, served),) = hooks(pair, "a").ran, hooks(pair, "b").ran
    plan_id = told.pop("POOLPAIR_PLAN")
    assert told == {
        "POOLPAIR_STEP": "before-fence",
        "POOLPAIR_POOL": "a",
        "POOLPAIR_PARTNER": "b",
        "POOLPAIR_HOME": "a",
        "POOLPAIR_EPOCH": "0",
        "POOLPAIR_MOVE": "failover",
        "POOLPAIR_KIND": "planned",
        "POOLPAIR_SERVES": "b",
    }
    assert fenced["POOLPAIR_PLAN"] == plan_id
    assert (served["POOLPAIR_SERVES"], served["POOLPAIR_EPOCH"], served["POOLPAIR_MOVE"]) == ("b", "1", "failover")
    assert {plan_of(pair, pool).step for pool in "ab"} == {PlanStep.DONE}


def test_a_takeover_runs_its_hooks_in_order(pair: MemoryPair) -> None:
    """Around the apply, then around the moment from which it serves."""
    pair.crash("a")
    order(pair.sites["b"], Move.TAKEOVER, "a")
    go_on(pair, 20)
    assert is_served(pair, "b")
    assert ran(pair, "b") == ["before-apply", "after-apply", "before-serve", "after-serve"]
    told = [words for _, words in hooks(pair, "b").ran]
    assert [words["POOLPAIR_EPOCH"] for words in told] == ["0", "0", "0", "1"]
    assert {(words["POOLPAIR_KIND"], words["POOLPAIR_SERVES"]) for words in told} == {("disaster", "b")}


@pytest.mark.parametrize("failing", ["before-fence", "after-fence"])
def test_a_failed_hook_stops_a_handover_until_it_is_ordered_again(pair: MemoryPair, failing: str) -> None:
    """Nothing goes on by itself and status is red; the same order takes that step again, and no earlier one."""
    hooks(pair, "a").meanwhile = lambda step: _fail_at(pair, step, failing)
    order(pair.sites["a"], Move.HANDOVER, "a")
    go_on(pair)
    plan = plan_of(pair, "a")
    assert (plan.step, plan.fault and plan.fault.code) == (PlanStep(failing), Code.HOOK_FAILED)
    assert ran(pair, "a").count(failing) == 1
    status = gather(pair.sites["a"])
    assert (status.exit_status, status.homes[0].plan) == (2, f"handover: {failing}, FAILED")
    run = pair.sites["a"].store.read(HookRun, hook_name("a", HookStep(failing)))
    assert run is not None
    assert (run.failure, run.output) == ("ended with status 1", "it was told to fail\n")
    hooks(pair, "a").meanwhile = lambda step: None
    assert order(pair.sites["a"], Move.HANDOVER, "a").fault is None
    go_on(pair)
    assert is_served(pair, "b")
    assert ran(pair, "a") == sorted(["before-fence", "after-fence", failing], reverse=True)


def _fail_at(pair: MemoryPair, step: HookStep, failing: str) -> None:
    if step.value == failing:
        hooks(pair, "a").failing = 1


def test_a_handover_that_waits_for_its_hook_can_be_given_up(pair: MemoryPair) -> None:
    """The fence is lifted again, and a serves as before."""
    hooks(pair, "a").meanwhile = lambda step: _fail_at(pair, step, "after-fence")
    order(pair.sites["a"], Move.HANDOVER, "a")
    go_on(pair)
    assert not is_served(pair, "a")
    give_up(pair.sites["a"], "a")
    go_on(pair, 3)
    assert is_served(pair, "a")
    assert plan_of(pair, "a").step is PlanStep.DONE
    assert gather(pair.sites["a"]).homes[0].fault is None


@pytest.mark.parametrize("step", [HookStep.BEFORE_APPLY, HookStep.BEFORE_SERVE, HookStep.AFTER_SERVE])
def test_a_takeover_that_waits_for_its_hook_can_be_given_up(pair: MemoryPair, step: HookStep) -> None:
    """Before it serves nothing has changed; after that it serves, and only the hook is given up."""
    pair.crash("a")
    site = pair.sites["b"]
    site.hooks = MemoryHooks({step: EVERY[step]}, failing=1)
    order(site, Move.TAKEOVER, "a")
    go_on(pair, 5)
    assert plan_of(pair, "b").fault is not None
    give_up(site, "a")
    go_on(pair, 3)
    assert plan_of(pair, "b").step is PlanStep.DONE
    assert is_served(pair, "b") is (step is HookStep.AFTER_SERVE)


def test_a_hook_in_whose_middle_the_service_died_runs_again(pair: MemoryPair) -> None:
    """At least once: what was not recorded as ended is begun anew by the next service."""
    killed = hooks(pair, "a")

    def die(step: HookStep) -> None:
        if step is HookStep.AFTER_FENCE:
            raise _Killed

    killed.meanwhile = die
    order(pair.sites["a"], Move.HANDOVER, "a")
    with pytest.raises(_Killed):
        go_on(pair)
    pair.crash("a")
    again = MemoryHooks(dict(EVERY))
    pair.start("a").hooks = again
    go_on(pair)
    assert [step.value for step, _ in again.ran] == ["after-fence"]
    assert is_served(pair, "b")


def test_a_plan_that_was_given_up_while_its_hook_ran_does_not_go_on(pair: MemoryPair) -> None:
    """The hook ends first; then the word of the operator counts."""
    hooks(pair, "a").meanwhile = lambda step: give_up(pair.sites["a"], "a")
    order(pair.sites["a"], Move.HANDOVER, "a")
    go_on(pair, 5)
    assert is_served(pair, "a")
    assert ran(pair, "a") == ["before-fence"]
    assert plan_of(pair, "a").step is PlanStep.DONE


def test_after_serve_of_a_home_that_was_handed_over_is_resumed_there(pair: MemoryPair) -> None:
    """It belongs to the new server, which serves all the while; and it ends with the reign at the latest."""
    hooks(pair, "b").failing = 1
    order(pair.sites["a"], Move.HANDOVER, "a")
    go_on(pair)
    assert is_served(pair, "b")
    assert plan_of(pair, "b").fault is not None
    with pytest.raises(PoolpairError, match="under way"):
        order(pair.sites["b"], Move.HANDOVER, "a")
    resume(pair.sites["b"], "a")
    go_on(pair, 3)
    assert ran(pair, "b") == ["after-serve", "after-serve"]
    assert plan_of(pair, "b").step is PlanStep.DONE


def test_before_fence_waits_until_both_ends_are_in_order(pair: MemoryPair) -> None:
    """A hook that takes clients away must not run while something else has to be mended first."""
    out = replace(pair.outbound("a"), partner=None)
    with pair.sites["a"].store.transaction() as tx:
        tx.save("outbound/users", out)
    order(pair.sites["a"], Move.HANDOVER, "a")
    advance(pair.sites["a"])
    assert ran(pair, "a") == []
    assert "no word" in plan_of(pair, "a").waits_for


def test_what_if_names_each_command(pair: MemoryPair) -> None:
    """The steps are numbered with their hooks; a hook that is not set is no step."""
    site = pair.sites["a"]
    assert [line.split(":")[0] for line in steps_of(site, Move.HANDOVER, "a")] == [
        "1. compare",
        "2. before-fence",
        "3. fence",
        "4. after-fence",
        "5. drain",
        "6. hand over",
    ]
    assert next(iter(steps_of(site, Move.TAKEOVER, "a"))) == "1. before-apply: runs /bin/hook before-apply"
    site.hooks = MemoryHooks({})
    assert [line.split(":")[0] for line in steps_of(site, Move.TAKEOVER, "a")][:2] == ["1. apply", "2. serve"]


def test_nobody_is_handed_to_a_pool_whose_application_does_not_run(pair: MemoryPair) -> None:
    """The plan waits before anybody is kept from writing, and says why; both sides see it, and it goes on by itself."""
    hooks(pair, "b").silent = "nobody listens"
    go_on(pair, 3)
    order(pair.sites["a"], Move.HANDOVER, "a")
    go_on(pair, 10)
    assert plan_of(pair, "a").waits_for == "the application at b does not run: nobody listens"
    assert takes_writes(pair.sites["a"].serving("a"), "a", "b")
    here, there = gather(pair.sites["b"]), gather(pair.sites["a"])
    assert here.application is not None
    assert here.application.code is Code.APPLICATION_DOWN
    assert (here.exit_status, there.exit_status) == (2, 1)
    assert list(price(pair.sites["a"], Move.HANDOVER, "a"))[-1] == (
        "the application at b does not run (nobody listens): nobody moves before it is started"
    )
    assert "nobody is served before" in list(price(pair.sites["b"], Move.TAKEOVER, "a"))[-1]
    hooks(pair, "b").silent = ""
    go_on(pair)
    assert serves(pair.sites["b"].serving("a"), "b", "a")


def test_an_application_that_dies_while_users_move_keeps_nobody_waiting(pair: MemoryPair) -> None:
    """Behind the fence nobody can write anywhere: they are better off where it will be started again than nowhere."""
    order(pair.sites["a"], Move.HANDOVER, "a")
    while plan_of(pair, "a").step is not PlanStep.DRAIN:
        go_on(pair, 1)
    hooks(pair, "b").silent = "nobody listens"
    go_on(pair)
    assert serves(pair.sites["b"].serving("a"), "b", "a")
