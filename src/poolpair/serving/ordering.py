"""What a failover or failback that somebody orders comes to, given the state of this pool: the same for a command and for a request.

`act_for` only looks; `carry_out` then writes what the service will do. Neither waits.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from poolpair.asks import AskVerb
from poolpair.errors import Code, PoolpairError
from poolpair.model import serving_pool
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.pipeline.site import Site
from poolpair.serving.asks import make_ask
from poolpair.serving.hooked import target_of
from poolpair.serving.plan import give_up, order, resume


class Act(StrEnum):
    """What is to be done about an order."""

    NOTHING = "nothing"
    """The users are served there already."""
    ORDER = "order"
    """A plan of this pool's."""
    RESUME = "resume"
    """A step of such a plan failed, and is taken again."""
    GIVE_UP = "give up"
    ASK = "ask"
    """The pool that serves the users carries it out."""
    ASK_TO_GIVE_UP = "ask to give up"

    @property
    def is_asked(self) -> bool:
        """The partner does it."""
        return self in {Act.ASK, Act.ASK_TO_GIVE_UP}

    @property
    def begins(self) -> bool:
        """Something new begins, of which the price should be known."""
        return self in {Act.ORDER, Act.ASK}


def act_for(site: Site, home: str, *, away: bool, disaster: bool, abort: bool = False) -> Act:
    """What `failover` (away) or `failback` of a home means here and now. Raises USAGE if it makes no sense at this pool."""
    target = target_pool(site, home, away=away)
    plan = _running(site, home)
    asks = not disaster and home not in site.served() and plan is None
    if abort:
        return Act.ASK_TO_GIVE_UP if asks else Act.GIVE_UP
    if not asks and plan is not None and plan.fault is not None and target_of(site, plan) == target:
        return Act.RESUME
    if disaster and target != site.pool:  # whoever serves there may be the dead one: that is no reason to be content
        raise PoolpairError(
            Code.USAGE, f"{target} is to take over, and this is pool {site.pool}", _which_way(site, home, target)
        )
    if plan is None and serving_pool(site.serving(home).present, (site.pool, site.partner)) == target:
        return Act.NOTHING
    return Act.ASK if asks else Act.ORDER


def _which_way(site: Site, home: str, target: str) -> str:
    """What the command may have been meant to be."""
    hint = f"if {target} lives, give this command there, or leave --disaster out"
    if home in site.served():
        return hint
    here = f"{'failback' if home == site.pool else 'failover'} {home} --disaster"
    return f"{hint}; if {target} is dead, `{here}` lets them be served here"


def move_of(*, disaster: bool) -> Move:
    """What is done with the home."""
    return Move.TAKEOVER if disaster else Move.HANDOVER


def carry_out(site: Site, act: Act, home: str, *, disaster: bool, accept_incomplete: bool = False) -> None:
    """Write what the service, here or at the partner, is to do. Raises USAGE, INCOMPLETE."""
    carriers: dict[Act, Callable[[], object]] = {
        Act.ORDER: lambda: order(site, move_of(disaster=disaster), home, accept_incomplete=accept_incomplete),
        Act.RESUME: lambda: resume(site, home, accept_incomplete=accept_incomplete),
        Act.GIVE_UP: lambda: give_up(site, home),
        Act.ASK: lambda: make_ask(site, AskVerb.HANDOVER, home),
        Act.ASK_TO_GIVE_UP: lambda: make_ask(site, AskVerb.GIVE_UP, home),
        Act.NOTHING: lambda: None,
    }
    carriers[act]()


def target_pool(site: Site, home: str, *, away: bool) -> str:
    """The pool that shall serve a home. Raises USAGE for a home of another pair."""
    if home not in site.homes:
        raise PoolpairError(Code.USAGE, f"{home} is no pool of this pair ({' and '.join(site.homes)})")
    partner_of = site.partner if home == site.pool else site.pool
    return partner_of if away else home


def _running(site: Site, home: str) -> Plan | None:
    plan = site.store.read(Plan, plan_name(home))
    return plan if plan is not None and plan.step is not PlanStep.DONE else None
