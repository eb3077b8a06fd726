"""Checkers of status: what a person reads on either side is never greener than the facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from poolpair.format.layout import data_dir, parse_package_name
from poolpair.model import Channel, ExportStatus
from poolpair.report import gather
from poolpair.status import PairStatus
from poolpair.testing.check_copies import differing
from poolpair.testing.facts import Line, Violation, digests_in_catalogue, digests_on_disk, lines
from poolpair.testing.schema import CHANNELS, POOLS, other
from poolpair.testing.view import Group, channel_of_group
from poolpair.testing.world import Pool, Process, World, bare


def status_of(pool: Pool, process: Process) -> PairStatus:
    """What the command says while this process works."""
    site = replace(process.site, store=bare(process.site.store), own=cast("Any", pool.share))
    return gather(site)


def _told(world: World) -> Iterator[tuple[Pool, Process, PairStatus]]:
    for pool in world.pools.values():
        for process in pool.processes[-1:]:
            if process.told:
                yield pool, process, status_of(pool, process)


def status_is_never_greener_than_the_truth(world: World) -> Violation | None:
    """FinalState means that the partner's copy is equal; exit status 0 that nothing is parked or held on either side.

    Except for what happened at the partner since it wrote the word that status goes by.
    """
    for pool, process, status in _told(world):
        for line, view in zip((line for line in lines(world) if line.origin is pool), status.channels, strict=True):
            word_s = process.site.memory.word_s.get(line.channel)
            act_s = world.truth.acts.get(line.target.name)
            if word_s is None or (act_s is not None and act_s >= word_s):
                continue
            if view.export.status is ExportStatus.FINAL:
                world.truth.used["final_state_implies_equality"] += 1
                if story := unequal(line, world):
                    return Violation("final_state_implies_equality", f"{line.name} says FinalState, but {story}")
            if status.exit_status == 0:
                world.truth.used["status_is_never_greener_than_the_truth"] += 1
                if story := _unsound(line):
                    return Violation(
                        "status_is_never_greener_than_the_truth", f"{pool.name} says all is well, but {story}"
                    )
    return None


def unequal(line: Line, world: World) -> str | None:
    """Where the copy is not what the origin holds for sure: rows as committed, files as the last scan saw them."""
    if parked := _parked(line):
        return f"{parked} is parked at {line.target.name}"
    if wrong := differing(line, line.sent.groups, world):
        return f"{wrong[0][0]} is {line.copy.groups.get(wrong[0][0])} at {line.target.name}, at home {wrong[0][1]}"
    if line.channel is Channel.CONFERENCES:
        home, spoilt = line.origin.name, world.truth.spoilt_files[line.target.name]
        there, here = digests_in_catalogue(line.sent, home), digests_in_catalogue(line.copy, home)
        for path in sorted(there.keys() | here.keys()):
            if there.get(path) != here.get(path) and path not in spoilt:
                return f"file {path.decode()} differs"
    return None


def _unsound(line: Line) -> str | None:
    held = line.inbound.held
    if held and not held.approved:
        return f"a package is held at {line.target.name}"
    parked = _parked(line)
    return f"{parked} is parked at {line.target.name}" if parked else None


def _parked(line: Line) -> Group | None:
    return next((group for group in line.copy.parked if channel_of_group(group) is line.channel), None)


def check_liveness(world: World) -> Violation | None:
    """The faults are over: both pools say FinalState on every channel, and are equal, rows and files; no package stands."""
    world.truth.used["the_pair_comes_to_rest"] += 1
    for name in POOLS:
        pool = world.pools[name]
        if not pool.processes:
            return Violation("the_pair_comes_to_rest", f"{name} does not run")
        for view in status_of(pool, pool.processes[-1]).channels:
            if view.export.status is not ExportStatus.FINAL:
                detail = (
                    f"{view.export.status} {view.export.reason} {view.export.fault or view.export.partner_fault or ''}"
                )
                return Violation("the_pair_comes_to_rest", f"{name} {view.channel} ends in {detail}")
        for folder in map(data_dir, CHANNELS):
            if left := [each for each in pool.share.tree[folder] if parse_package_name(each)]:
                return Violation("the_pair_comes_to_rest", f"{left[0]} stands in the share of {name} for ever")
        one, copy = world.pools[name], world.pools[other(name)]
        if digests_on_disk(one, name) != digests_on_disk(copy, name):
            return Violation("the_pair_comes_to_rest", f"the files of {name} are not equal at {copy.name}")
    for line in lines(world):
        world.truth.spoilt[line.target.name].clear()
        world.truth.spoilt_files[line.target.name].clear()
        if story := unequal(line, world):
            return Violation("the_pair_comes_to_rest", f"{line.name}: {story}")
    return None
