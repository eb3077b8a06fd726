"""`profile check`: what a profile would carry, what it leaves out, and what is dangerous. Only reads, and needs no `init`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import typer
from rich.table import Table

from poolpair.cli.context import chosen_config, out
from poolpair.config import SHARED, PoolConfig
from poolpair.homes import home_of, home_ranks
from poolpair.store.counting import Contents, Owner
from poolpair.store.drafting import is_fleeting
from poolpair.store.kind import StoreKind
from poolpair.store.own_places import outside
from poolpair.store.profile import Profile, match_path
from poolpair.store.profile_check import does_not_fit
from poolpair.store.tree import DirectoryTree, FileVanished, TreeFile, text
from poolpair.store.whole import left_out
from poolpair.units import show_bytes, show_count
from poolpair.wiring import own_places, profile_of, store_kind

SHOWN = 12
"""Of names in one line."""
SQLITE_HEAD = b"SQLite format 3\0"
NO_TIMEOUT = (
    "SQLite lets one write at a time, and poolpair writes too: a writer of the application's that sets no busy timeout"
    ' fails at once with "database is locked", and so does one whose transaction reads first and writes then, unless it begins with BEGIN'
    " IMMEDIATE. Set a timeout of 5 s or more at both sites"
)


@dataclass(frozen=True, slots=True)
class _Files:
    """What of a tree is carried."""

    count: int = 0
    size_bytes: int = 0
    unhomed: int = 0
    databases: tuple[str, ...] = ()
    large: tuple[str, ...] = ()
    other: int = 0
    """Files that no pattern takes."""


def examine() -> None:
    """Say what the profile carries (tables, groups, rows, bytes, files), what it leaves out, and what is dangerous."""
    config = chosen_config()
    kind, profile = store_kind(config), profile_of(config, anew=True)
    problems = kind.problems(profile)
    if wrong := [problem for problem in problems if problem.fatal]:
        raise does_not_fit(wrong)
    contents = tuple(kind.contents(profile, _owner(config)))
    files = _files(config, profile) if config.files is not None and profile.files else None
    _show(contents, files)
    for line in lines_of_left_out(kind, profile):
        typer.echo(line)
    remarks = [f"{problem.table}: {problem.reason}" for problem in problems]
    dangers = [*_dangers(config, kind, contents, files), *remarks]
    for danger in dangers:
        typer.echo(f"mind      {_line(danger)}")
    if any(each.unhomed for each in contents) or (files is not None and files.unhomed):
        raise typer.Exit(1)


def lines_of_left_out(kind: StoreKind, profile: Profile) -> Iterator[str]:
    """Each table that stays at its site, and why, in a line."""
    for problem in left_out(profile, kind.described()):
        yield f"left out  {_line(problem.table)}: {problem.reason}"


def _owner(config: PoolConfig) -> Owner:
    patterns = home_ranks(config.homes)
    return lambda home_key: home_of(home_key, patterns)


def _show(contents: tuple[Contents, ...], files: _Files | None) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("carried", "groups", "rows", "size", "of no home"):
        table.add_column(title, justify="left" if title == "carried" else "right", overflow="fold")
    for each in contents:
        table.add_row(
            _line(each.table), *map(str, (each.groups, each.rows)), show_bytes(each.size_bytes), str(each.unhomed)
        )
    whole = [sum(getattr(each, name) for each in contents) for name in ("groups", "rows", "size_bytes", "unhomed")]
    table.add_row(show_count(len(contents), "table"), str(whole[0]), str(whole[1]), show_bytes(whole[2]), str(whole[3]))
    if files is not None:
        table.add_row("files", str(files.count), "-", show_bytes(files.size_bytes), str(files.unhomed))
    out.print(table)


def _files(config: PoolConfig, profile: Profile) -> _Files:
    assert config.files is not None
    tree, belongs = DirectoryTree(config.files, config.files), outside(config.files, own_places(config))
    patterns = home_ranks(config.homes)
    count = size = unhomed = other = 0
    databases, large = list[str](), list[str]()
    for file in tree.scan(belongs):
        found = match_path(profile, file.path)
        if found is None:
            other += 1
            continue
        count, size = count + 1, size + file.size
        unhomed += home_of(found.home_key, patterns) is None
        databases += [text(file.path)] if is_database(tree, file) else []
        large += [text(file.path)] if file.size > config.sync.conference_max_bytes else []
    return _Files(count, size, unhomed, tuple(databases), tuple(large), other)


def is_database(tree: DirectoryTree, file: TreeFile) -> bool:
    """Whether a file is a database of SQLite's; one that went meanwhile is none."""
    if file.size < len(SQLITE_HEAD):
        return False
    with suppress(FileVanished), tree.open(file.path) as source:
        return source.read(len(SQLITE_HEAD)) == SQLITE_HEAD
    return False


def _dangers(
    config: PoolConfig, kind: StoreKind, contents: tuple[Contents, ...], files: _Files | None
) -> Iterator[str]:
    if kind.local_file() is not None:
        yield NO_TIMEOUT
    if any(each.shared for each in contents) and SHARED not in dict(config.homes):
        yield f'tables are home = "shared", and [homes] does not say whose that is: add {SHARED} = "{config.pool}"'
    if fleeting := [each.table for each in contents if is_fleeting(each.table)]:
        yield f"{some_names(fleeting)}: looks short-lived. Carried, it is there after a takeover; left out, less travels"
    if files is None:
        yield "no files are carried: what the rows refer to on disk, if anything, stays at its site"
        return
    if files.other:
        does = "matches no pattern, and stays at its" if files.other == 1 else "match no pattern, and stay at their"
        yield f"{show_count(files.other, 'file')} below `files` {does} site"
    if files.databases:
        yield f"{some_names(files.databases)}: a database carried as a file is torn if it is written to meanwhile"
    if files.large:
        yield f"{some_names(files.large)}: larger than conference_max, held until that is raised"


def some_names(names: list[str] | tuple[str, ...]) -> str:
    """Names in one line; of many the first."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(_line, names[:SHOWN])) + more


def _line(name: str) -> str:
    return name if name.isprintable() else repr(name)[1:-1]
