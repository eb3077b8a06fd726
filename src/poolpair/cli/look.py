"""Commands that look: status. They change nothing."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from poolpair import documents
from poolpair.cli.context import EXIT_STATUSES, chosen_config, out
from poolpair.errors import CATALOGUE
from poolpair.model import ExportStatus, Fault, ImportStatus
from poolpair.report import gather
from poolpair.status import ChannelStatus, PairStatus, Reason, silent_fault
from poolpair.wiring import open_site

_COLOURS = {
    ExportStatus.FINAL: "green",
    ExportStatus.STEADY: "green",
    ExportStatus.NON_STEADY: "yellow",
    ExportStatus.NOT_INITIALIZED: "yellow",
    ExportStatus.ERROR: "red",
    ImportStatus.NORMAL: "green",
    ImportStatus.DEGRADED: "yellow",
    ImportStatus.ERROR: "red",
}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog=EXIT_STATUSES)(status)


def status(json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False) -> None:
    """Say how the pair stands: this side's view, and the partner's own word with its age."""
    site = open_site(chosen_config())
    try:
        found = gather(site)
    finally:
        site.store.close()
    if json:
        typer.echo(documents.encode_full(found))
    else:
        show(found)
    raise typer.Exit(found.exit_status)


def show(found: PairStatus) -> None:
    """Print a status for people."""
    age = "never heard since the service started" if found.word_age_s is None else f"{found.word_age_s:.0f} s old"
    service = (
        f"service runs on {found.front_end}"
        if found.service_running
        else "the service is DOWN: nothing is sent, nothing is applied"
    )
    out.print(
        Text.assemble(
            (f"pool {found.pool}", "bold"),
            f", partner {found.partner}: ",
            (service, "" if found.service_running else "bold red"),
        )
    )
    out.print(
        Text(
            f"the partner's word is {age}",
            style="red" if any(c.export.reason is Reason.PARTNER_SILENT for c in found.channels) else "",
        )
    )
    table = Table(
        "module",
        "export",
        "import",
        "partner's import",
        "ack/appl/deliv/packed/capt",
        "lag",
        "waiting",
        box=None,
        pad_edge=False,
    )
    for channel in found.channels:
        table.add_row(*_row(channel))
    out.print(table)
    for line in _remarks(found):
        out.print(Text(line))


def _row(channel: ChannelStatus) -> list[Text]:
    export, imports = channel.export, channel.imports
    marks = export.watermarks
    words = f"{export.status}{f' ({export.reason})' if export.reason else ''}"
    waiting = f"{export.pending_groups} groups, {export.in_flight} packages out, {imports.standing} in"
    return [
        Text(channel.module),
        Text(words, style=_COLOURS[export.status]),
        Text(imports.status, style=_COLOURS[imports.status]),
        Text(
            export.partner_import or "unknown",
            style=_COLOURS.get(export.partner_import, "yellow") if export.partner_import else "yellow",
        ),
        Text(f"{marks.acknowledged}/{marks.applied}/{marks.delivered}/{marks.packed}/{marks.captured}"),
        Text(f"{export.lag_s:.1f} s"),
        Text(waiting),
    ]


def _remarks(found: PairStatus) -> list[str]:
    lines = []
    if any(channel.export.reason is Reason.PARTNER_SILENT for channel in found.channels):
        lines.append(silent_fault(found.word_age_s, found.partner))
    for channel in found.channels:
        export, imports = channel.export, channel.imports
        lines += [
            f"{channel.channel} {side}: {_fault(fault)}"
            for side, fault in (("export", export.fault), ("import", imports.fault))
            if fault
        ]
        if export.partner_fault:
            lines.append(f"{channel.channel} at {found.partner}: {_fault(export.partner_fault)}")
        here = {
            "parked": imports.parked,
            "held": imports.held,
            "unhomed": imports.unhomed,
            "foreign writes": imports.foreign_writes,
            "quarantined": imports.quarantined,
        }
        there = {
            "parked": export.partner_parked,
            "held": export.partner_held,
            "unhomed": export.partner_unhomed,
            "foreign writes": export.partner_foreign_writes,
            "quarantined": export.partner_quarantined,
        }
        for place, counts in (("here", here), (f"at {found.partner}", there)):
            if listed := ", ".join(f"{count} {name}" for name, count in counts.items() if count):
                lines.append(f"{channel.channel} {place}: {listed}")
        if export.left_behind:
            lines.append(f"{channel.channel}: too large or not at rest, waiting: {', '.join(export.left_behind[:5])}")
    return lines


def _fault(fault: Fault) -> str:
    return f"{fault.code} {fault.detail} (since {fault.since_utc}); {CATALOGUE[fault.code].hint}"
