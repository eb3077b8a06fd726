"""Commands for refused files: quarantine list, show, clear."""

from __future__ import annotations

from typing import Annotated

import typer

from poolpair import refused
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk, tell
from poolpair.cli.ordering import ordered
from poolpair.units import show_bytes, show_count
from poolpair.wiring import open_site


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Files that were refused.", no_args_is_help=True)
    group.command("list", epilog=EXIT_STATUSES)(list_all)
    group.command("show", epilog=EXIT_STATUSES)(show)
    group.command("clear", epilog=EXIT_STATUSES)(clear)
    app.add_typer(group, name="quarantine")


def list_all() -> None:
    """List refused files, oldest first."""
    site = open_site(chosen_config())
    for file in site.own.quarantined():
        tell(file.name, f"{file.size_bytes} bytes", file.reason.splitlines()[0] if file.reason else "")
    site.store.close()


def show(name: Annotated[str, typer.Argument(help="A name from `quarantine list`.")]) -> None:
    """Say why a file was refused."""
    site = open_site(chosen_config())
    found = refused.chosen_files(site, (name,))[0]
    site.store.close()
    tell(f"{found.name}: {found.size_bytes} bytes")
    for line in found.reason.split("\n"):
        tell(line)


def clear(
    names: Annotated[list[str] | None, typer.Argument(help="Names from `quarantine list`; all without any.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """Delete refused files that were looked at; `status` then counts what is left."""
    with ordered(f"quarantine clear {' '.join(names or ())}".strip()) as site:
        files = refused.chosen_files(site, names or ())
        size = show_bytes(sum(file.size_bytes for file in files))
        if (
            files
            and not yes
            and not typer.confirm(f"Delete {show_count(len(files), 'refused file')} ({size}) for good?")
        ):
            raise typer.Abort
        gone = refused.clear_files(site, files)
    talk.print(f"deleted {show_count(gone, 'refused file')}" if gone else "no file is quarantined")
