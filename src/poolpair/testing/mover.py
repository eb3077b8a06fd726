"""Operators who move homes from pool to pool, and decide on the ledger, through the same documents as the commands."""

from __future__ import annotations

from collections.abc import Callable

from poolpair.asks import AskVerb
from poolpair.errors import Code, PoolpairError
from poolpair.moves import Move
from poolpair.pipeline.site import Site
from poolpair.serving.asks import make_ask
from poolpair.serving.plan import give_up as give_up_plan
from poolpair.serving.plan import order
from poolpair.serving.resolving import resolve_entry
from poolpair.store.ledger_files import FILES
from poolpair.store.values import Choice
from poolpair.testing.schema import POOLS
from poolpair.testing.steps import Step
from poolpair.testing.world import World

NOTHING_TO_DO = "nothing to do"
REFUSALS = frozenset({Code.USAGE, Code.INCOMPLETE, Code.STORE_SET_BACK, Code.LEDGER_MOVED, Code.TREE, Code.PARKED})


def _decide(world: World, step: Step, decide: Callable[[Site], str]) -> str:
    site = world.commander(world.pools[step.pool])
    try:
        return decide(site)
    except PoolpairError as error:
        if error.code in REFUSALS:
            return NOTHING_TO_DO
        if error.code is not Code.STORE_LOCKED:
            raise
        return "waits for the lock"
    finally:
        site.store.close()


def _home(step: Step) -> str:
    """Mostly the users of pool a, so that moves meet each other."""
    return POOLS[step.number % 4 == 0]


def handover(world: World, step: Step) -> str:
    """A planned failover or failback, ordered at the pool that serves, or asked of it at the other."""

    def decide(site: Site) -> str:
        home = _home(step)
        if home in site.served():
            return order(site, Move.HANDOVER, home).step
        make_ask(site, AskVerb.HANDOVER, home)
        return "asked"

    return _decide(world, step, decide)


def takeover(world: World, step: Step) -> str:
    """A disaster failover, ordered at the other pool; sometimes of a copy that is not complete."""
    incomplete = step.number % 3 == 0
    return _decide(world, step, lambda site: order(site, Move.TAKEOVER, _home(step), accept_incomplete=incomplete).step)


def give_up(world: World, step: Step) -> str:
    """The handover is given up, wherever it stands, at either pool."""

    def decide(site: Site) -> str:
        home = _home(step)
        if home in site.served():
            give_up_plan(site, home)
            return "given up"
        make_ask(site, AskVerb.GIVE_UP, home)
        return "asked"

    return _decide(world, step, decide)


def ledger(world: World, step: Step) -> str:
    """Decide on one undecided entry of a home that is served here."""

    def decide(site: Site) -> str:
        served = site.served()
        entries = [entry for entry in site.store.ledger() if not entry.state.is_decided and entry.home in served]
        if not entries:
            return NOTHING_TO_DO
        choice = Choice.THEIRS if step.number % 2 else Choice.OURS
        entry = entries[step.number % len(entries)]
        if entry.table == FILES and step.number % 3 == 0:
            choice = Choice.BOTH
        resolve_entry(site, entry, choice)
        return choice

    return _decide(world, step, decide)
