"""Checker of the reach: what status says of how far a copy reaches is never too much."""

from __future__ import annotations

from bisect import bisect_left

from poolpair.model import Channel
from poolpair.testing.check_copies import carried, stays_behind
from poolpair.testing.facts import Line, Lines, Violation, digests_in_catalogue
from poolpair.testing.schema import other
from poolpair.testing.truth import CutTaken, Moment
from poolpair.testing.view import View
from poolpair.testing.world import World


def reach_is_true(world: World, found: Lines) -> Violation | None:
    """Whatever an origin had accepted at the moment that its target names is in the package that the target applied last."""
    for name in world.pools:
        _note(world, name)
    world.truth.steps += 1
    for line in found:
        reached, cut = line.inbound.reached, line.applied_cut(world)
        if reached is None or cut is None or not line.is_complete:
            continue
        if not world.truth.is_news("reach_is_true", line.name, line.inbound, cut):
            continue
        before = _last_before(world.truth.moments[line.origin.name], reached.at_s)
        if before is not None and cut.step <= before.step and (lacking := _lacking(line, cut, before.view)):
            story = f"{line.name}: {lacking} was there before {reached.at_s:.1f} s, and not in package {cut.position.sequence}"
            return Violation("reach_is_true", story)
    return None


def _note(world: World, name: str) -> None:
    """Remember each state of an origin with the time of its partner's clock at which it was first seen."""
    moments, view = world.truth.moments[name], world.pools[name].database.view()
    if not moments or moments[-1].view is not view:
        moments.append(Moment(world.pools[other(name)].clock.now_s, world.truth.steps, view))


def _last_before(moments: list[Moment], at_s: float) -> Moment | None:
    number = bisect_left(moments, at_s, key=lambda moment: moment.at_s)
    return moments[number - 1] if number else None


def _lacking(line: Line, cut: CutTaken, then: View) -> str | None:
    """Something that the origin held then as it does not stand in the cut; what the package left behind is told of elsewhere."""
    for home in carried(line, cut):
        there, sent = then.of(line.channel, home), cut.view.of(line.channel, home)
        for group in sorted(there.keys() | sent.keys()):
            if there.get(group) != sent.get(group) and not stays_behind(group, cut):
                return str(group)
    if line.channel is Channel.CONFERENCES:
        known, carried_files = (digests_in_catalogue(view, carried(line, cut)) for view in (then, cut.view))
        for path in sorted(known.keys() | carried_files.keys()):
            if known.get(path) != carried_files.get(path) and path.decode().partition("/")[2] not in cut.left_behind:
                return path.decode()
    return None
