"""What the operators of both pools decide, through the same documents as the commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.format.keys import KeyRing
from poolpair.format.layout import data_dir, package_name
from poolpair.model import Channel, RefusedPackage, new_id
from poolpair.pipeline.receive import REFUSED_KEPT
from poolpair.pipeline.site import inbound_name, outbound_name
from poolpair.state import Inbound, Outbound, Seed
from poolpair.store.port import Store, Transaction
from poolpair.testing.schema import CHANNELS
from poolpair.testing.steps import Step
from poolpair.testing.world import Pool, World


def _at_store(world: World, step: Step, act: Callable[[Pool, Store], str]) -> str:
    """A command opens the store itself; while another transaction is open it waits, which here means: not done."""
    pool = world.pools[step.pool]
    store = pool.database.open(pool.clock)
    try:
        return act(pool, store)
    except PoolpairError as error:
        if error.code is not Code.STORE_LOCKED:
            raise
        return "waits for the lock"
    finally:
        store.close()


def held_apply(world: World, step: Step) -> str:
    """The deletions are meant."""

    def act(_pool: Pool, store: Store) -> str:
        return " ".join(f"{channel}" for channel in CHANNELS if _approve(store, channel)) or "nothing is held"

    return _at_store(world, step, act)


def _approve(store: Store, channel: Channel) -> bool:
    with store.transaction() as tx:
        inbound = tx.load(Inbound, inbound_name(channel))
        if inbound is None or inbound.held is None:
            return False
        tx.save(inbound_name(channel), replace(inbound, held=replace(inbound.held, approved=True)))
    return True


def held_refuse(world: World, step: Step) -> str:
    """The deletions are not meant: the partner's channel stops until its operator goes on."""

    def act(pool: Pool, store: Store) -> str:
        return " ".join(f"{channel}" for channel in CHANNELS if _refuse(pool, store, channel)) or "nothing is held"

    return _at_store(world, step, act)


def _refuse(pool: Pool, store: Store, channel: Channel) -> bool:
    with store.transaction() as tx:
        inbound = tx.load(Inbound, inbound_name(channel))
        if inbound is None or inbound.held is None:
            return False
        position = inbound.held.position
        entry = RefusedPackage(package_id=position.package_id, code=Code.HELD)
        refused = (*inbound.refused, entry)[-REFUSED_KEPT:]
        tx.save(inbound_name(channel), replace(inbound, held=None, refused=refused))
    pool.share.remove(data_dir(channel), package_name(position))
    return True


def parked_retry(world: World, step: Step) -> str:
    """Try every parked group again."""

    def act(_pool: Pool, store: Store) -> str:
        done = [store.retry_parked(group.group_id) is None for group in store.parked()]
        return f"{sum(done)} of {len(done)}"

    return _at_store(world, step, act)


def parked_drop(world: World, step: Step) -> str:
    """Forget one parked group: the copy lacks it, knowingly."""

    def act(pool: Pool, store: Store) -> str:
        groups = store.parked()
        if not groups:
            return "nothing is parked"
        before = set(pool.database.view().parked)
        store.drop_parked(groups[step.number % len(groups)].group_id)
        dropped = before - set(pool.database.view().parked)
        world.truth.spoilt[pool.name] |= dropped
        world.truth.dropped[pool.name] |= dropped
        world.acted(pool)
        return "dropped"

    return _at_store(world, step, act)


def setback_ours(world: World, step: Step) -> str:
    """The store that was set back wins."""

    def act(_pool: Pool, store: Store) -> str:
        return " ".join(f"{channel}" for channel in CHANNELS if _overrule(store, channel)) or "not set back"

    return _at_store(world, step, act)


def _overrule(store: Store, channel: Channel) -> bool:
    with store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(channel))
        if out is None or out.stopped is None or out.stopped.code is not Code.STORE_SET_BACK:
            return False
        applied = out.partner.applied if out.partner else None
        fresh = replace(
            Outbound(stream=new_id(), seed=Seed(reason="this store was set back and wins", overrule=True)),
            base=applied,
            root=applied,
            heard=True,
            base_token=out.acknowledged_token,
            acknowledged_token=out.acknowledged_token,
        )
        tx.save(outbound_name(channel), fresh)
    return True


def verify(world: World, step: Step) -> str:
    """Compare the partner's copy with ours, with repair or without."""

    def act(_pool: Pool, store: Store) -> str:
        for channel in CHANNELS:
            with store.transaction() as tx:
                _begin_verify(tx, channel, repair=step.number % 3 != 0)
        return "repair" if step.number % 3 else "compare"

    return _at_store(world, step, act)


def _begin_verify(tx: Transaction, channel: Channel, *, repair: bool) -> None:
    out = tx.load(Outbound, outbound_name(channel))
    assert out is not None
    if channel is Channel.CONFERENCES:
        tx.doubt_files()
    if out.seed is None:
        tx.save(outbound_name(channel), replace(out, seed=Seed(reason="verify", repair=repair)))


def resume(world: World, step: Step) -> str:
    """After the partner's operator refused a package, ours says: go on."""

    def act(_pool: Pool, store: Store) -> str:
        return " ".join(f"{channel}" for channel in CHANNELS if _resume(store, channel)) or "not stopped"

    return _at_store(world, step, act)


def _resume(store: Store, channel: Channel) -> bool:
    with store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(channel))
        if out is None or out.stopped is None or out.stopped.code is not Code.REFUSED_BY_PARTNER:
            return False
        again = replace(
            out,
            stopped=None,
            in_flight=(),
            base=out.acknowledged,
            base_token=out.acknowledged_token,
            one_at_a_time=True,
        )
        tx.save(outbound_name(channel), again)
    return True


def key_add(world: World, step: Step) -> str:
    """Give a pool the next secret as its second one; a running service reads the key file at its next start."""
    pool = world.pools[step.pool]
    if len(pool.ring.secrets) > 1:
        return "has it"
    pool.ring = KeyRing.of(pool.ring.pair_id, pool.ring.secrets[0].secret, world.spare)
    return "added"


def key_activate(world: World, step: Step) -> str:
    """Once both pools run with both secrets, this one seals with the new one; once both do, the old one goes."""
    pool = world.pools[step.pool]
    rings = [process.site.ring for each in world.pools.values() for process in each.processes]
    if {each.secret for ring in rings for each in ring.secrets[1:]} == set() or len(pool.ring.secrets) < 2:
        return "too early"
    if any(len(ring.secrets) < 2 for ring in (*rings, *(each.ring for each in world.pools.values()))):
        return "too early"
    first, second = pool.ring.secrets[:2]
    pool.ring = KeyRing.of(pool.ring.pair_id, second.secret, first.secret)
    return "activated"
