"""Commands for what a disaster leaves to be decided: the ledger."""

from __future__ import annotations

import csv
import sys
import time
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated

import typer

from poolpair import decisions, documents
from poolpair.cli.context import chosen_config, tell
from poolpair.cli.ordering import ordered
from poolpair.cli.work import wait
from poolpair.errors import Code, PoolpairError
from poolpair.pipeline.site import Site
from poolpair.printable import shortened
from poolpair.serving.resolving import ResolveOrder
from poolpair.store.ledger_files import FILES, version_from
from poolpair.store.row_text import rows_from_text
from poolpair.store.values import Choice, LedgerEntry
from poolpair.wiring import open_site

ORDERS_S = 150.0
"""Longer than two hooks may take by default."""


def ledger_list(
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, both versions included.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, both versions included.")] = False,
) -> None:
    """List what was written at both pools and waits for a decision, and what stood in packages that were never applied."""
    site = open_site(chosen_config())
    found = [entry for entry in site.store.ledger() if everything or not entry.state.is_decided]
    site.store.close()
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(field.name for field in fields(LedgerEntry))
        writer.writerows(tuple(getattr(entry, field.name) for field in fields(LedgerEntry)) for entry in found)
        return
    for entry in found:
        if as_json:
            typer.echo(documents.encode_line(entry))
        else:
            key = shortened(_key(entry))
            tell(entry.entry_id[:8], entry.home, entry.table, key, entry.why, entry.state, entry.since_utc)


def ledger_show(entry_id: Annotated[str, typer.Argument(help="An id from `ledger list`, or its beginning.")]) -> None:
    """Show both versions of one group or file."""
    site = open_site(chosen_config())
    entry = decisions.ledger_entry(site, entry_id)
    site.store.close()
    what = f"file {_key(entry)}" if entry.table == FILES else f"table {entry.table}, group {entry.key}"
    tell(f"{entry.entry_id}: {what}, users of {entry.home}")
    tell(f"{entry.why}; since {entry.since_utc}; {entry.state} {entry.decided_utc}".rstrip())
    for side, text in (
        ("theirs, of the pool that returned", entry.theirs),
        ("ours, of the pool that served", entry.ours),
    ):
        tell(f"{side}:")
        for line in _file_lines(text) if entry.table == FILES else _row_lines(text):
            tell(f"  {line}")


def _key(entry: LedgerEntry) -> str:
    return ", ".join(map(str, rows_from_text(entry.key)[0]))


def _row_lines(text: str) -> list[str]:
    return [", ".join(map(str, row)) for row in rows_from_text(text)] or ["the group is not there"]


def _file_lines(text: str) -> list[str]:
    version = version_from(text)
    if version is None:
        return ["the file is not there"]
    written_utc = datetime.fromtimestamp(version.mtime_ns // 10**9, UTC).isoformat()
    return [f"{version.size} bytes of {written_utc}, sha256 {version.sha256}"]


def ledger_resolve(
    entry_id: Annotated[str | None, typer.Argument(help="An id from `ledger list`, or its beginning.")] = None,
    theirs: Annotated[bool, typer.Option("--theirs", help="What the returned pool had replaces what is here.")] = False,
    ours: Annotated[bool, typer.Option("--ours", help="What is here stays.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Of files: ours stays, theirs is put beside it.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every open entry.")] = False,
    standing: Annotated[bool, typer.Option("--standing", help="Every standing one: its pool will not return.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if the group was written again since.")] = False,
) -> None:
    """Decide; only where the users are served now. The other version stays in the entry."""
    chosen = [choice for choice, given in ((Choice.THEIRS, theirs), (Choice.OURS, ours), (Choice.BOTH, both)) if given]
    if len(chosen) != 1 or [entry_id is not None, everything, standing].count(True) != 1:
        raise PoolpairError(
            Code.USAGE, "give one id, --all or --standing, and either --theirs, --ours or (files only) --both"
        )
    which = entry_id or ("--standing" if standing else "--all")
    with ordered(f"ledger resolve {which} --{chosen[0]}{' --force' if force else ''}") as site:
        state = Choice.STANDING if standing else Choice.OPEN
        if chosen[0] is Choice.THEIRS and site.closes_application:
            mine = decisions.chosen_entries(site, entry_id, chosen[0], state=state)
            done = _await_orders(site, decisions.order_resolution(site, mine, chosen[0], force=force))
        else:
            done = decisions.resolve_ledger(site, entry_id, chosen[0], force=force, state=state)
        if not done:
            decisions.refuse_elsewhere(site, state)
    typer.echo(f"{done} decided")


def _await_orders(site: Site, names: list[str]) -> int:
    """Wait for the service; gives how many it decided. Raises TIMEOUT, or whatever it ran into."""
    until_s, done = time.monotonic() + ORDERS_S, 0
    for name in names:
        while (order := site.store.read(ResolveOrder, name)) is None or not order.is_over:
            wait(
                until_s,
                "the service did not let the application go in time",
                "it goes on with it: see `poolpair status`",
            )
        with site.store.transaction() as tx:
            tx.delete(name)
        done += order.done
        if order.fault is not None:
            raise PoolpairError(order.fault.code, order.fault.detail)
    return done
