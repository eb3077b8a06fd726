"""Commands that hold packages back for a while, and let them go."""

from __future__ import annotations

from typing import Annotated

import typer

from poolpair import decisions
from poolpair.cli import completing
from poolpair.cli.context import EXIT_STATUSES, talk
from poolpair.cli.ordering import ordered, refuse_odd_reason
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import channel_from_name
from poolpair.model import Channel
from poolpair.pipeline.site import Site

Named = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CHANNEL]...", help="users, conferences; all if none is named.", autocompletion=completing.channels
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=EXIT_STATUSES)(pause)
    app.command(epilog=EXIT_STATUSES)(resume)


def pause(
    reason: Annotated[str, typer.Option(help="Why; `status` shows it on both sides.")],
    channels: Named = None,
) -> None:
    """Send no packages until `resume`: the line is needed for something else. Heartbeats go on, and so does what the partner sends."""
    refuse_odd_reason(reason)
    with ordered(f"pause{_named(channels)}: {reason}") as site:
        chosen = _chosen(site, channels)
        decisions.pause(site, chosen, reason)
    talk.print(
        f"{', '.join(chosen)}: paused; what changes waits in the log, and `poolpair resume` sends it", markup=False
    )


def resume(channels: Named = None) -> None:
    """Send what was held back."""
    with ordered(f"resume{_named(channels)}") as site:
        resumed = decisions.resume(site, _chosen(site, channels))
    talk.print(f"{', '.join(resumed)}: resumed" if resumed else "nothing is paused here", markup=False)


def _named(names: list[str] | None) -> str:
    """The channels, as the audit says them; nothing where all are meant."""
    return "".join(f" {channel}" for channel in dict.fromkeys(channel_from_name(name) for name in names or ()))


def _chosen(site: Site, names: list[str] | None) -> tuple[Channel, ...]:
    found = tuple(dict.fromkeys(channel_from_name(name) for name in names or ())) or site.channels
    if absent := [channel for channel in found if channel not in site.channels]:
        raise PoolpairError(Code.USAGE, f"this pair has no channel {absent[0]}")
    return found
