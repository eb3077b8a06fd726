"""Checkers of the copies: consistent, explained, nothing lost, nothing doubled."""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import Channel, Position
from poolpair.testing.facts import (
    Line,
    Lines,
    Violation,
    digests_in_catalogue,
    digests_on_disk,
    homes_served,
    serving_of,
)
from poolpair.testing.schema import file_home
from poolpair.testing.truth import CutTaken
from poolpair.testing.view import Group, Rows, View, channel_of_group, home_of_group
from poolpair.testing.world import World


def copy_equals_origin_at_one_commit(world: World, found: Lines) -> Violation | None:
    """A complete copy is what the origin was when the applied package was cut; parked groups and what stayed behind aside."""
    for whole in found:
        cut = whole.applied_cut(world)
        if not whole.is_complete or cut is None:
            continue
        line = replace(whole, homes=carried(whole, cut))
        if not world.truth.is_news("copy_equals_origin_at_one_commit", line.name, line.copy, cut):
            continue
        spoilt, here = world.truth.spoilt[line.target.name], line.copy.groups
        spoilt -= {group for group in spoilt if cut.view.groups.get(group) == here.get(group) and _is_of(line, group)}
        wrong = [group for group, _ in differing(line, cut.view, world) if not stays_behind(group, cut)]
        if wrong:
            group = wrong[0]
            have, was = here.get(group), cut.view.groups.get(group)
            story = f"{line.name}: {group} is {have}, was {was} at package {cut.position.sequence}"
            return Violation("copy_equals_origin_at_one_commit", story)
    return None


def carried(line: Line, cut: CutTaken) -> tuple[str, ...]:
    """Homes that the package was cut for: those whose reign has begun since are told of by a later one."""
    reigns = {home: serving_of(line.sent, home).present.reign_id for home in line.homes}
    return tuple(home for home, reign in reigns.items() if serving_of(cut.view, home).present.reign_id == reign)


def differing(line: Line, origin: View, world: World) -> list[tuple[Group, Rows | None]]:
    """Groups of this line that the copy does not hold as `origin` does, and that neither stand parked nor were spoilt by us."""
    spoilt, parked = world.truth.spoilt[line.target.name], line.copy.parked
    found = unlike(line, origin)
    return [(group, rows) for group, rows in found if group not in spoilt and group not in parked]


def unlike(line: Line, origin: View) -> list[tuple[Group, Rows | None]]:
    """Groups of this line that the copy does not hold as `origin` does."""
    found: list[tuple[Group, Rows | None]] = []
    for home in line.homes:
        there, here = origin.of(line.channel, home), line.copy.of(line.channel, home)
        if there != here:
            groups = sorted(there.keys() | here.keys())
            found += [(group, there.get(group)) for group in groups if there.get(group) != here.get(group)]
    return found


def _is_of(line: Line, group: Group) -> bool:
    return channel_of_group(group) is line.channel and home_of_group(group) in line.homes


def stays_behind(group: Group, cut: CutTaken) -> bool:
    """Whether a package did not carry a group, since its conference waits."""
    return channel_of_group(group) is Channel.CONFERENCES and str(group[1][1]) in cut.left_behind


def files_equal_origin_at_one_commit(world: World, found: Lines) -> Violation | None:
    """The files of a complete copy are those of the cut, on disk; so no row is there without its file."""
    for line in found:
        cut = line.applied_cut(world)
        if line.channel is not Channel.CONFERENCES or not line.is_complete or cut is None or line.target.tree.missing:
            continue
        if not world.truth.is_news(
            "files_equal_origin_at_one_commit", line.name, line.copy, cut, line.target.tree.hint()
        ):
            continue
        spoilt, homes = world.truth.spoilt_files[line.target.name], carried(line, cut)
        there, here = digests_in_catalogue(cut.view, homes), digests_on_disk(line.target, homes)
        for path in sorted(there.keys() | here.keys()):
            entry = line.copy.files.get(path)
            if there.get(path) == here.get(path):
                spoilt.discard(path)
            elif (
                path in spoilt
                or (entry and entry.file.foreign)
                or (entry and entry.deleting)
                or _is_ahead(world, cut, path, here.get(path))
            ):
                continue
            elif path.decode().partition("/")[2] not in cut.left_behind:
                story = f"{line.name}: file {path.decode()} is not what it was at package {cut.position.sequence}"
                return Violation("files_equal_origin_at_one_commit", story)
    return None


