"""Commands for whoever writes a profile: profile draft, profile check."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, talk
from poolpair.cli.examine import examine
from poolpair.errors import Code, PoolpairError
from poolpair.store.drafting import EVERYWHERE, choose, draft_profile
from poolpair.store.open import kind_of
from poolpair.store.own_places import database_files, outside, scratch_beside
from poolpair.units import show_count

LOCK_WAIT_S = 10.0
TOPS_MAX = 40
"""Of top folders that are named each; more look like data."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    about = "Write a profile for an application, and see what it carries."
    group = typer.Typer(help=about, no_args_is_help=True)
    group.command("draft", epilog=EXIT_STATUSES)(draft)
    group.command("check", epilog=EXIT_STATUSES)(examine)
    app.add_typer(group, name="profile", help=about)


def draft(
    store: Annotated[str, typer.Option(help="The application's database, as in a pool file; it is only read.")],
    files: Annotated[Path | None, typer.Option(help="The folder in which the application keeps its files.")] = None,
    to: Annotated[Path | None, typer.Option(help="Where to write it; must not exist. Else it is printed.")] = None,
) -> None:
    """Draft a profile that carries a whole application: every table, with its key, and what there is to decide."""
    kind = kind_of(store, LOCK_WAIT_S, lambda: Path(os.devnull))
    found = kind.described()
    if not found.tables:
        raise PoolpairError(Code.PROFILE, f"{kind.shown()} has no table that a profile could carry")
    database = kind.local_file()
    ours = (*database_files(database), scratch_beside(database)) if database is not None else ()
    text = draft_profile(kind.shown().rpartition("/")[2], found, _trees(files, ours) if files else ())
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        with to.open("x", encoding="utf-8") as sink:
            sink.write(text)
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"cannot write {to}: {error.strerror}") from error
    choices, left = choose(found)
    said = f"drafted {to}: {show_count(len(choices), 'table')}, {len(left)} left out; read it before you use it"
    talk.print(said, markup=False)


def _trees(folder: Path, ours: Iterable[Path]) -> set[str]:
    """The top folders, and "" for files that lie in none; or all, if there are many or a pattern cannot name one."""
    belongs, found = outside(folder, ours), set[str]()
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        raise PoolpairError(Code.USAGE, f"--files: {folder} is no folder") from None
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"--files: cannot list {folder}: {error.strerror}") from error
    for entry in entries:
        if not belongs(os.fsencode(entry.name)):
            continue
        if entry.is_dir(follow_symlinks=False):
            found.add(entry.name)
        elif entry.is_file(follow_symlinks=False):
            found.add("")
    plain = all(top.isprintable() and not set(top) & set("{}*") for top in found)
    return found if plain and len(found) <= TOPS_MAX else {EVERYWHERE}
