"""Checkers of status: what a person reads on either side is never greener than the facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from poolpair.asks import AskMade, made_name
from poolpair.format.layout import data_dir, parse_package_name
from poolpair.model import Channel, ExportStatus
from poolpair.report import gather
from poolpair.status import SILENT_AFTER_S, PairStatus
from poolpair.testing.check_copies import unlike
from poolpair.testing.facts import Line, Lines, Violation, digests_in_catalogue, digests_on_disk, lines
from poolpair.testing.schema import CHANNELS, POOLS, other
from poolpair.testing.view import Group, channel_of_group, home_of_group
from poolpair.testing.world import Pool, Process, World, bare

SILENT_EXIT = 2
"""What `status` ends with at least when the partner is silent."""


def status_of(pool: Pool, process: Process) -> PairStatus:
    """What the command says while this process works."""
    if process.asked is None:
        site = process.site
        store, hooks = bare(site.store), bare(site.hooks)
        process.asked = replace(site, store=store, own=cast("Any", pool.share), hooks=hooks)
    return gather(process.asked)


def _told(world: World) -> Iterator[tuple[Pool, Process, PairStatus]]:
    """Who can be asked. Time alone makes no status greener: where nothing was committed and no word came it is not asked again.

    Nor if it was not green at all and nothing was committed in that pool's own store, of which alone it speaks.
    """
    views = [pool.database.view() for pool in world.pools.values()]
    for pool in world.pools.values():
        for process in pool.processes[-1:]:
            words = [process.site.memory.word_s.get(channel) for channel in CHANNELS]
            if not process.told or not world.truth.is_news("status", pool.name, *views, *words):
                continue
            own = pool.database.view()
            if world.truth.drab.get(pool.name) is own:
                continue
            status = status_of(pool, process)
            if status.exit_status and all(view.export.status is not ExportStatus.FINAL for view in status.channels):
                world.truth.drab[pool.name] = own
            yield pool, process, status


def status_is_never_greener_than_the_truth(world: World, found: Lines) -> Violation | None:
    """FinalState means that the partner's copy is equal; exit status 0 that nothing is parked or held on either side.

    Except for what happened at the partner since it wrote the word that status goes by.
    """
    for line in found:
        if _unsound(line) is None:
            world.truth.since.pop(line.name, None)
        else:
            world.truth.since.setdefault(line.name, line.origin.clock.now_s)
    _wait_for_capture(world, found)
    for pool, process, status in _told(world):
        for line, view in zip((line for line in found if line.origin is pool), status.channels, strict=True):
            word_s = process.site.memory.word_s.get(line.channel)
            act_s = world.truth.acts.get(line.target.name)
            if word_s is None or (act_s is not None and act_s >= word_s):
                continue
            if view.export.status is ExportStatus.FINAL:
                world.truth.used["final_state_implies_equality"] += 1
                if story := unequal(line):
                    return Violation("final_state_implies_equality", f"{line.name} says FinalState, but {story}")
            if status.exit_status == 0:
                world.truth.used["status_is_never_greener_than_the_truth"] += 1
                if (story := _unsound(line)) and world.truth.since[line.name] < word_s:
                    return Violation(
                        "status_is_never_greener_than_the_truth", f"{pool.name} says all is well, but {story}"
                    )
    return None


def _wait_for_capture(world: World, found: Lines) -> None:
    """What somebody wrote into a copy is known to nobody before that pool looks for changes."""
    for line in found:
        unseen = any(home_of_group(group) in line.homes for group in line.copy.log)
        if unseen or digests_on_disk(line.target, line.homes) != digests_in_catalogue(line.copy, line.homes):
            world.acted(line.target)


def unequal(line: Line) -> str | None:
    """Where the copy is not what the origin holds for sure: rows as committed, files as the last scan saw them."""
    if parked := _parked(line):
        return f"{parked} is parked at {line.target.name}"
    if wrong := unlike(line, line.sent):
        return f"{wrong[0][0]} is {line.copy.groups.get(wrong[0][0])} at {line.target.name}, at home {wrong[0][1]}"
    if line.channel is Channel.CONFERENCES:
        there, here = digests_in_catalogue(line.sent, line.homes), digests_in_catalogue(line.copy, line.homes)
        for path in sorted(there.keys() | here.keys()):
            if there.get(path) != here.get(path):
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


def check_quiet(world: World) -> Violation | None:
    """A pair at rest sends no packages, and no files of a pass lie about in its scratch folders."""
    for line in lines(world):
        more = line.out.next_sequence - world.truth.packed_at_rest.get(line.name, line.out.next_sequence)
        if line.out.curing:
            return Violation(
                "the_pair_comes_to_rest", f"{line.name}: the partner's store is taken for set back at rest"
            )
        if more:
            return Violation("the_pair_comes_to_rest", f"{line.name}: {more} packages were sent at rest")
    for pool in world.pools.values():
        if left := sorted(path.name for path in pool.scratch.iterdir()):
            return Violation("the_pair_comes_to_rest", f"{pool.name} left {left[0]} in its scratch folder")
    return None


def _is_unanswered(pool: Pool, home: str) -> bool:
    made = pool.database.view().document(AskMade, made_name(home))
    return made is not None and made.ask.answer is None


def check_liveness(world: World, found: Lines) -> Violation | None:
    """The faults are over: both pools say FinalState on every channel, and are equal, rows and files; no package stands."""
    world.truth.used["the_pair_comes_to_rest"] += 1
    for name in POOLS:
        pool = world.pools[name]
        if not pool.processes:
            return Violation("the_pair_comes_to_rest", f"{name} does not run")
        status = status_of(pool, pool.processes[-1])
        if status.gate:
            return Violation("the_pair_comes_to_rest", f"the gate of {name} stays {status.gate.detail}")
        if unsettled := [home.home for home in status.homes if home.recovering or home.stopped]:
            return Violation(
                "the_pair_comes_to_rest", f"{name} is still bringing together what was written for {unsettled}"
            )
        if unanswered := [home for home in POOLS if _is_unanswered(pool, home)]:
            return Violation(
                "the_pair_comes_to_rest", f"{name} asks for a handover of {unanswered} and is not answered"
            )
        for view in status.channels:
            if view.export.status is not ExportStatus.FINAL:
                detail = (
                    f"{view.export.status} {view.export.reason} {view.export.fault or view.export.partner_fault or ''}"
                )
                return Violation("the_pair_comes_to_rest", f"{name} {view.channel} ends in {detail}")
        for folder in map(data_dir, CHANNELS):
            named = [parsed for name in pool.share.tree[folder] if (parsed := parse_package_name(name))]
            if named:
                return Violation("the_pair_comes_to_rest", f"{named[0].name} stands in the share of {name} for ever")
        one, copy = world.pools[name], world.pools[other(name)]
        if digests_on_disk(one, (name,)) != digests_on_disk(copy, (name,)):
            return Violation("the_pair_comes_to_rest", f"the files of {name} are not equal at {copy.name}")
    for line in found:
        if story := unequal(line):
            return Violation("the_pair_comes_to_rest", f"{line.name}: {story}")
    return None


def silence_is_never_green(world: World, _found: Lines) -> Violation | None:
    """A partner that has been dead for longer than silence is borne is well in nobody's status, whatever word of it comes late."""
    dead_s = world.truth.dead_s
    for pool in world.pools.values():
        partner = world.pools[other(pool.name)]
        if partner.processes:
            dead_s.pop(partner.name, None)
            continue
        since_s = dead_s.setdefault(partner.name, pool.clock.now_s)
        for process in pool.processes[-1:]:
            borne_s = max(SILENT_AFTER_S, 3 * process.site.limits.heartbeat_s)
            if not process.told or pool.clock.now_s - since_s <= borne_s:
                continue
            word_s = process.site.memory.echoed_s
            if not world.truth.is_news("silence_is_never_green", pool.name, since_s, pool.database.view(), word_s):
                continue
            if status_of(pool, process).exit_status < SILENT_EXIT:
                story = (
                    f"{pool.name} does not say that {partner.name} has been dead for {pool.clock.now_s - since_s:.0f} s"
                )
                return Violation("silence_is_never_green", story)
    return None
