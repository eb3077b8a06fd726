"""Plans: what an operator ordered for one home, as a list of named, idempotent steps whose cursor is stored.

A command only writes the plan; the process that holds the lease takes its steps, one look after the other, between passes along the
line. So a plan survives the death of everybody, and nobody but that process ever changes who serves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, new_id, serving_pool
from poolpair.moves import GATE_WORD, STEPS_OF, GateWord, Move, Plan, PlanStep, plan_name
from poolpair.pipeline.adopt import begin_reign
from poolpair.pipeline.fence import fence, load_serving
from poolpair.pipeline.site import Site, inbound_name, outbound_name, serving_name
from poolpair.reigns import serves
from poolpair.serving.applying import apply_what_stands
from poolpair.serving.gate import is_gated
from poolpair.serving.hooked import run_hook, welcome
from poolpair.serving.ready import (
    compare_first,
    forget_proof,
    hindrances,
    look_behind_fence,
    mend_files,
    tampered,
    undrained,
)
from poolpair.serving.stepping import Overtaken, first_step, go, next_step, stepping, wait
from poolpair.serving.words import served_by
from poolpair.state import Fencing, Inbound, Outbound, Seed
from poolpair.store.port import Transaction


def order(site: Site, move: Move, home: str, *, accept_incomplete: bool = False) -> Plan:
    """Write a plan. Raises USAGE if it makes no sense now, INCOMPLETE for a takeover of less than the partner had."""
    with site.store.transaction() as tx:
        return order_within(site, tx, move, home, accept_incomplete=accept_incomplete)


def order_within(site: Site, tx: Transaction, move: Move, home: str, *, accept_incomplete: bool = False) -> Plan:
    """The same in a transaction that has more to write; nothing is written if it raises."""
    running = tx.load(Plan, plan_name(home))
    if running is not None and running.step is not PlanStep.DONE:
        if running.move is move and running.step in STEPS_OF[move]:
            return _again(tx, running, accept_incomplete=accept_incomplete)
        raise PoolpairError(Code.USAGE, f"a {running.move} of {home} is under way, at the step: {running.step}")
    problem = _problem(site, tx, move, home, accept_incomplete=accept_incomplete)
    if problem is not None:
        raise problem
    plan = Plan(
        plan_id=new_id(),
        move=move,
        home=home,
        step=STEPS_OF[move][0],
        reign_id=load_serving(tx, home).present.reign_id,
        accept_incomplete=accept_incomplete,
        begun_utc=site.clock.utc_iso(),
    )
    plan = replace(plan, step=first_step(site, plan))
    tx.save(plan_name(home), plan)
    if move is Move.TAKEOVER and is_gated(site):  # whoever takes over says that the partner is dead
        word = GateWord(reason=f"takeover of {home}", since_utc=plan.begun_utc, plan_id=plan.plan_id)
        tx.save(GATE_WORD, word)
    return plan


def _again(tx: Transaction, running: Plan, *, accept_incomplete: bool) -> Plan:
    """The same order once more: a step that failed is taken again."""
    accepts = running.accept_incomplete or accept_incomplete
    again = replace(running, fault=None, accept_incomplete=accepts)
    if again != running:
        tx.save(plan_name(running.home), again)
    return again


def resume(site: Site, home: str, *, accept_incomplete: bool = False) -> None:
    """Take the failed step of a plan again, whoever ordered it."""
    with site.store.transaction() as tx:
        plan = tx.load(Plan, plan_name(home))
        if plan is not None:
            _again(tx, plan, accept_incomplete=accept_incomplete)


def words_of_plan(plan: Plan) -> str:
    """The step at which a plan stands, and what it waits for, or why it failed."""
    state = f", FAILED: {plan.fault.code} {plan.fault.detail}" if plan.fault else ""
    return f"{plan.step}{state or (f', waits: {plan.waits_for}' if plan.waits_for else '')}"


def _problem(site: Site, tx: Transaction, move: Move, home: str, *, accept_incomplete: bool) -> PoolpairError | None:
    mine = load_serving(tx, home)
    here = serves(mine, site.pool, site.partner)
    server = serving_pool(mine.present, (site.pool, site.partner))
    if home not in site.homes:
        return PoolpairError(Code.USAGE, f"{home} is no pool of this pair")
    if mine.stopped is not None:
        return PoolpairError(mine.stopped.code, mine.stopped.detail)
    if move is Move.HANDOVER and not here:
        return PoolpairError(Code.USAGE, f"{served_by(site, home, f'by pool {server}')}, not here")
    if move is Move.HANDOVER and mine.open:
        return PoolpairError(
            Code.USAGE,
            f"{site.partner} has not handed in yet what it had written for {home}",
            "wait until it does: `poolpair status` says when it was heard last",
        )
    if move is Move.TAKEOVER and here:
        return PoolpairError(Code.USAGE, served_by(site, home, "here already"))
    if move is Move.TAKEOVER and not accept_incomplete and (lacking := lacks(tx, site, home)):
        return _incomplete(home, lacking)
    return None


def _incomplete(home: str, lacking: tuple[Channel, ...]) -> PoolpairError:
    return PoolpairError(Code.INCOMPLETE, f"the copy of {home} here is not complete on {', '.join(lacking)}")


def lacks(tx: Transaction, site: Site, home: str) -> tuple[Channel, ...]:
    """Channels on which the copy of a home here is not complete."""
    inbounds = {channel: tx.load(Inbound, inbound_name(channel)) or Inbound() for channel in site.channels}
    return tuple(channel for channel, inbound in inbounds.items() if home not in inbound.complete)


def advance(site: Site, tell: Callable[[str], None] = lambda _line: None) -> bool:
    """Take one step of each plan that can take one; `tell` hears of a step that failed. Raises STORE_LOCKED, LEASE."""
    moved = welcome(site)
    plans = site.store.read_all(Plan, plan_name("")).values()
    waiting = {plan.plan_id for plan in plans if plan.step is PlanStep.APPLY}
    for gone in site.memory.applying.keys() - waiting:  # given up, or another process's by now
        del site.memory.applying[gone]
    for plan in plans:
        if plan.step is PlanStep.DONE:
            continue
        site.store.refresh()
        over = site.serving(plan.home).present.reign_id != plan.reign_id
        with suppress(Overtaken):
            if over:
                moved |= _end(site, plan)
            elif plan.fault is None:
                moved |= _take(site, plan, tell)
    return moved


def _take(site: Site, plan: Plan, tell: Callable[[str], None]) -> bool:
    """Take a step; one that leads from the comparison to the fence is followed by the next at once, for the log grows meanwhile."""
    moved = STEPS[plan.step](site, plan)
    after = site.store.read(Plan, plan_name(plan.home))
    if after is not None and after.fault is not None and after.fault != plan.fault:
        tell(f"{after.move} of {plan.home}: {after.fault.code}: {after.fault.detail}")
    if after is not None and after.not_read != plan.not_read:
        tell(f"{after.move} of {plan.home}: goes on without what stands and could not be read: {after.not_read}")
    if plan.step is PlanStep.COMPARE and after is not None and after.step is PlanStep.FENCE:
        _take(site, after, tell)
    return moved


def give_up(site: Site, home: str) -> None:
    """Order that a plan be given up: a handover is undone, a takeover ends where it is. Raises USAGE if none is under way."""
    with site.store.transaction() as tx:
        give_up_within(tx, home)


def give_up_within(tx: Transaction, home: str) -> Plan:
    """The same in a transaction that has more to write."""
    plan = tx.load(Plan, plan_name(home))
    if plan is None or plan.step is PlanStep.DONE:
        raise PoolpairError(Code.USAGE, f"no failover or failback of {home} is under way here")
    undo = plan.move is Move.HANDOVER and plan.step is not PlanStep.AFTER_SERVE
    after = replace(plan, step=PlanStep.GIVE_UP if undo else PlanStep.DONE, waits_for="", fault=None)
    tx.save(plan_name(home), after)
    word = tx.load(GateWord, GATE_WORD)
    if word is not None and word.plan_id == plan.plan_id:
        tx.delete(GATE_WORD)
    return after


def _give_up(site: Site, plan: Plan) -> bool:
    """Before the final package that lifts the fence; after it, this pool takes over again, above the epoch that it handed out."""
    with stepping(site, plan, fencing=True) as tx:
        mine = load_serving(tx, plan.home)
        if serves(mine, site.pool, site.partner) and mine.fencing is Fencing.HANDING:
            begin_reign(site, tx, plan.home, "takeover", complete=True)
        elif serves(mine, site.pool, site.partner):
            tx.save(serving_name(plan.home), replace(mine, fencing=Fencing.NONE))
            fence(site, tx)
        forget_proof(site, tx)
        go(tx, plan, PlanStep.DONE)
    site.memory.gated.pop(plan.home, None)  # the plan's own hooks may have let the application go already
    return True


def _end(site: Site, plan: Plan) -> bool:
    with stepping(site, plan) as tx:
        forget_proof(site, tx)
        go(tx, plan, PlanStep.DONE)
    return True


def _before_fence(site: Site, plan: Plan) -> bool:
    why = hindrances(site, plan.home)
    return wait(site, plan, why) if why else run_hook(site, plan)


def _fence(site: Site, plan: Plan) -> bool:
    """Not before everything is in order at both ends: nobody is kept from writing while something else has to be mended first."""
    if why := hindrances(site, plan.home):
        return wait(site, plan, why)
    with stepping(site, plan, fencing=True) as tx:
        mine = load_serving(tx, plan.home)
        if not serves(mine, site.pool, site.partner):
            go(tx, plan, PlanStep.DONE)
            return True
        tx.save(serving_name(plan.home), replace(mine, fencing=Fencing.FENCED))
        fence(site, tx)
        go(tx, plan, next_step(site, plan))
    return True


def _drain(site: Site, plan: Plan) -> bool:
    if why := look_behind_fence(site, plan):
        return wait(site, plan, why)
    for channel in site.channels:
        if why := undrained(site, channel, plan.home):
            return wait(site, plan, why)
    return _hand(site, plan)


def _hand(site: Site, plan: Plan) -> bool:
    """From here on only another reign ends this one. The final package is a comparison that hands over if it finds both copies equal.

    Everything was compared before the fence: what changed since then is enough, if nothing came in between.
    """
    with stepping(site, plan) as tx:
        mine = load_serving(tx, plan.home)
        out = tx.load(Outbound, outbound_name(site.lead))
        assert out is not None
        tx.save(serving_name(plan.home), replace(mine, fencing=Fencing.HANDING))
        tx.save(outbound_name(site.lead), replace(out, seed=Seed(reason="handover", on_proof=True)))
        go(tx, plan, next_step(site, plan))
    return True


def _confirm(site: Site, plan: Plan) -> bool:
    """Wait for the partner's word that it serves. Whoever wrote into its copy of the files meanwhile is overruled before that."""
    mine = site.serving(plan.home)
    if serves(mine, site.pool, site.partner):
        if tampered(site):
            return mend_files(site, plan)
        out = site.store.read(Outbound, outbound_name(site.lead))
        if out is not None and out.seed is None and out.stopped is None and not out.in_flight:
            with stepping(site, plan) as tx:  # it was answered without being taken: ask again
                tx.save(outbound_name(site.lead), replace(out, seed=Seed(reason="handover")))
            return True
        return wait(site, plan, "the partner has not taken over yet")
    with stepping(site, plan) as tx:
        go(tx, plan, PlanStep.DONE)
    return True


