"""Asks are made, taken up, carried out and answered here, by whichever process holds the lease; they travel in cookies.

An ask is taken up once: in one transaction the partner notes its id with the answer and, if it accepts, writes the plan. It does so only
on a fresh word, one that echoes a nonce of its own running service, so that a replayed or forgotten cookie begins nothing; and only
in the reign in which the ask was made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from poolpair.asks import (
    ASK_LIES_S,
    MADE,
    TAKEN,
    AskAnswer,
    AskMade,
    AskTaken,
    AskVerb,
    is_open,
    made_name,
    taken_name,
)
from poolpair.errors import CATALOGUE, Code, PoolpairError
from poolpair.model import Ask, Cookie, new_id, serving_pool
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.pipeline.fence import load_serving
from poolpair.pipeline.site import Site, outbound_name
from poolpair.serving.plan import advance, give_up_within, order_within, words_of_plan
from poolpair.serving.resolving import carry_out
from poolpair.serving.words import served_by, them
from poolpair.state import Outbound
from poolpair.status import SILENT_AFTER_S
from poolpair.store.port import Transaction

REFUSALS = frozenset({Code.USAGE, Code.INCOMPLETE, Code.STORE_SET_BACK})
FORGOTTEN = "its store was set back, and it does not know any more what came of this"


def attend(site: Site, tell: Callable[[str], None] = lambda _line: None) -> bool:
    """Hear what came of our asks, take up the partner's, take a step of each plan, decide what the ledger's orders say.

    `tell` hears of a step that failed.

    Raises STORE_LOCKED, LEASE.
    """
    out = site.store.read(Outbound, outbound_name(site.lead))
    partner = out.partner if out is not None else None
    heard = _hear_answers(site, partner)
    taken = _take_up(site, partner)
    moved = advance(site, tell)
    return any((heard, taken, moved, _follow_plans(site), carry_out(site)))


def make_ask(site: Site, verb: AskVerb, home: str) -> Ask:
    """Leave an ask for the partner; one that is open already is the same. Raises USAGE if it makes no sense now."""
    with site.store.transaction() as tx:
        present = load_serving(tx, home).present
        before = tx.load(AskMade, made_name(home))
        open_one = before.ask if before and is_open(before.ask) and before.ask.reign_id == present.reign_id else None
        if open_one is not None and open_one.verb == verb and not open_one.hint:
            return open_one  # one that failed over there is asked for anew: the step that failed is then taken again
        problem = _problem(site, tx, verb, home, open_one)
        if problem:
            raise PoolpairError(Code.USAGE, problem)
        now_utc = site.clock.utc_iso()
        ask = Ask(
            ask_id=new_id(),
            verb=verb,
            home=home,
            epoch=present.epoch,
            reign_id=present.reign_id,
            since_utc=now_utc,
            expires_utc=(datetime.fromisoformat(now_utc) + timedelta(seconds=ASK_LIES_S)).isoformat(),
            withdraws=open_one.ask_id if open_one and open_one.verb != verb else "",
        )
        tx.save(made_name(home), AskMade(ask=ask, made_s=site.clock.monotonic_s(), boot_id=site.clock.boot_id()))
    return ask


def _problem(site: Site, tx: Transaction, verb: AskVerb, home: str, open_one: Ask | None) -> str:
    mine, plan = load_serving(tx, home), tx.load(Plan, plan_name(home))
    if home not in site.homes:
        return f"{home} is no pool of this pair"
    if mine.stopped is not None:
        return f"{mine.stopped.code}: {mine.stopped.detail}"
    if serving_pool(mine.present, (site.pool, site.partner)) == site.pool:
        return f"{served_by(site, home, 'here')}: there is nobody to be asked"
    if plan is not None and plan.step is not PlanStep.DONE:
        return f"a {plan.move} of {home} is under way here, at the step: {plan.step}"
    if verb is AskVerb.HANDOVER and open_one is not None and open_one.verb == AskVerb.GIVE_UP:
        return f"{site.partner} is asked to give up the handover of {home}; wait for its answer"
    return ""


def _hear_answers(site: Site, partner: Cookie | None) -> bool:
    moved = False
    for name, made in site.store.read_all(AskMade, MADE).items():
        if not is_open(made.ask) and made.ask.answer != AskAnswer.WITHDRAWN:
            continue
        after = replace(made, ask=_judged(site, made, partner))
        if after != made:
            with site.store.transaction() as tx:
                if tx.load(AskMade, name) == made:
                    tx.save(name, after)
                    moved = True
    return moved


def _judged(site: Site, made: AskMade, partner: Cookie | None) -> Ask:
    """What is known of our ask now: by the partner's word, by who serves, or by the time that went by."""
    ask = made.ask
    for found in partner.answers if partner else ():
        if found.ask_id == ask.ask_id:
            ask = replace(ask, answer=found.answer, detail=found.detail, hint=found.hint)
    if not is_open(ask):
        return ask
    present = site.serving(ask.home).present
    is_over = present.reign_id != ask.reign_id
    if ask.answer is not None and not is_over:
        return ask
    plan = site.store.read(Plan, plan_name(ask.home))
    if is_over:
        here = serving_pool(present, (site.pool, site.partner)) == site.pool
        if ask.verb == AskVerb.HANDOVER or not here:
            wished = here is (ask.verb == AskVerb.HANDOVER)
            return _ended(ask, wished, f"who serves {them(site, ask.home)} changed meanwhile")
        # Given up or not: after the final package only the partner knows, and it takes over again if it is.
    elif plan is not None and plan.step is not PlanStep.DONE:
        return replace(ask, answer=AskAnswer.WITHDRAWN, detail=f"a {plan.move} was ordered here")
    if not _lies(site, made):
        detail = f"{site.partner} did not answer for {ASK_LIES_S / 60:.0f} minutes"
        return replace(ask, answer=AskAnswer.WITHDRAWN, detail=detail)
    return ask


