"""Commands for a whole deployment on one machine, to try things on: lab up, status, kill, freeze, start, down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from poolpair.cli.context import EXIT_STATUSES, out, talk
from poolpair.errors import Code, PoolpairError
from poolpair.lab.deployment.guide import DEFAULT
from poolpair.lab.deployment.layout import Layout, load

Folder = Annotated[Path, typer.Option("--dir", help="The lab's folder; all of it is removed by `lab down`.")]
Part = Annotated[str, typer.Argument(help="A part from `lab status`, a pool, a site (north, south), or all.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(
        help="A deployment on this machine: two sites, four pools, one management store.", no_args_is_help=True
    )
    for command in (up, status, kill, freeze, start, down):
        group.command(epilog=EXIT_STATUSES)(command)
    app.add_typer(group, name="lab")


def up(
    folder: Folder = DEFAULT,
    store: Annotated[
        str, typer.Option(help="What keeps the rows of pools a and b: postgresql (three front ends at a) or sqlite.")
    ] = "postgresql",
) -> None:
    """Make and start a lab: two sites, four pools in two pairs, an application at each; a stopped one is started again."""
    from poolpair.lab.deployment.guide import to_try
    from poolpair.lab.deployment.making import make
    from poolpair.lab.deployment.table import look, show

    if store not in {"sqlite", "postgresql"}:
        raise PoolpairError(Code.USAGE, f"--store {store}: it is either sqlite or postgresql")
    with Console(stderr=True, highlight=False).status("a lab is made; this takes about half a minute"):
        layout = make(folder.resolve(), store, lambda words: talk.print(Text(words)))
    show(look(layout), out)
    out.print()
    for line in to_try(layout):
        out.print(Text(line, style="" if line.startswith(" ") else "bold"))


def status(folder: Folder = DEFAULT) -> None:
    """Show each process, each pool and who holds the management store; exit status 1 if anything is not as it should be."""
    from poolpair.lab.deployment.table import look, show

    view = look(load(folder.resolve()))
    show(view, out)
    raise typer.Exit(view.exit_status)


def kill(name: Part, folder: Folder = DEFAULT) -> None:
    """Kill a part (SIGKILL), or all of a pool or site."""
    from poolpair.lab.deployment import parts

    _each(folder, name, parts.kill, "killed", "was down already")


def freeze(name: Part, folder: Folder = DEFAULT) -> None:
    """Let a part stand still (SIGSTOP), or all of a pool or site; `lab start` wakes it."""
    from poolpair.lab.deployment import parts

    _each(folder, name, parts.freeze, "stands still", "is down")


def start(name: Part, folder: Folder = DEFAULT) -> None:
    """Start what is down and wake what stands still."""
    from poolpair.lab.deployment import parts

    _each(folder, name, parts.start, "started", "was up already")


def down(
    folder: Folder = DEFAULT,
    keep: Annotated[bool, typer.Option("--keep", help="End everything, but let the folder stay.")] = False,
) -> None:
    """End everything that the lab started, and remove its folder."""
    from poolpair.lab.deployment.making import end_all, remove

    layout = load(folder.resolve())
    with Console(stderr=True, highlight=False).status("the lab is ended"):
        (end_all if keep else remove)(layout)
    talk.print(Text(f"the lab is ended; {layout.folder} {'stays' if keep else 'is removed'}"))


def _each(folder: Path, name: str, do: Callable[[Layout, str], bool], done: str, else_: str) -> None:
    layout = load(folder.resolve())
    for part in layout.named(name):
        talk.print(Text(f"{part} {done if do(layout, part) else else_}"))
