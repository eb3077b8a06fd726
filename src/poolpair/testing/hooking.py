"""Hooks in the simulator: from the first step that speaks of them on each pool has every hook, and some of them fail.

Their operators give the command again, or give the plan up; a process may die before, after or in the middle of a hook.
"""

from __future__ import annotations

from poolpair.errors import Code, PoolpairError
from poolpair.moves import STEPS_OF, HookStep, Plan, PlanStep, plan_name
from poolpair.serving.plan import resume
from poolpair.serving.stepping import hook_of
from poolpair.testing.facts import Lines, Violation
from poolpair.testing.schema import POOLS
from poolpair.testing.steps import Step
from poolpair.testing.world import Pool, World

WILL_FAIL = "not now"
"""It counts as a fault when a hook does fail."""
COMMANDS = {step: ("hook", step.value) for step in HookStep}


def hook_fails(world: World, step: Step) -> str:
    """The next hooks of a pool fail: up to three, so that one may fail again when its command is given again."""
    for pool in world.pools.values():
        _set_up(pool)
    world.pools[step.pool].hooks.failing = 1 + step.number % 3
    return WILL_FAIL


def _set_up(pool: Pool) -> None:
    if pool.hooks.commands:
        return
    pool.hooks.commands = dict(COMMANDS)
    pool.hooks.failed = lambda: pool.gate.fired.update(["hook-fails"])
    note_unhooked(pool)


def note_unhooked(pool: Pool) -> None:
    """When hooks come, and of every backup that is made before: put back, it brings back plans that never met a hook."""
    view = pool.database.view()
    plans = (view.document(Plan, plan_name(home)) for home in POOLS)
    pool.unhooked |= {plan.plan_id for plan in plans if plan}


def hook_again(world: World, step: Step) -> str:
    """An operator gives the command again where a hook failed."""
    site = world.commander(world.pools[step.pool])
    try:
        failed = [home for home in POOLS if (plan := site.store.read(Plan, plan_name(home))) is not None and plan.fault]
        for home in failed:
            resume(site, home)
    except PoolpairError as error:
        if error.code is not Code.STORE_LOCKED:
            raise
        return "waits for the lock"
    finally:
        site.store.close()
    return " ".join(failed) or "nothing to do"


def hooks_work(world: World, step: Step) -> str:
    """What made hooks fail is mended, and the commands are given again."""
    world.pools[step.pool].hooks.failing = 0
    return hook_again(world, step)


def no_plan_passes_its_hook(world: World, _found: Lines) -> Violation | None:
    """A plan stands behind a hook only if that hook ended well for it, at least once."""
    for name in POOLS:
        pool = world.pools[name]
        if not pool.hooks.commands:
            continue
        world.truth.used["no_plan_passes_its_hook"] += 1
        for home in POOLS:
            plan = pool.database.view().document(Plan, plan_name(home))
            if plan is None or plan.plan_id in pool.unhooked or plan.step not in STEPS_OF[plan.move]:
                continue
            steps = STEPS_OF[plan.move]
            passed = () if plan.step is PlanStep.DONE else steps[: steps.index(plan.step)]
            for hook in filter(None, map(hook_of, passed)):
                if (plan.plan_id, hook) not in pool.hooks.well:
                    return Violation("no_plan_passes_its_hook", f"{name}: {plan.step} of {home} without its {hook}")
    return None
