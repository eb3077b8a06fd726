"""Commands that look: status and inspect. They change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from poolpair import documents
from poolpair.cli.context import EXIT_STATUSES, chosen_config, out
from poolpair.cli.drill import words_of_drill
from poolpair.cli.hook import failed_runs, show_run
from poolpair.cli.inspect import inspect
from poolpair.clock import SystemClock
from poolpair.config import PoolConfig
from poolpair.errors import CATALOGUE, Code
from poolpair.model import ExportStatus, Fault, ImportStatus
from poolpair.report import gather
from poolpair.status import ChannelStatus, ExportView, HomeStatus, ImportView, PairStatus, Reason, silent_fault
from poolpair.units import show_age, show_count
from poolpair.wiring import open_site, scratch_of

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
_REASONS = {
    Reason.PARTNER_SILENT: "no fresh word from {partner}",
    Reason.PAUSED: "an operator holds packages back",
    Reason.BACKLOG: "a change waits longer than two intervals",
    Reason.IN_VAIN: "what is sent does not reach {partner}: its packages are lost or refused again and again",
    Reason.COMPARING: "both copies are being compared",
    Reason.TABLES_DIFFER: "a table is not the same at {partner} and waits, see below",
    Reason.INCOMPLETE: "the copy at {partner} is known to differ: `verify --repair` makes it whole",
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
) -> None:
    """Say how the pair stands: this side's view, and the partner's own word with its age."""
    config = chosen_config()
    site = open_site(config)
    try:
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
            show_deployment(config, found.pool)
    raise typer.Exit(found.exit_status)


def show_deployment(config: PoolConfig, but: str) -> None:
    """A line for each other pool, by its own word as it was passed on here, with its age."""
    from poolpair.management.local import words_known

    words = sorted(words_known(scratch_of(config), SystemClock()), key=lambda word: word.pool)
    others = [word for word in words if word.pool != but]
    if not others:
        out.print(Text("no other pool is known here: a management store carries what each says of itself"))
    for word in others:
        homes = ", ".join(f"users of {each.home} by {each.served_by} (epoch {each.epoch})" for each in word.homes)
        works = f"{word.front_end} works" if word.front_end else "NO service runs"
        said = f"{', '.join(word.states)}; lag {word.lag_s:.1f} s; {homes}; {works}; known {show_age(word.age_s)} ago"
        style = {0: "", 1: "yellow"}.get(word.exit_status, "red")
        out.print(Text(f"pool {word.pool} (status {word.exit_status}): {said}", style=style))


def show(found: PairStatus, console: Console = out) -> None:
    """Print a status for people: a head, two blocks of lines per module, and what asks for attention. Fits 100 columns."""
    down = not found.service_running
    service = (
        "the service is DOWN: nothing is sent, nothing is applied" if down else f"service runs on {found.front_end}"
    )
    silent = any(channel.export.reason is Reason.PARTNER_SILENT for channel in found.channels)
    console.print(Text.assemble((f"pool {found.pool}", "bold"), ": ", (service, "bold red" if down else "")))
    console.print(Text(f"partner {found.partner}: {_word(found.word_age_s)}", style="red" if silent else ""))
    for channel in found.channels:
        console.print(Text(f"{channel.module} ({channel.channel})", style="bold"))
        width = len(f"  from {found.partner}  ")
        _block(console, f"  to {found.partner}", width, _export(channel.export, found))
        _block(console, f"  from {found.partner}", width, _import(channel.imports, found))
    for home in found.homes:
        console.print(_home(home, found))
    for drill in found.drills:
        console.print(Text(words_of_drill(drill), style="red" if drill.failure else ""))
    for line in _remarks(found):
        console.print(Text(line))


def _home(home: HomeStatus, found: PairStatus) -> Text:
    """One line on who serves whom."""
    mine = home.served_by == found.pool
    fenced = ", but fenced" if mine and not home.takes_writes else ""
    words = f"users of {home.home}: served {'here' if mine else f'by {home.served_by}'}{fenced} (epoch {home.epoch})"
    silent = any(channel.export.reason is Reason.PARTNER_SILENT for channel in found.channels)
    awaited = f"what {found.partner} had not sent is awaited until it returns"
    together = awaited if silent else "what was written at both pools is being brought together"
    recovering = f"; {together}" if home.recovering else ""
    return Text.assemble(words, (f"; {home.plan}" if home.plan else "", "yellow"), (recovering, "yellow"))


def _word(age_s: float | None) -> str:
    return "no word since this service started" if age_s is None else f"its last word is {show_age(age_s)} old"


def _block(console: Console, label: str, width: int, lines: Iterator[Text]) -> None:
    for number, line in enumerate(lines):
        console.print(Text.assemble((label if number == 0 else "").ljust(width), line))


def _export(view: ExportView, found: PairStatus) -> Iterator[Text]:
    partner, marks = found.partner, view.watermarks
    reason = _REASONS.get(view.reason, "").format(partner=partner)
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


def _remarks(found: PairStatus) -> Iterator[str]:
    if not found.service_running:
        yield f"{Code.SERVICE_DOWN}: {CATALOGUE[Code.SERVICE_DOWN].meaning}; {CATALOGUE[Code.SERVICE_DOWN].hint}"
    elif any(channel.export.reason is Reason.PARTNER_SILENT for channel in found.channels):
        yield f"{silent_fault(found.word_age_s, found.partner)}; {CATALOGUE[Code.PARTNER_SILENT].hint}"
    if found.fence_off:
        yield f"the fence is OFF ({found.fence_off}): writes for users who are served elsewhere are not refused; `poolpair fence on`"
    for what, fault in (("own share", found.share), ("gate", found.gate)):
        if fault:
            yield f"{what}: {_fault(fault)}"
    if found.gate_word:
        yield f"the gate is held open by hand ({found.gate_word}) until {found.partner} is heard"
    for pool, down in ((found.pool, found.application), (found.partner, found.partner_application)):
        if down:
            yield f"application at {pool}: {_fault(down)}"
    for home in found.homes:
        for fault in (home.stopped, home.fault):
            if fault:
                yield f"users of {home.home}: {_fault(fault)}"
    yield from _of_ledger(found)
    for channel in found.channels:
        yield from _of_channel(channel, found.partner)


def _of_ledger(found: PairStatus) -> Iterator[str]:
    if found.ledger_open:
        yield f"{show_count(found.ledger_open, 'group')} in the ledger without a decision; `poolpair ledger list`"
    if found.ledger_standing:
        groups = show_count(found.ledger_standing, "group")
        yield f"{groups} in packages of {found.partner} that were never applied; it hands them in when it returns; `poolpair ledger list`"


def _of_channel(channel: ChannelStatus, partner: str) -> Iterator[str]:
    export, imports = channel.export, channel.imports
    own = ("export", export.fault), ("import", imports.fault)
    faults = (*own, (f"at {partner}", export.partner_fault), (f"sent by {partner}", imports.partner_sending))
    for side, fault in faults:
        if fault:
            where_to = f" (at {partner})" if partner in side.split() else ""
            yield f"{channel.channel} {side}: {_fault(fault)}{where_to}"
    here = (imports.parked, imports.held, imports.unhomed, imports.foreign_writes, imports.quarantined)
    there = (
        export.partner_parked,
        export.partner_held,
        export.partner_unhomed,
        export.partner_foreign_writes,
        export.partner_quarantined,
    )
    names = (Code.PARKED, "parked"), (Code.HELD, "held"), (Code.UNHOMED, "unhomed")
    more = (Code.FOREIGN_WRITES, "foreign write"), (Code.DAMAGED, "quarantined")
    for place, counts in (("here", here), (f"at {partner}", there)):
        for count, (code, name) in zip(counts, (*names, *more), strict=True):
            if count:
                where = "" if place == "here" else f" ({place})"
                said = show_count(count, name) if code is Code.FOREIGN_WRITES else f"{count} {name}"
                yield f"{channel.channel} {place}: {said} ({code}); {CATALOGUE[code].hint}{where}"
    for place, tables in (("import", imports.waiting), (f"at {partner}", export.partner_waiting)):
        for table in tables:
            yield f"{channel.channel} {place}: {Code.SCHEMA} {table}; {CATALOGUE[Code.SCHEMA].hint}"
    if export.left_behind:
        named = ", ".join(export.left_behind[:5])
        words = f"{len(export.left_behind)} conferences wait ({Code.TOO_LARGE}), too large, not at rest or not readable: {named}"
        yield f"{channel.channel} here: {words}; {CATALOGUE[Code.TOO_LARGE].hint}"


def _fault(fault: Fault) -> str:
    since = f" (since {fault.since_utc})" if fault.since_utc else ""
    return f"{fault.code} {fault.detail}{since}; {CATALOGUE[fault.code].hint}"
