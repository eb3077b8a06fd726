"""Checker of what stood when a pool was taken over: before a package goes to Quarantine its writes are in the store of who took over."""

from __future__ import annotations

from poolpair.errors import Code
from poolpair.format.layout import parse_package_name
from poolpair.reigns import serves
from poolpair.store.values import Cut
from poolpair.testing.accounts import Version, versions
from poolpair.testing.facts import serving_of
from poolpair.testing.schema import LEAD, POOLS, other
from poolpair.testing.view import channel_of_group, home_of_group
from poolpair.testing.world import World

CHECKER = "what_stands_is_listed"


def note_carried(world: World, package_id: str, cut: Cut) -> None:
    """A package was cut: remember what its delta holds."""
    view = world.truth.cuts[package_id].view
    if cut.channel is not LEAD or cut.since is None:
        return
    changed = [group for group, token in view.log.items() if token > cut.since]
    mine = (group for group in changed if channel_of_group(group) is cut.channel and home_of_group(group) in cut.served)
    world.truth.carried[package_id] = tuple((group, view.groups[group]) for group in mine if group in view.groups)


def check_listed(world: World, name: str, package: str, reason: str) -> None:
    """Pool `name` is about to quarantine a package: were its origin lost now, what it had accepted is found here all the same."""
    parsed, view = parse_package_name(package), world.pools[name].database.view()
    if parsed is None or Code.STALE not in reason:
        return
    homes = []
    for home in POOLS:
        mine = serving_of(view, home)
        if serves(mine, name, other(name)) and mine.present.began == "takeover" and LEAD in mine.open:
            homes.append(home)
    wanted: list[Version] = []
    for package_id, carried in world.truth.carried.items():
        if package_id.startswith(parsed.short_id):
            wanted += [version for version in carried if home_of_group(version[0]) in homes]
    world.truth.used[CHECKER] += len(wanted)
    if absent := world.truth.accounts.absent(wanted, versions(view)):
        story = f"{name} turns {package} away, and {absent[0]} is neither here nor in the ledger"
        world.truth.broken.append((CHECKER, story))
