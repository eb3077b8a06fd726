"""One step of a plan: its transaction, and where the cursor goes next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from poolpair.moves import STEPS_OF, HookStep, Plan, PlanStep, plan_name
from poolpair.pipeline.site import Site
from poolpair.store.port import Transaction


class Overtaken(Exception):
    """The plan is not what it was: the next look sees what it is now."""


@contextmanager
def stepping(site: Site, plan: Plan, *, fencing: bool = False) -> Iterator[Transaction]:
    """One step's transaction; nothing happens if somebody changed the plan meanwhile."""
    with site.store.transaction(fencing=fencing) as tx:
        if tx.load(Plan, plan_name(plan.home)) != plan:
            raise Overtaken
        yield tx
    site.memory.serving.clear()


def go(tx: Transaction, plan: Plan, step: PlanStep) -> None:
    """Let a plan stand at another step."""
    tx.save(plan_name(plan.home), replace(plan, step=step, waits_for="", fault=None))


def wait(site: Site, plan: Plan, why: str) -> bool:
    """Note why a plan does not go on."""
    if plan.waits_for != why:
        with stepping(site, plan) as tx:
            tx.save(plan_name(plan.home), replace(plan, waits_for=why))
    return False


def hook_of(step: PlanStep) -> HookStep | None:
    """The hook that a step runs."""
    return HookStep(step.value) if step.value in set(HookStep) else None


def first_step(site: Site, plan: Plan) -> PlanStep:
    """Where a plan begins."""
    return next(step for step in STEPS_OF[plan.move] if _is_something(site, step))


def next_step(site: Site, plan: Plan) -> PlanStep:
    """What comes after the present step: a hook that is not set is nothing to be done."""
    steps = STEPS_OF[plan.move]
    after = steps[steps.index(plan.step) + 1 :] if plan.step in steps else (PlanStep.DONE,)
    return next(step for step in after if _is_something(site, step))


def _is_something(site: Site, step: PlanStep) -> bool:
    hook = hook_of(step)
    return hook is None or bool(site.hooks.commands.get(hook))
