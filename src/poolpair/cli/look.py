"""Commands that look: status and inspect. They change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from poolpair import documents
from poolpair.cli.context import EXIT_STATUSES, PlainConsole, chosen_config, chosen_pool, out
from poolpair.cli.hook import failed_runs, show_run
from poolpair.cli.inspect import inspect
from poolpair.clock import SystemClock
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.model import ExportStatus, ImportStatus
from poolpair.readiness import is_silent
from poolpair.report import gather
from poolpair.status import ExportView, HomeStatus, ImportView, PairStatus
from poolpair.units import show_age, show_count
from poolpair.wiring import open_site
from poolpair.wording import (
    REASONS,
    remarks,
    word_of,
    words_of_drill,
    words_of_hanging,
    words_of_home,
    words_of_recovery,
)

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
    app.command(epilog=EXIT_STATUSES)(inspect)


def status(
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    everywhere: Annotated[
        bool, typer.Option("--all", help="Also how the other pools of the deployment stand, as far as is known here.")
    ] = False,
    watching: Annotated[bool, typer.Option("--watch", help="Stay, and show it anew every second.")] = False,
) -> None:
    """Say how the pair stands: this side's view, and the partner's own word with its age."""
    if json and watching:
        raise PoolpairError(
            Code.USAGE, "--json and --watch are two ways to look", "ask for --json as often as you like"
        )
    if json and everywhere:
        raise PoolpairError(Code.USAGE, "--json tells of this pair alone", "/v1/deployment of the API has the others")
    site = open_site(chosen_config())
    try:
        if watching:
            from poolpair.cli.watch import watch

            raise typer.Exit(watch(site, PlainConsole(highlight=False)))
        found = gather(site)
        runs = [] if json else failed_runs(site)
    finally:
        site.store.close()
    if json:
        typer.echo(documents.encode_full(found))
    else:
        show(found)
        for run in runs:
            show_run(run, lines_max=5)
        if everywhere:
            show_deployment(chosen_pool(), found.pool)  # whose words lie with the pool, whatever else is looked at
    raise typer.Exit(found.exit_status)


def show_deployment(config: PoolConfig, but: str) -> None:
    """A line for each other pool, by its own word as it was passed on here, with its age."""
    from poolpair.management.seen import pools_seen, words_of_pool

    others = [each.word for each in pools_seen(config, SystemClock()) if each.word.pool != but]
    if not others:
        out.print(Text("no other pool is known here: a management store carries what each says of itself"))
    for word in others:
        style = {0: "", 1: "yellow"}.get(word.exit_status, "red")
        out.print(Text(f"pool {word.pool} (status {word.exit_status}): {words_of_pool(word)}", style=style))


def show(found: PairStatus, console: Console = out) -> None:
    """Print a status for people: a head, two blocks of lines per module, and what asks for attention. Fits 100 columns."""
    down, by = not found.service_works, ", ".join(found.standing_by)
    works = f"service runs on {found.front_end}" + (f"; standing by: {by}" if by else "")
    idle = words_of_hanging(found) or "the service is DOWN"
    service = f"{idle}: nothing is sent, nothing is applied" if down else works
    silent = is_silent(found) and found.hanging_s is None
    console.print(Text.assemble((f"pool {found.pool}", "bold"), ": ", (service, "bold red" if down else "")))
    console.print(Text(f"partner {found.partner}: {word_of(found.word_age_s)}", style="red" if silent else ""))
    for channel in found.channels:
        console.print(Text(f"{channel.module} ({channel.channel})", style="bold"))
        width = len(f"  from {found.partner}  ")
        _block(console, f"  to {found.partner}", width, _export(channel.export, found))
        _block(console, f"  from {found.partner}", width, _import(channel.imports, found))
    for home in found.homes:
        console.print(_home(home, found))
    for drill in found.drills:
        console.print(Text(words_of_drill(drill), style="red" if drill.failure else ""))
    for remark in remarks(found):
        console.print(Text(remark.line))


def _home(home: HomeStatus, found: PairStatus) -> Text:
    """One line on who serves whom."""
    together = words_of_recovery(home, found)
    plan = f"; {home.plan}" if home.plan else ""
    return Text.assemble(words_of_home(home, found), (plan, "yellow"), (f"; {together}" if together else "", "yellow"))


def _block(console: Console, label: str, width: int, lines: Iterator[Text]) -> None:
    for number, line in enumerate(lines):
        console.print(Text.assemble((label if number == 0 else "").ljust(width), line))


def _export(view: ExportView, found: PairStatus) -> Iterator[Text]:
    partner, marks = found.partner, view.watermarks
    reason = REASONS.get(view.reason, "").format(partner=partner)
    yield Text.assemble(
        (view.status, _COLOURS[view.status]),
        f" ({view.reason}: {reason})" if reason else "",
    )
    yield Text(
        f"acknowledged {marks.acknowledged}, applied {marks.applied}, delivered {marks.delivered}, "
        f"packed {marks.packed}, captured {marks.captured}; lag {view.lag_s:.1f} s"
    )
    if view.partner_import:
        said = "before this service started" if view.word_age_s is None else f"{show_age(view.word_age_s)} ago"
        yield Text.assemble(
            f"{partner} imports: ", (view.partner_import, _COLOURS[view.partner_import]), f", said {said}"
        )
    if view.in_flight:
        words = f"{show_count(view.in_flight, 'package')} ({view.in_flight_bytes:,} bytes) delivered, NOT acknowledged"
        yield Text(f"{words}: not known to be applied", style="yellow")
    if view.pieces:
        brought, whole = view.pieces
        yield Text(f"{brought:,} of {whole:,} bytes of the next package are at {partner}", style="yellow")
    if view.pending_groups:
        yield Text(f"{show_count(view.pending_groups, 'changed group')} not packed yet", style="yellow")


def _import(view: ImportView, found: PairStatus) -> Iterator[Text]:
    last = f", the last at {view.applied_utc[:19].replace('T', ' ')} UTC" if view.applied_utc else ""
    yield Text.assemble((view.status, _COLOURS[view.status]), f"; applied {view.applied}{last}")
    yield Text(f"{show_count(view.packages, 'package')}, {view.groups:,} groups, {view.rows:,} rows until now")
    if view.reach_age_s is not None and view.expected:
        yield Text(f"all that {found.partner} had accepted until {show_age(view.reach_age_s)} ago is here")
    if view.standing:
        words = f"{show_count(view.standing, 'package')} ({view.standing_bytes:,} bytes) in the own share, not applied"
        yield Text(f"{words}{'' if found.service_running else ': no service runs to do it'}", style="yellow")