def _serve(site: Site, plan: Plan) -> bool:
    with stepping(site, plan, fencing=True) as tx:
        mine = load_serving(tx, plan.home)
        if serves(mine, site.pool, site.partner):
            go(tx, plan, PlanStep.DONE)
            return True
        lacking = lacks(tx, site, plan.home)
        if lacking and not plan.accept_incomplete:
            # As for an order: nobody is taken over by a copy that becomes complete some day, from a partner that lives again.
            why = _incomplete(plan.home, lacking)
            tx.save(plan_name(plan.home), replace(plan, waits_for=why.detail, fault=site.fault(why)))
            return True
        fresh = begin_reign(site, tx, plan.home, "takeover", complete=not lacking)
        go(tx, replace(plan, reign_id=fresh.present.reign_id), next_step(site, plan))
    return True


STEPS: dict[PlanStep, Callable[[Site, Plan], bool]] = {
    PlanStep.COMPARE: compare_first,
    PlanStep.BEFORE_FENCE: _before_fence,
    PlanStep.FENCE: _fence,
    PlanStep.AFTER_FENCE: run_hook,
    PlanStep.DRAIN: _drain,
    PlanStep.CONFIRM: _confirm,
    PlanStep.BEFORE_APPLY: run_hook,
    PlanStep.APPLY: apply_what_stands,
    PlanStep.AFTER_APPLY: run_hook,
    PlanStep.BEFORE_SERVE: run_hook,
    PlanStep.SERVE: _serve,
    PlanStep.AFTER_SERVE: run_hook,
    PlanStep.GIVE_UP: _give_up,
}
