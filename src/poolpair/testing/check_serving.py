"""Checkers of failover: one server per epoch, epochs that only grow, a fence that fits, and every accepted write accounted for."""

from __future__ import annotations

from poolpair.format.layout import data_dir, parse_package_name
from poolpair.model import serving_pool
from poolpair.moves import GATE, Gate
from poolpair.pipeline.fence import refused_homes
from poolpair.reigns import takes_writes
from poolpair.state import Fencing
from poolpair.testing.accounts import Version, decisions, versions
from poolpair.testing.facts import Lines, Violation, serving_of
from poolpair.testing.schema import CHANNELS, LEAD, POOLS, other
from poolpair.testing.world import World


def one_pool_serves_per_epoch(world: World, _found: Lines) -> Violation | None:
    """Two pools may both take writes for a home for a while after a disaster; never in the same epoch."""
    for home in POOLS:
        servings = {name: serving_of(world.pools[name].database.view(), home) for name in POOLS}
        writers = [name for name in POOLS if takes_writes(servings[name], name, other(name))]
        epochs = {servings[name].present.epoch for name in writers}
        world.truth.used["one_pool_serves_per_epoch"] += 1
        if len(writers) > len(epochs):
            return Violation("one_pool_serves_per_epoch", f"both serve {home} at epoch {epochs}")
    return None


def epochs_never_fall(world: World, _found: Lines) -> Violation | None:
    """But for a store that was set back."""
    for name in POOLS:
        for home in POOLS:
            epoch = serving_of(world.pools[name].database.view(), home).present.epoch
            if epoch < world.truth.epochs.get((name, home), 0):
                return Violation("epochs_never_fall", f"the epoch of {home} fell at {name} to {epoch}")
            world.truth.epochs[name, home] = epoch
    world.truth.used["epochs_never_fall"] += 1
    return None


def fence_is_what_serving_says(world: World, _found: Lines) -> Violation | None:
    """The database refuses exactly the homes that this pool does not take writes for, and names who does."""
    for name in POOLS:
        view = world.pools[name].database.view()
        servings = {home: serving_of(view, home) for home in POOLS}
        wanted = refused_homes(servings, name, other(name), closed=view.document(Gate, GATE) is not None)
        world.truth.used["fence_is_what_serving_says"] += 1
        if dict(view.fence) != wanted:
            return Violation("fence_is_what_serving_says", f"{name} refuses {dict(view.fence)}, should refuse {wanted}")
    return None


def a_home_is_handed_to_an_equal_copy(world: World, _found: Lines) -> Violation | None:
    """When a handover ends a reign the new server holds of its users what the old one does, but for what was written there since."""
    for name in POOLS:
        there, here = world.pools[other(name)].database.view(), world.pools[name].database.view()
        for home in POOLS:
            mine, theirs = serving_of(here, home), serving_of(there, home)
            reign = mine.present
            fresh = reign.began == "handover" and reign.reign_id not in world.truth.handed
            if not fresh or serving_pool(reign, POOLS) != name:
                continue
            world.truth.handed.add(reign.reign_id)
            if theirs.fencing is not Fencing.HANDING or theirs.present.epoch + 1 != reign.epoch:
                continue  # it has adopted the new reign within this same step
            world.truth.used["a_home_is_handed_to_an_equal_copy"] += 1
            old, new = there.of(LEAD, home), here.of(LEAD, home)
            for group in sorted(old.keys() | new.keys()):
                if group in world.truth.spoilt[other(name)]:
                    continue  # somebody wrote past the fence of the old server
                if old.get(group) != new.get(group) and here.log.get(group, 0) <= mine.reign_token:
                    story = f"{name} serves {home} with {group} = {new.get(group)}, which {other(name)} left as {old.get(group)}"
                    return Violation("a_home_is_handed_to_an_equal_copy", story)
    return None


def every_accepted_write_is_accounted_for(world: World, _found: Lines) -> Violation | None:
    """It stands in a store, a spool, the ledger or a package, or something that replaced it knowingly does."""
    accounts, views = world.truth.accounts, [pool.database.view() for pool in world.pools.values()]
    if not world.truth.is_news("every_accepted_write_is_accounted_for", "", *views):
        return None
    held: set[Version] = {version for view in views for version in versions(view)}
    kept = frozenset(row for view in views for row in view.kept)
    missing = accounts.missing(held, kept)
    if missing:
        missing = accounts.missing(held | _in_packages(world), kept)
    if missing:
        (group, rows), where = missing[0]
        return Violation("every_accepted_write_is_accounted_for", f"{group} = {rows}, accepted at {where}, is nowhere")
    return None


def decisions_in_the_ledger_stand(world: World, _found: Lines) -> Violation | None:
    """An entry never leaves the ledger, and one that was decided is never open again, whichever pool is superseded."""
    accounts, views = world.truth.accounts, [pool.database.view() for pool in world.pools.values()]
    if not world.truth.is_news("decisions_in_the_ledger_stand", "", *views):
        return None
    held: set[Version] = {version for view in views for version in versions(view)}
    undone = accounts.undone(held) and accounts.undone(held | _in_packages(world))
    accounts.entries |= decisions(held)
    if undone:
        return Violation("decisions_in_the_ledger_stand", f"{undone[0]} left the ledger, or is open again")
    return None


def _in_packages(world: World) -> set[Version]:
    """What packages carry that stand in a share."""
    found: set[Version] = set()
    for pool in world.pools.values():
        for folder in map(data_dir, CHANNELS):
            for name in pool.share.tree[folder]:
                parsed = parse_package_name(name)
                for package_id, cut in world.truth.cuts.items() if parsed else ():
                    if parsed is not None and package_id.startswith(parsed.short_id):
                        found |= set(cut.view.groups.items())
    return found