def _lies(site: Site, made: AskMade) -> bool:
    """Whether its operator may still wait; of one made on another machine, or before this one was restarted, only the date tells."""
    if made.boot_id == site.clock.boot_id():
        return site.clock.monotonic_s() - made.made_s <= ASK_LIES_S
    since_utc, now_utc, expires_utc = map(
        datetime.fromisoformat, (made.ask.since_utc, site.clock.utc_iso(), made.ask.expires_utc)
    )
    return abs(now_utc - since_utc) <= expires_utc - since_utc


def _ended(ask: Ask, wished: bool, why_not: str) -> Ask:
    if wished:
        return replace(ask, answer=AskAnswer.DONE, detail="", hint="")
    return replace(ask, answer=AskAnswer.ABORTED, detail=why_not, hint="")


def _take_up(site: Site, partner: Cookie | None) -> bool:
    """Begin or refuse what the partner asks for, if its word is fresh; what was answered once is left alone."""
    if partner is None or not partner.asks or not _is_fresh(site, partner):
        return False
    moved = False
    for ask in partner.asks:
        if site.store.read(AskTaken, taken_name(ask.ask_id)) is None:
            with site.store.transaction() as tx:
                _forget_old(tx)
                tx.save(taken_name(ask.ask_id), _answered(site, tx, ask))
            moved = True
    return moved


def _is_fresh(site: Site, partner: Cookie) -> bool:
    """Written a short while ago: it echoes a nonce of this very process. An older word may speak of what was withdrawn since."""
    written_s = site.memory.written.get(partner.echo)
    fresh_s = max(SILENT_AFTER_S, 3 * site.limits.heartbeat_s)
    return written_s is not None and site.clock.monotonic_s() - written_s < fresh_s


def _answered(site: Site, tx: Transaction, ask: Ask) -> AskTaken:
    if ask.answer is not None:
        return AskTaken(ask=replace(ask, answer=AskAnswer.ABORTED, detail=FORGOTTEN))
    try:
        return CARRY_OUT[AskVerb(ask.verb)](site, tx, ask)
    except ValueError:
        return _refused(ask, f"its release knows no {ask.verb!r}")
    except PoolpairError as error:
        if error.code not in REFUSALS:
            raise
        return _refused(ask, error.detail if error.code is Code.USAGE else f"{error.code}: {error.detail}", error.hint)


