"""Listens at the ports for what the truth needs: which view a package was cut from, what it left behind, what was committed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from poolpair.format.layout import data_dir, package_name
from poolpair.model import Channel, PackageKind, Position
from poolpair.pipeline.site import inbound_name, intent_name, outbound_name
from poolpair.state import Inbound, Intent, Outbound
from poolpair.store.values import ApplyPlan, RecoverPlan
from poolpair.testing.check_applies import check_apply
from poolpair.testing.check_standing import check_listed, note_carried
from poolpair.testing.faulty import APPLY, DELIVER, RECOVER, TURN_AWAY
from poolpair.testing.schema import CHANNELS, other
from poolpair.testing.truth import CutTaken
from poolpair.testing.view import View
from poolpair.testing.world import World


def watch(world: World, name: str, point: str, over: bool, args: tuple[Any, ...]) -> None:
    """Take note of a port call of pool `name`."""
    if point == "store.snapshot" and over and args and args[0] is not None:
        _cut(world, name, Channel(args[0].name.split("-")[1]))
    elif point == "store.snapshot.export" and over:
        cut, left_behind = args
        intent = _newest_intent(world, name, cut.channel)
        world.truth.left_behind(intent.position.package_id, frozenset(left_behind))
        note_carried(world, intent.position.package_id, cut)
    elif point == APPLY:
        _apply(world, name, args[0], over=over)
    elif point == RECOVER and not args[0].lists:
        _recover(world, name, args[0], over=over)
    elif point == TURN_AWAY and not over:
        check_listed(world, name, args[1], args[2])
    elif point == DELIVER:
        _deliver(world, name, args[1], args[2], over=over)


def _deliver(world: World, name: str, folder: str, package: str, *, over: bool) -> None:
    """What leaves is the next package of a channel that was not stopped; a service that lost its lease does not know that."""
    truth, pool = world.truth, world.pools[name]
    if over:
        truth.delivered[other(name), package] = world.pools[other(name)].share.tree[folder][package].data
        return
    channel = next(each for each in CHANNELS if data_dir(each) == folder)
    out = pool.database.view().document(Outbound, outbound_name(channel))
    if out is None or len(pool.processes) != 1:
        return
    truth.used["what_is_delivered_is_wanted"] += 1
    intent = _newest_intent(world, name, channel)
    if out.stopped is not None:
        truth.broken.append(
            ("what_is_delivered_is_wanted", f"{name} delivers on {channel}, which is stopped: {out.stopped}")
        )
    elif package_name(intent.position) != package or intent.follows != out.base:
        truth.broken.append(
            ("what_is_delivered_is_wanted", f"{name} delivers {package}, which does not follow {out.base}")
        )


def _newest_intent(world: World, name: str, channel: Channel) -> Intent:
    view = world.pools[name].database.view()
    out = view.document(Outbound, outbound_name(channel))
    assert out is not None
    # The name of an intent does not hold the package's id.
    newest = Position(out.stream, out.next_sequence - 1, "")
    intent = view.document(Intent, intent_name(channel, newest))
    assert intent is not None, "a package is cut without an intent"
    return intent


def _cut(world: World, name: str, channel: Channel) -> None:
    intent = _newest_intent(world, name, channel)
    view = world.pools[name].database.view()
    before = world.truth.cuts.get(intent.follows.package_id) if intent.follows else None
    if intent.kind is PackageKind.RECOVERED and before is not None:
        # It brings groups of a home that its origin does not serve; of the origin's own homes it says nothing new.
        world.truth.cut(replace(before, position=intent.position))
    elif not intent.package_bytes:  # else it was finished long ago, and this is a service that lost its lease
        step = world.truth.steps
        world.truth.cut(CutTaken(pool=name, channel=channel, position=intent.position, view=view, step=step))


def _apply(world: World, name: str, plan: ApplyPlan, *, over: bool) -> None:
    """Before and after the transaction that applies a package: what was committed, and whether it was captured again."""
    truth, channel, view = world.truth, plan.channel, world.pools[name].database.view()
    if not over:
        truth.before_apply[name] = view
        return
    before = truth.before_apply.pop(name)
    if view is before:
        return  # held, or nothing was committed
    inbound = view.document(Inbound, inbound_name(channel))
    was = before.document(Inbound, inbound_name(channel))
    if inbound is not None and inbound.applied is not None and (was is None or was.applied != inbound.applied):
        truth.committed((name, channel), inbound.applied.package_id)
        check_apply(world, name, plan, before, view)
    truth.used["nothing_is_applied_twice"] += 1
    if plan.keep_replaced:
        _overruled(world, name, before, view)
    echoes = [group for group, gen in view.log.items() if before.log.get(group) != gen]
    echoes_of_files = [
        path
        for path, entry in view.files.items()
        if entry.gen and (path not in before.files or not before.files[path].gen)
    ]
    truth.used["no_echo"] += 1
    if echoes or echoes_of_files:
        truth.broken.append(("no_echo", f"an apply at {name} logged {echoes[:3]} {echoes_of_files[:3]}"))


def _recover(world: World, name: str, plan: RecoverPlan, *, over: bool) -> None:
    """What a returned pool had was taken in: the package counts as applied."""
    truth, view = world.truth, world.pools[name].database.view()
    if not over:
        truth.before_apply[name] = view
        return
    before = truth.before_apply.pop(name)
    inbound = view.document(Inbound, inbound_name(plan.channel))
    if view is not before and inbound is not None and inbound.applied is not None:
        truth.used["recovered"] += 1
        truth.committed((name, plan.channel), inbound.applied.package_id)


def _overruled(world: World, name: str, before: View, after: View) -> None:
    """What a store that was set back and wins takes from its partner is kept there."""
    world.truth.used["what_is_overruled_is_kept"] += 1
    for group, rows in before.groups.items():
        lost = [row for row in rows if row not in after.groups.get(group, ()) and (group[0], row) not in after.kept]
        if lost:
            world.truth.broken.append(("what_is_overruled_is_kept", f"{name} lost {lost[0]} of {group}"))
