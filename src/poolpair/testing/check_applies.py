"""Checkers of one apply: what was committed before and after it, held against the package's cut and what people decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from poolpair.model import Channel
from poolpair.store.values import ApplyPlan
from poolpair.testing.facts import Violation, digest_on_disk
from poolpair.testing.schema import LIMITS
from poolpair.testing.truth import CutTaken
from poolpair.testing.view import Group, View
from poolpair.testing.world import World

FILES = "the files"
EMPTIED_MIN = 2
"""A tree of so many files that is emptied is always held."""


def check_apply(world: World, name: str, plan: ApplyPlan, before: View, after: View) -> None:
    """Hold one committed apply at pool `name` against its cut."""
    cut = world.truth.cuts[plan.package_id]
    for checker in (
        mass_deletions_are_approved(world, name, cut, plan.served, before, after),
        _files_first(world, name, cut, plan.served, before, after),
    ):
        world.truth.broken += [(found.checker, found.story) for found in checker]


def mass_deletions_are_approved(
    world: World, name: str, cut: CutTaken, homes: tuple[str, ...], before: View, after: View
) -> Iterator[Violation]:
    """Of no table and of no tree more is deleted than the guard lets pass, unless an operator approved just this package."""
    checker = "mass_deletions_are_approved"
    there = {group: rows for home in homes for group, rows in before.of(cut.channel, home).items()}
    total = Counter(group[0] for group in there)
    gone = Counter(group[0] for group in there if group not in after.groups and group not in cut.view.groups)
    if cut.channel is Channel.CONFERENCES:
        mine = [path for path, entry in before.files.items() if entry.file.present and entry.file.home in homes]
        total[FILES] = len(mine)
        gone[FILES] = sum(path not in after.files or not after.files[path].file.present for path in mine)
    for table, count in gone.items():
        many = count > LIMITS.guard_groups and count > LIMITS.guard_fraction * total[table]
        emptied = table == FILES and count == total[table] >= EMPTIED_MIN and not _holds_files(cut.view, homes)
        if not (many or emptied):
            continue
        world.truth.used[checker] += 1
        if cut.position.package_id not in world.truth.approved:
            yield Violation(checker, f"{name} deleted {count} of {total[table]} of {table}, which nobody approved")


def _holds_files(view: View, homes: tuple[str, ...]) -> bool:
    return any(entry.file.present and entry.file.home in homes for entry in view.files.values())


def _files_first(
    world: World, name: str, cut: CutTaken, homes: tuple[str, ...], before: View, after: View
) -> Iterator[Violation]:
    """A row that describes a file never arrives before it, nor one of a conference that stayed behind."""
    checker = "a_row_never_comes_before_its_file"
    for group in _changed(cut, homes, before, after):
        world.truth.used[checker] += 1
        slot = str(group[1][1])
        if slot in cut.left_behind:
            yield Violation(checker, f"{group} came to {name} although its conference stayed behind")
            continue
        path = "/".join(map(str, group[1])).encode()
        entry = cut.view.files.get(path)
        if entry is None or not entry.file.present or path in world.truth.spoilt_files[name]:
            continue
        here = after.files.get(path)
        if here is not None and here.file.foreign:
            continue  # written here before its home moved: it stands until a comparison replaces it
        if (here is None or not here.file.present) and path in world.truth.deleted_here[name]:
            continue  # the same, but deleted: the comparison brings it
        if digest_on_disk(world.pools[name], path) != entry.file.sha256 and group in after.groups:
            yield Violation(checker, f"{group} came to {name} before its file")


def _changed(cut: CutTaken, homes: tuple[str, ...], before: View, after: View) -> list[Group]:
    """Groups of the conferences channel that this apply changed."""
    if cut.channel is not Channel.CONFERENCES:
        return []
    views = [(before.of(cut.channel, home), after.of(cut.channel, home)) for home in homes]
    return [
        group for was, now in views for group in sorted(was.keys() | now.keys()) if was.get(group) != now.get(group)
    ]