def _refused(ask: Ask, detail: str, hint: str = "") -> AskTaken:
    return AskTaken(ask=replace(ask, answer=AskAnswer.REFUSED, detail=detail, hint=hint))


def _check_reign(site: Site, tx: Transaction, ask: Ask) -> None:
    if ask.home in site.homes and load_serving(tx, ask.home).present.reign_id != ask.reign_id:
        raise PoolpairError(Code.USAGE, f"who serves {them(site, ask.home)} changed since this was asked")


def _hand_over(site: Site, tx: Transaction, ask: Ask) -> AskTaken:
    _check_reign(site, tx, ask)
    plan = order_within(site, tx, Move.HANDOVER, ask.home)
    return AskTaken(ask=replace(ask, answer=AskAnswer.ACCEPTED, detail=words_of_plan(plan)), plan_id=plan.plan_id)


def _give_up(site: Site, tx: Transaction, ask: Ask) -> AskTaken:
    """An ask that was not taken up never will be; else what it began, or somebody here, is given up."""
    early = bool(ask.withdraws) and tx.load(AskTaken, taken_name(ask.withdraws)) is None
    if early:
        withdrawn = replace(ask, ask_id=ask.withdraws, verb=AskVerb.HANDOVER, withdraws="", answer=AskAnswer.WITHDRAWN)
        tx.save(taken_name(ask.withdraws), AskTaken(ask=withdrawn))
    _check_reign(site, tx, ask)
    plan = tx.load(Plan, plan_name(ask.home))
    if early and (plan is None or plan.step is PlanStep.DONE):
        return AskTaken(ask=replace(ask, answer=AskAnswer.DONE, detail="it had not begun"))
    if plan is not None and plan.move is not Move.HANDOVER and plan.step is not PlanStep.DONE:
        raise PoolpairError(Code.USAGE, f"no handover of {ask.home} is under way, but a {plan.move}")
    plan = give_up_within(tx, ask.home)
    return AskTaken(ask=replace(ask, answer=AskAnswer.ACCEPTED, detail=words_of_plan(plan)), plan_id=plan.plan_id)


CARRY_OUT: dict[AskVerb, Callable[[Site, Transaction, Ask], AskTaken]] = {
    AskVerb.HANDOVER: _hand_over,
    AskVerb.GIVE_UP: _give_up,
}


def _follow_plans(site: Site) -> bool:
    """Keep the answers to what is under way as they are now, for the next cookie."""
    moved = False
    for name, taken in site.store.read_all(AskTaken, TAKEN).items():
        if taken.ask.answer != AskAnswer.ACCEPTED:
            continue
        after = replace(taken, ask=_come_to(site, taken))
        if after != taken:
            with site.store.transaction() as tx:
                tx.save(name, after)
            moved = True
    return moved


def _come_to(site: Site, taken: AskTaken) -> Ask:
    ask = taken.ask
    plan = site.store.read(Plan, plan_name(ask.home))
    if plan is not None and plan.plan_id == taken.plan_id and plan.step is not PlanStep.DONE:
        return replace(ask, detail=words_of_plan(plan), hint=CATALOGUE[plan.fault.code].hint if plan.fault else "")
    here = serving_pool(site.serving(ask.home).present, (site.pool, site.partner)) == site.pool
    if ask.verb == AskVerb.HANDOVER:
        return _ended(ask, not here, "it was given up")
    return _ended(ask, here, f"it came too late, by then {served_by(site, ask.home, 'there')}")


def _forget_old(tx: Transaction) -> None:
    """Answers of an earlier reign: an ask made in it is refused for that alone."""
    for name in tx.names(TAKEN):
        taken = tx.load(AskTaken, name)
        if taken and not is_open(taken.ask) and taken.ask.reign_id != load_serving(tx, taken.ask.home).present.reign_id:
            tx.delete(name)
