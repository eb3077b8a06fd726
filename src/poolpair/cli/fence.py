"""Commands on what keeps the application from writing: the fence, and the gate that closes it over everything."""

from __future__ import annotations

from typing import Annotated

import typer

from poolpair import decisions
from poolpair.cli.context import EXIT_STATUSES
from poolpair.cli.ordering import ordered, refuse_odd_reason
from poolpair.decisions import nudge
from poolpair.errors import Code, PoolpairError
from poolpair.pipeline.site import Site
from poolpair.serving.gate import close_by_hand, is_gated, open_by_hand

Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="What keeps the application from writing where it is not served.", no_args_is_help=True)
    group.command("off", epilog=EXIT_STATUSES)(fence_off)
    group.command("on", epilog=EXIT_STATUSES)(fence_on)
    app.add_typer(group, name="fence")
    gate = typer.Typer(
        help="What keeps this pool from serving while its partner may have taken over.", no_args_is_help=True
    )
    gate.command("open", epilog=EXIT_STATUSES)(gate_open)
    gate.command("close", epilog=EXIT_STATUSES)(gate_close)
    app.add_typer(gate, name="gate")


def fence_off(
    reason: Annotated[str, typer.Option("--reason", help="Why; `status` shows it until `fence on`.")],
    yes: Yes = False,
) -> None:
    """Let the application write for everybody here, whoever serves them. Needs no partner, share, key or service."""
    refuse_odd_reason(reason)
    if not yes and not typer.confirm("What is written here for users who are served elsewhere may be lost. Go on?"):
        raise typer.Abort
    with ordered(f"fence off: {reason}", needs_key=False) as site:
        decisions.take_fence_away(site, reason)


def fence_on() -> None:
    """Refuse again what is not served here."""
    with ordered("fence on", needs_key=False) as site:
        decisions.put_fence_back(site)


def gate_open(
    reason: Annotated[
        str, typer.Option("--reason", help="How you know; `status` shows it until the partner is heard.")
    ],
    yes: Yes = False,
) -> None:
    """Serve although the partner is not heard: you know that it does not serve this pool's users."""
    refuse_odd_reason(reason)
    if not yes and not typer.confirm(
        "If the partner did take over, users are served at both pools from now on. Go on?"
    ):
        raise typer.Abort
    with ordered(f"gate open: {reason}", needs_key=False) as site:
        _refuse_ungated(site)
        open_by_hand(site, reason)
        nudge(site)


def gate_close() -> None:
    """Serve nothing until a service has confirmed that this pool still may: before the application of a returning site starts."""
    with ordered("gate close", needs_key=False) as site:
        _refuse_ungated(site)
        close_by_hand(site)
        nudge(site)


def _refuse_ungated(site: Site) -> None:
    if not is_gated(site):
        raise PoolpairError(Code.USAGE, "this pool has no gate", "set `at_start` or `self_fence_after` in [gate]")
