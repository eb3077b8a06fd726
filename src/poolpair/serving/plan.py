"""Plans: what an operator ordered for one home, as a list of named, idempotent steps whose cursor is stored.

A command only writes the plan; the process that holds the lease takes its steps, one look after the other, between passes along the
line. So a plan survives the death of everybody, and nobody but that process ever changes who serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, new_id, serving_pool
from poolpair.pipeline.adopt import begin_reign, fence, load_serving
from poolpair.pipeline.site import Counts, Site, counts_name, inbound_name, outbound_name, serving_name
from poolpair.reigns import serves
from poolpair.state import Fencing, Inbound, Move, Outbound, Plan, PlanStep, Seed, plan_name
from poolpair.store.port import Transaction


def order(site: Site, move: Move, home: str, *, accept_incomplete: bool = False) -> Plan:
    """Write a plan. Raises USAGE if it makes no sense now, INCOMPLETE for a takeover of less than the partner had."""
    with site.store.transaction() as tx:
        return order_within(site, tx, move, home, accept_incomplete=accept_incomplete)


def order_within(site: Site, tx: Transaction, move: Move, home: str, *, accept_incomplete: bool = False) -> Plan:
    """The same in a transaction that has more to write; nothing is written if it raises."""
    running = tx.load(Plan, plan_name(home))
    if running is not None and running.step is not PlanStep.DONE:
        if running.move is move:
            return running
        raise PoolpairError(Code.USAGE, f"a {running.move} of {home} is under way, at the step: {running.step}")
    problem = _problem(site, tx, move, home, accept_incomplete=accept_incomplete)
    if problem is not None:
        raise problem
    first = PlanStep.FENCE if move is Move.HANDOVER else PlanStep.APPLY
    plan = Plan(
        plan_id=new_id(),
        move=move,
        home=home,
        step=first,
        reign_id=load_serving(tx, home).present.reign_id,
        accept_incomplete=accept_incomplete,
        begun_utc=site.clock.utc_iso(),
    )
    tx.save(plan_name(home), plan)
    return plan


def words_of_plan(plan: Plan) -> str:
    """The step at which a plan stands, and what it waits for."""
    return f"{plan.step}{f', waits: {plan.waits_for}' if plan.waits_for else ''}"


def _problem(site: Site, tx: Transaction, move: Move, home: str, *, accept_incomplete: bool) -> PoolpairError | None:
    mine = load_serving(tx, home)
    here = serves(mine, site.pool, site.partner)
    server = serving_pool(mine.present, (site.pool, site.partner))
    if home not in site.homes:
        return PoolpairError(Code.USAGE, f"{home} is no pool of this pair")
    if mine.stopped is not None:
        return PoolpairError(mine.stopped.code, mine.stopped.detail)
    if move is Move.HANDOVER and not here:
        return PoolpairError(Code.USAGE, f"the users of {home} are served by pool {server}, not here")
    if move is Move.HANDOVER and mine.open:
        return PoolpairError(
            Code.USAGE, f"{site.partner} has not handed in yet what it had written for {home}", "wait for it"
        )
    if move is Move.TAKEOVER and here:
        return PoolpairError(Code.USAGE, f"this pool serves the users of {home} already")
    if move is Move.TAKEOVER and not accept_incomplete and (lacking := lacks(tx, site, home)):
        return PoolpairError(Code.INCOMPLETE, f"the copy of {home} here is not complete on {', '.join(lacking)}")
    return None


def lacks(tx: Transaction, site: Site, home: str) -> tuple[Channel, ...]:
    """Channels on which the copy of a home here is not complete."""
    inbounds = {channel: tx.load(Inbound, inbound_name(channel)) or Inbound() for channel in site.channels}
    return tuple(channel for channel, inbound in inbounds.items() if home not in inbound.complete)


def advance(site: Site) -> bool:
    """Take one step of each plan that can take one. Raises STORE_LOCKED, LEASE."""
    moved = False
    for plan in site.store.read_all(Plan, plan_name("")).values():
        if plan.step is not PlanStep.DONE:
            site.store.refresh()
            over = site.serving(plan.home).present.reign_id != plan.reign_id
            with suppress(_Overtaken):
                moved |= _end(site, plan) if over else STEPS[plan.step](site, plan)
    return moved


def give_up(site: Site, home: str) -> None:
    """Order that a handover be given up. Raises USAGE if none is under way."""
    with site.store.transaction() as tx:
        give_up_within(tx, home)


def give_up_within(tx: Transaction, home: str) -> Plan:
    """The same in a transaction that has more to write."""
    plan = tx.load(Plan, plan_name(home))
    if plan is None or plan.move is not Move.HANDOVER or plan.step is PlanStep.DONE:
        raise PoolpairError(Code.USAGE, f"no handover of {home} is under way here")
    plan = replace(plan, step=PlanStep.GIVE_UP, waits_for="")
    tx.save(plan_name(home), plan)
    return plan


def _give_up(site: Site, plan: Plan) -> bool:
    """Before the final package that lifts the fence; after it, this pool takes over again, above the epoch that it handed out."""
    with _stepping(site, plan, fencing=True) as tx:
        mine = load_serving(tx, plan.home)
        if serves(mine, site.pool, site.partner) and mine.fencing is Fencing.HANDING:
            begin_reign(site, tx, plan.home, "takeover", complete=True)
        elif serves(mine, site.pool, site.partner):
            tx.save(serving_name(plan.home), replace(mine, fencing=Fencing.NONE))
            fence(site, tx)
        _go(tx, plan, PlanStep.DONE)
    return True


@contextmanager
def _stepping(site: Site, plan: Plan, *, fencing: bool = False) -> Iterator[Transaction]:
    """One step's transaction; nothing happens if somebody changed the plan meanwhile."""
    with site.store.transaction(fencing=fencing) as tx:
        if tx.load(Plan, plan_name(plan.home)) != plan:
            raise _Overtaken
        yield tx
    site.memory.serving.clear()