def what_is_changed_here_is_set_aside(world: World, _found: Lines) -> Violation | None:
    """What somebody wrote into a copied file lies in its place, or was set aside: it is overwritten and deleted by nobody."""
    for pool in world.pools.values():
        written = world.truth.written_here[pool.name]
        if not written or not world.truth.is_news("what_is_changed_here_is_set_aside", pool.name, pool.tree.hint()):
            continue
        served = homes_served(pool)
        for path, content in tuple(written.items()):
            owner = file_home(path)
            if owner is not None and owner.home in served:
                del written[path]  # its home is served here now: it is the application's own file
                continue
            if pool.tree.content(path) == content:
                continue
            del written[path]
            if content not in pool.tree.spooled.values():
                story = f"{path.decode()} was changed at {pool.name}, and that is nowhere any more"
                return Violation("what_is_changed_here_is_set_aside", story)
    return None


def _is_ahead(world: World, applied: CutTaken, path: bytes, digest: str | None) -> bool:
    """Files are placed before the position moves: a later package may have brought this one already."""
    later = False
    for cut in world.truth.cuts.values():
        if later and (cut.pool, cut.channel) == (applied.pool, applied.channel):
            entry = cut.view.files.get(path)
            if entry is not None and entry.file.present and entry.file.sha256 == digest:
                return True
        later |= cut is applied
    return False


def _is_past(acknowledged: Position, applied: Position) -> bool:
    """The target was set back behind what it had acknowledged, perhaps into an older stream."""
    return acknowledged.stream != applied.stream or acknowledged.sequence > applied.sequence


def nothing_is_pruned_before_acknowledged(world: World, found: Lines) -> Violation | None:
    """Whatever a complete copy lacks stands in the origin's log, after the token of the position that the copy is at."""
    for line in found:
        intent, acknowledged = line.applied_intent(), line.out.acknowledged
        behind = acknowledged and intent and _is_past(acknowledged, intent.position)
        # Who overrules does not know any more what was acknowledged before; the comparison that it began finds what lacks.
        overrules = line.out.seed is not None and line.out.seed.overrule
        if not line.is_complete or intent is None or behind or overrules:
            continue
        if not world.truth.is_news("nothing_is_pruned_before_acknowledged", line.name, line.copy, line.sent):
            continue
        for group, rows in differing(line, line.sent, world):
            if line.sent.log.get(group, 0) <= intent.token:
                story = f"{line.name}: {group} is {line.copy.groups.get(group)}, at home {rows}, and nothing is logged after {intent.token}"
                return Violation("nothing_is_pruned_before_acknowledged", story)
        if line.channel is Channel.CONFERENCES and (unexplained := _unexplained_file(line, world, intent.token)):
            return Violation("nothing_is_pruned_before_acknowledged", unexplained)
    return None


def _unexplained_file(line: Line, world: World, token: int) -> str | None:
    spoilt = world.truth.spoilt_files[line.target.name]
    there, here = digests_in_catalogue(line.sent, line.homes), digests_in_catalogue(line.copy, line.homes)
    for path in sorted(there.keys() | here.keys()):
        entry, copied = line.sent.files.get(path), line.copy.files.get(path)
        if copied is not None and copied.file.foreign:
            continue  # written there before its home moved here: only a comparison puts it right
        if there.get(path) != here.get(path) and path not in spoilt and (entry is None or entry.gen <= token):
            return f"{line.name}: file {path.decode()} differs, and nothing is logged after {token}"
    return None


def nothing_acknowledged_is_lost(world: World, found: Lines) -> Violation | None:
    """What an origin holds for acknowledged was really applied, by a store that was not set back since."""
    for line in found:
        acknowledged, at = line.out.acknowledged, (line.target.name, line.channel)
        if acknowledged is None or not line.is_settled(world):
            continue
        if not world.truth.is_news("nothing_acknowledged_is_lost", line.name, line.out):
            continue
        if acknowledged.package_id not in world.truth.applied[at]:
            story = f"{line.name}: package {acknowledged.sequence} is acknowledged and was never applied"
            return Violation("nothing_acknowledged_is_lost", story)
    return None


def parked_rows_are_kept(world: World, _found: Lines) -> Violation | None:
    """A parked group is kept as the origin had it when its package was cut."""
    for pool in world.pools.values():
        view = pool.database.view()
        if not view.parked or not world.truth.is_news("parked_rows_are_kept", pool.name, view):
            continue
        for group, (package_id, rows) in view.parked.items():
            cut = world.truth.cuts[package_id]
            if cut.view.groups.get(group, ()) != rows:
                return Violation("parked_rows_are_kept", f"{pool.name}: {group} is parked as {rows}")
    return None
