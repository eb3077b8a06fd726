"""Commands on what keeps the application from writing: the fence."""

from __future__ import annotations

from typing import Annotated

import typer

from poolpair import decisions
from poolpair.cli.context import EXIT_STATUSES, chosen_config
from poolpair.wiring import open_site

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="What keeps the application from writing where it is not served.", no_args_is_help=True)
    group.command("off", epilog=EXIT_STATUSES)(fence_off)
    group.command("on", epilog=EXIT_STATUSES)(fence_on)
    app.add_typer(group, name="fence")


def fence_off(
    reason: Annotated[str, typer.Option("--reason", help="Why; `status` shows it until `fence on`.")],
    yes: Yes = False,
) -> None:
    """Let the application write for everybody here, whoever serves them. Needs no partner, share, key or service."""
    if not yes and not typer.confirm("What is written here for users who are served elsewhere may be lost. Go on?"):
        raise typer.Abort
    site = open_site(chosen_config())
    decisions.take_fence_away(site, reason)
    site.store.close()


def fence_on() -> None:
    """Refuse again what is not served here."""
    site = open_site(chosen_config())
    decisions.put_fence_back(site)
    site.store.close()
