"""What the operators of both pools decide, through the same documents as the commands."""

from __future__ import annotations

from collections.abc import Callable

from poolpair import decisions
from poolpair.errors import Code, PoolpairError
from poolpair.format.keys import KeyRing
from poolpair.model import Channel
from poolpair.pipeline.site import Site, inbound_name, outbound_name
from poolpair.state import Inbound, Outbound
from poolpair.testing.schema import CHANNELS
from poolpair.testing.steps import Step
from poolpair.testing.world import World

NOTHING_HELD = "nothing is held"
NOTHING_PARKED = "nothing is parked"


def _decide(world: World, step: Step, decide: Callable[[Site], str]) -> str:
    """A command opens the store itself; while another transaction is open it waits, which here means: not done."""
    site = world.commander(world.pools[step.pool])
    try:
        return decide(site)
    except PoolpairError as error:
        if error.code is Code.USAGE:
            return NOTHING_HELD
        if error.code is not Code.STORE_LOCKED:
            raise
        return "waits for the lock"
    finally:
        site.store.close()


def held_apply(world: World, step: Step) -> str:
    """The deletions are meant."""

    def approve(site: Site, channel: Channel) -> None:
        inbound = site.store.read(Inbound, inbound_name(channel))
        decisions.approve_held(site, channel)
        if inbound and inbound.held:
            world.truth.approved.add(inbound.held.position.package_id)

    return _decide(world, step, lambda site: _held(site, approve))


def held_refuse(world: World, step: Step) -> str:
    """The deletions are not meant: the partner's channel stops until its operator goes on."""
    return _decide(world, step, lambda site: _held(site, decisions.refuse_held))


def _held(site: Site, decide: Callable[[Site, Channel], None]) -> str:
    held = [
        channel for channel in CHANNELS if (found := site.store.read(Inbound, inbound_name(channel))) and found.held
    ]
    for channel in held:
        decide(site, channel)
    return " ".join(held) or NOTHING_HELD


def parked_retry(world: World, step: Step) -> str:
    """Try every parked group again."""

    def decide(site: Site) -> str:
        reasons = [reason for _, reason in decisions.retry_parked(site)]
        return f"{reasons.count(None)} of {len(reasons)}" if reasons else NOTHING_PARKED

    return _decide(world, step, decide)


def parked_drop(world: World, step: Step) -> str:
    """Forget one parked group: the copy lacks it, knowingly."""
    pool = world.pools[step.pool]

    def decide(site: Site) -> str:
        groups = site.store.parked()
        if not groups:
            return NOTHING_PARKED
        before = set(pool.database.view().parked)
        decisions.drop_parked(site, groups[step.number % len(groups)].group_id)
        dropped = before - set(pool.database.view().parked)
        world.truth.spoilt[pool.name] |= dropped
        world.truth.accounts.give_up_groups(dropped)
        world.acted(pool)
        return "dropped"

    return _decide(world, step, decide)


def setback_ours(world: World, step: Step) -> str:
    """The store that was set back wins; or, where its partner has taken everybody over, it may yield."""

    def decide(site: Site) -> str:
        yields = step.number % 2 and not decisions.not_yielded(site)
        return " ".join((decisions.yield_to_partner if yields else decisions.overrule_partner)(site)) or "not set back"

    return _decide(world, step, decide)


def verify(world: World, step: Step) -> str:
    """Compare the partner's copy with ours, with repair or without."""

    def decide(site: Site) -> str:
        for channel in CHANNELS:
            decisions.begin_verify(site, channel, repair=step.number % 3 != 0)
        return "repair" if step.number % 3 else "compare"

    return _decide(world, step, decide)


def pause(world: World, step: Step) -> str:
    """The line is needed for something else: nothing is sent on one channel, or on any, until somebody resumes."""

    def decide(site: Site) -> str:
        chosen = (CHANNELS, CHANNELS[:1], CHANNELS[1:])[step.number % 3]
        decisions.pause(site, chosen, "the line is needed")
        return " ".join(chosen)

    return _decide(world, step, decide)


def resume(world: World, step: Step) -> str:
    """After the partner's operator refused a package, ours says: go on; and whatever was paused is sent."""

    def decide(site: Site) -> str:
        outs = [site.store.read(Outbound, outbound_name(channel)) for channel in CHANNELS]
        decisions.resume_refused(site, CHANNELS)
        decisions.resume(site, CHANNELS)
        stopped = [out for out in outs if out and out.stopped and out.stopped.code is Code.REFUSED_BY_PARTNER]
        return f"{len(stopped)} channels" if stopped else "not stopped"

    return _decide(world, step, decide)


def key_add(world: World, step: Step) -> str:
    """Give a pool the next secret as its second one; a running service has it at once."""
    pool = world.pools[step.pool]
    if len(pool.ring.secrets) > 1:
        return "has it"
    pool.ring = KeyRing.of(pool.ring.pair_id, pool.ring.secrets[0].secret, world.spare)
    return "added"


def key_activate(world: World, step: Step) -> str:
    """Once both pools have both secrets, this one seals with the new one; the old one still opens."""
    pool = world.pools[step.pool]
    if any(len(each.ring.secrets) < 2 for each in world.pools.values()):
        return "too early"
    first, second = pool.ring.secrets[:2]
    pool.ring = KeyRing.of(pool.ring.pair_id, second.secret, first.secret)
    return "activated"