class _Overtaken(Exception):
    """The plan is not what it was: the next look sees what it is now."""


def _go(tx: Transaction, plan: Plan, step: PlanStep) -> None:
    tx.save(plan_name(plan.home), replace(plan, step=step, waits_for=""))


def _end(site: Site, plan: Plan) -> bool:
    with _stepping(site, plan) as tx:
        _go(tx, plan, PlanStep.DONE)
    return True


def _wait(site: Site, plan: Plan, why: str) -> bool:
    if plan.waits_for != why:
        with _stepping(site, plan) as tx:
            tx.save(plan_name(plan.home), replace(plan, waits_for=why))
    return False


def _fence(site: Site, plan: Plan) -> bool:
    """Not before everything is in order at both ends: nobody is kept from writing while something else has to be mended first."""
    for channel in site.channels:
        if why := hindrance(site, channel, plan.home):
            return _wait(site, plan, why)
    with _stepping(site, plan, fencing=True) as tx:
        mine = load_serving(tx, plan.home)
        if not serves(mine, site.pool, site.partner):
            _go(tx, plan, PlanStep.DONE)
            return True
        tx.save(serving_name(plan.home), replace(mine, fencing=Fencing.FENCED))
        fence(site, tx)
        _go(tx, plan, PlanStep.DRAIN)
    return True


def _drain(site: Site, plan: Plan) -> bool:
    for channel in site.channels:
        if why := undrained(site, channel, plan.home):
            return _wait(site, plan, why)
    return _hand(site, plan)


def undrained(site: Site, channel: Channel, home: str) -> str:
    """Why the partner's copy of a home is not known to be whole and equal on a channel; empty if it is."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None or out.partner is None or out.acknowledged is None:
        return f"{channel}: no word from the partner yet"
    if out.stopped is not None:
        return f"{channel}: stopped, {out.stopped.detail}"
    if out.seed is not None or home not in out.partner.complete:
        return f"{channel}: the partner's copy is being compared"
    if out.in_flight or site.store.pending(channel, out.base_token):
        return f"{channel}: changes are on their way"
    return hindrance(site, channel, home)


def hindrance(site: Site, channel: Channel, home: str) -> str:
    """What time alone does not mend before a home can be handed over; empty if nothing stands in the way."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None or out.partner is None:
        return f"{channel}: no word from the partner yet"
    if out.stopped is not None:
        return f"{channel}: stopped, {out.stopped.detail}"
    if home not in out.partner.complete:
        return f"{channel}: the partner's copy is not complete"
    if out.partner.parked or out.partner.held or out.partner.spooled:
        return f"{channel}: the partner has groups parked, held or not yet handed in"
    if out.partner.foreign_writes:
        return f"{channel}: somebody wrote into the partner's copy; `poolpair verify --repair` puts that right"
    counts = site.store.read(Counts, counts_name(channel)) or Counts()
    if counts.left_behind or counts.unreadable:
        return f"{channel}: {', '.join((*counts.left_behind, *counts.unreadable)[:3])} cannot be carried"
    return ""


def _hand(site: Site, plan: Plan) -> bool:
    """From here on only another reign ends this one. The final package is a comparison that hands over if it finds both copies equal."""
    with _stepping(site, plan) as tx:
        mine = load_serving(tx, plan.home)
        out = tx.load(Outbound, outbound_name(Channel.USERS))
        assert out is not None
        tx.save(serving_name(plan.home), replace(mine, fencing=Fencing.HANDING))
        tx.save(outbound_name(Channel.USERS), replace(out, seed=Seed(reason="handover")))
        _go(tx, plan, PlanStep.CONFIRM)
    return True


def _confirm(site: Site, plan: Plan) -> bool:
    mine = site.serving(plan.home)
    if serves(mine, site.pool, site.partner):
        out = site.store.read(Outbound, outbound_name(Channel.USERS))
        if out is not None and out.seed is None and out.stopped is None and not out.in_flight:
            with _stepping(site, plan) as tx:  # it was answered without being taken: ask again
                tx.save(outbound_name(Channel.USERS), replace(out, seed=Seed(reason="handover")))
            return True
        return _wait(site, plan, "the partner has not taken over yet")
    with _stepping(site, plan) as tx:
        _go(tx, plan, PlanStep.DONE)
    return True


def _apply(site: Site, plan: Plan) -> bool:
    """The pass before this step applied what could be applied."""
    with _stepping(site, plan) as tx:
        _go(tx, plan, PlanStep.SERVE)
    return True


def _serve(site: Site, plan: Plan) -> bool:
    with _stepping(site, plan, fencing=True) as tx:
        mine = load_serving(tx, plan.home)
        if serves(mine, site.pool, site.partner):
            _go(tx, plan, PlanStep.DONE)
            return True
        lacking = lacks(tx, site, plan.home)
        if lacking and not plan.accept_incomplete:
            tx.save(plan_name(plan.home), replace(plan, waits_for=f"the copy is not complete on {', '.join(lacking)}"))
            return False
        begin_reign(site, tx, plan.home, "takeover", complete=not lacking)
        _go(tx, plan, PlanStep.DONE)
    return True


STEPS: dict[PlanStep, Callable[[Site, Plan], bool]] = {
    PlanStep.FENCE: _fence,
    PlanStep.DRAIN: _drain,
    PlanStep.CONFIRM: _confirm,
    PlanStep.APPLY: _apply,
    PlanStep.SERVE: _serve,
    PlanStep.GIVE_UP: _give_up,
}
