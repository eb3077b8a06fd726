"""Hooks at the steps of a plan: what each is told, and what is kept of how it ran.

A hook runs outside every transaction and its end is recorded after it: a process that dies in between runs it again.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import new_id
from poolpair.moves import HookRun, HookStep, Move, Plan, PlanStep, hook_fault, hook_name, plan_name
from poolpair.pipeline.site import Site
from poolpair.reigns import serves
from poolpair.serving.stepping import go, hook_of, next_step, stepping


def run_hook(site: Site, plan: Plan) -> bool:
    """Run the hook at which a plan stands. If it fails the plan stays there, and goes on only when it is ordered again."""
    step = hook_of(plan.step)
    if step is None or not site.hooks.commands.get(step):  # it was taken out of the pool file meanwhile
        with stepping(site, plan) as tx:
            go(tx, plan, next_step(site, plan))
        return True
    run = call(site, step, plan.home, words_of(site, plan))
    if run is None:
        return False
    with site.store.transaction() as tx:
        tx.save(hook_name(plan.home, step), run)
        if tx.load(Plan, plan_name(plan.home)) == plan:  # else it was given up meanwhile
            if run.failure:
                tx.save(plan_name(plan.home), replace(plan, waits_for="", fault=hook_fault(run)))
            else:
                go(tx, plan, next_step(site, plan))
    return True


def call(site: Site, step: HookStep, home: str, words: dict[str, str]) -> HookRun | None:
    """Run one hook; None if this process is to end before it was over."""
    began_utc = site.clock.utc_iso()
    result = site.hooks.run(step, words)
    if result is None:
        return None
    return HookRun(
        home=home,
        step=step,
        command=site.hooks.commands[step],
        began_utc=began_utc,
        took_s=result.took_s,
        failure=result.failure,
        output=result.output,
        cut=result.cut,
    )


def words_of(site: Site, plan: Plan) -> dict[str, str]:
    """What a hook of a plan finds in its environment."""
    target = target_of(site, plan)
    return {
        **common_words(site, plan.step.value, plan.home),
        "POOLPAIR_MOVE": "failback" if target == plan.home else "failover",
        "POOLPAIR_KIND": "planned" if plan.move is Move.HANDOVER else "disaster",
        "POOLPAIR_PLAN": plan.plan_id,
        "POOLPAIR_SERVES": target,
    }


def common_words(site: Site, step: str, home: str) -> dict[str, str]:
    """What every hook is told."""
    return {
        "POOLPAIR_STEP": step,
        "POOLPAIR_POOL": site.pool,
        "POOLPAIR_PARTNER": site.partner,
        "POOLPAIR_HOME": home,
        "POOLPAIR_EPOCH": str(site.serving(home).present.epoch),
    }


def target_of(site: Site, plan: Plan) -> str:
    """The pool that serves the home when the plan is over."""
    here = plan.move is Move.TAKEOVER or plan.step is PlanStep.AFTER_SERVE
    return site.pool if here else site.partner


def welcome(site: Site) -> bool:
    """A home that was handed to this pool: what comes after it is a plan of its own, here."""
    moved = False
    for home in site.homes:
        mine = site.serving(home)
        if mine.present.began != "handover" or not serves(mine, site.pool, site.partner):
            continue
        known = site.store.read(Plan, plan_name(home))
        if known is not None and known.reign_id == mine.present.reign_id:
            continue
        step = PlanStep.AFTER_SERVE if site.hooks.commands.get(HookStep.AFTER_SERVE) else PlanStep.DONE
        plan = Plan(
            plan_id=new_id(),
            move=Move.HANDOVER,
            home=home,
            step=step,
            reign_id=mine.present.reign_id,
            begun_utc=site.clock.utc_iso(),
        )
        with site.store.transaction() as tx:
            if tx.load(Plan, plan_name(home)) == known:
                tx.save(plan_name(home), plan)
                moved = True
    return moved
