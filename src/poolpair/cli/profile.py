"""Commands for whoever writes a profile: profile draft."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from poolpair.cli.context import EXIT_STATUSES, talk
from poolpair.errors import Code, PoolpairError
from poolpair.store.drafting import draft_profile
from poolpair.store.open import kind_of

LOCK_WAIT_S = 10.0
TOPS_MAX = 40
"""Of top folders that are named each; more look like data."""
DEPTH_MAX = 16
"""Of names in a path: a profile has one rule for each depth."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Write a profile for an application.", no_args_is_help=True)
    group.callback()(lambda: None)  # else a group of one command is that command
    group.command("draft", epilog=EXIT_STATUSES)(draft)
    app.add_typer(group, name="profile", help="Write a profile for an application.")


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
    text = draft_profile(kind.shown().rpartition("/")[2], found, _trees(files) if files else ())
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        with to.open("x", encoding="utf-8") as sink:
            sink.write(text)
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"cannot write {to}: {error.strerror}") from error
    said = f"drafted {to}: {len(found.tables)} tables, {len(found.left)} left out; read it before you use it"
    talk.print(said, markup=False)


def _trees(folder: Path) -> set[tuple[str, int]]:
    """The top folders, and how many names the paths of files in them have below; "" where a pattern cannot name it."""
    if not folder.is_dir():
        raise PoolpairError(Code.USAGE, f"--files: {folder} is no folder")
    found: set[tuple[str, int]] = set()
    for above, _, names in os.walk(folder):
        parts = Path(above).relative_to(folder).parts
        if len(parts) >= DEPTH_MAX:
            raise PoolpairError(
                Code.PROFILE, f"files lie {len(parts)} folders deep; a profile goes down to {DEPTH_MAX}"
            )
        if parts or names:  # a folder that is empty now was made for files
            plain = parts and parts[0].isprintable() and not set(parts[0]) & set("{}")
            found.add((parts[0], len(parts)) if plain else ("", len(parts) + 1))
    tops = {top for top, _ in found}
    return found if len(tops) <= TOPS_MAX else {("", depth + bool(top)) for top, depth in found}
