"""The command that shows who ordered what."""

from __future__ import annotations

from typing import Annotated

import typer

from poolpair import documents
from poolpair.audit import KEPT, entries
from poolpair.cli.context import EXIT_STATUSES, chosen_config, tell
from poolpair.wiring import open_site


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EXIT_STATUSES)(audit)


def audit(
    newest: Annotated[int, typer.Option(help="How many.", min=1, max=KEPT)] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON, a line each.")] = False,
) -> None:
    """Show who ordered what, when, from where and how it ended, by command and over HTTP, the last order first."""
    site = open_site(chosen_config())
    found = entries(site, newest)
    site.store.close()
    for entry in found:
        if json:
            typer.echo(documents.encode_line(entry))
        else:
            outcome = entry.outcome or "under way, or cut off"
            tell(f"{entry.at_utc[:19].replace('T', ' ')} UTC", entry.who, entry.whence, entry.what, outcome)
