"""Checker of the reach: what status says of how far a copy reaches is never too much."""

from __future__ import annotations

from bisect import bisect_left

from poolpair.model import Channel
from poolpair.testing.check_copies import carried, stays_behind
from poolpair.testing.facts import Line, Lines, Violation, digests_in_catalogue
from poolpair.testing.schema import other
from poolpair.testing.truth import CutTaken, Moment
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
        lacking = before and (_lacking(line, cut, before) or _waiting(world, line, cut, before))
        if lacking:
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


def _lacking(line: Line, cut: CutTaken, before: Moment) -> str | None:
    """Something that the origin held then as it does not stand in the cut; what the package left behind is another question."""
    then = before.view
    if cut.step > before.step:
        return None
    for home in carried(line, cut):
        there, sent = then.of(line.channel, home), cut.view.of(line.channel, home)
        for group in sorted(there.keys() | sent.keys()):
            if there.get(group) != sent.get(group) and not stays_behind(group, cut):
                return str(group)
    if line.channel is Channel.CONFERENCES:
        known, carried_files = (digests_in_catalogue(view, carried(line, cut)) for view in (then, cut.view))
        for path in sorted(known.keys() | carried_files.keys()):
            if known.get(path) != carried_files.get(path) and _conference(path) not in cut.left_behind:
                return path.decode()
    return None


def _waiting(world: World, line: Line, cut: CutTaken, before: Moment) -> str | None:
    """Something that the origin held then, of a conference that the applied package left behind, and no earlier one brought."""
    if not cut.left_behind:
        return None
    homes = carried(line, cut)
    files = digests_in_catalogue(before.view, homes)
    groups = {group: each for home in homes for group, each in before.view.of(line.channel, home).items()}
    for conference in sorted(cut.left_behind):
        brought = _brought(world, line, conference)
        if brought is not None and brought.step > before.step:
            continue
        of_files = digests_in_catalogue(brought.view, homes) if brought else {}
        for path, digest in files.items():
            if _conference(path) == conference and of_files.get(path) != digest:
                return path.decode()
        for group, each in groups.items():
            if str(group[1][1]) == conference and (brought is None or brought.view.groups.get(group) != each):
                return str(group)
    return None


def _brought(world: World, line: Line, conference: str) -> CutTaken | None:
    """Of what the target applied the last that did not leave a conference behind."""
    applied = (world.truth.cuts.get(each) for each in reversed(world.truth.applied[line.target.name, line.channel]))
    return next((cut for cut in applied if cut is not None and conference not in cut.left_behind), None)


def _conference(path: bytes) -> str:
    return path.decode().partition("/")[2]
