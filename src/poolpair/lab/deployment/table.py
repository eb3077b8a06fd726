"""What a lab does right now: each process, each pair, and who holds the management store; read from the stores as `status` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolpair.errors import CATALOGUE, PoolpairError
from poolpair.lab.deployment import parts
from poolpair.lab.deployment.layout import HOLDERS, Layout, PoolPlan
from poolpair.management.before import holder
from poolpair.management.effective import load_effective
from poolpair.management.holding import management_of
from poolpair.report import gather
from poolpair.status import PairStatus
from poolpair.wiring import open_site
from poolpair.wording import words_of_home

COLOURS = {"up": "green", "frozen": "yellow", "down": "bold red"}
EXIT_COLOURS = {0: "green", 1: "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One process."""

    part: str
    what: str
    pid: int | None
    state: str
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A lab at one look. A pool whose store does not answer has words instead of a status."""

    lines: tuple[Line, ...]
    pools: dict[str, PairStatus]
    silent: dict[str, str]
    store: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """0 if all that should run runs and every pool is healthy; else 1."""
        well = all(line.state == "up" for line in self.lines) and not self.silent
        return 0 if well and all(found.exit_status == 0 for found in self.pools.values()) else 1


def look(layout: Layout) -> View:
    """Look at everything."""
    pools, silent = {}, {}
    for pool in layout.pools:
        try:
            pools[pool.name] = _status(layout, pool.name)
        except PoolpairError as error:
            silent[pool.name] = _words(error)
    lines = tuple(_line(layout, pool, part, pools) for pool in layout.pools for part in pool.parts)
    return View(lines=lines, pools=pools, silent=silent, store=tuple(_store(layout)))


def _words(error: PoolpairError) -> str:
    """In one line: what a driver adds is long, and stands in the log of whoever needs the store."""
    return f"{error.code} {CATALOGUE[error.code].meaning}"


def _status(layout: Layout, pool: str) -> PairStatus:
    site = open_site(load_effective(layout.pool_file(pool)))
    try:
        return gather(site)
    finally:
        site.store.close()


def _line(layout: Layout, pool: PoolPlan, part: str, pools: dict[str, PairStatus]) -> Line:
    now, mark = parts.stands(layout, part), parts.mark(layout, part)
    what = {pool.database: "PostgreSQL", pool.application: "application"}.get(part, "front end")
    does = ""
    if part in pool.front_ends and now != "down":
        found = pools.get(pool.name)
        does = "works" if found and found.service_running and found.front_end == part else "stands by"
        tasks = layout.share(pool.name) / "TaskAssignment" / "management-store.txt"
        if pool.name in HOLDERS and tasks.exists() and tasks.read_text().strip() == part:
            does += ", and for the store"
    elif part == pool.application and now == "up":
        does = _taken(layout, pool)
    pid = mark.pid if mark and now != "down" else None
    return Line(part=part, what=f"{what} of {pool.name}, {pool.site}", pid=pid, state=now, does=does)


def _taken(layout: Layout, pool: PoolPlan) -> str:
    """Whose notes the application takes, by the last that it said of each."""
    log = layout.log(pool.application)
    said = log.read_text(errors="replace").splitlines() if log.exists() else []
    taken = []
    for owner in sorted((pool.name, pool.partner)):
        last = [line for line in said if f"notes of {owner}'s users" in line][-1:]
        taken += [owner for line in last if " are taken" in line]
    return f"takes notes of users of {' and '.join(taken)}" if taken else "takes no notes now"


def _store(layout: Layout) -> Iterator[str]:
    """Who holds the management store, by each pool that may."""
    for pool in HOLDERS:
        try:
            config = load_effective(layout.pool_file(pool))
            assert config.cms is not None
            site = open_site(management_of(config))
        except PoolpairError as error:
            yield f"management store, as pool {pool} knows it: {_words(error)}"
            continue
        try:
            held = holder(site, config.cms.home)
            term = site.serving(config.cms.home).present.epoch
            sending = gather(site).channels[0].export.status if held == pool else ""
        finally:
            site.store.close()
        says = f"; its copy: {sending}" if sending else ""
        yield f"management store, as pool {pool} knows it: held by {held} (term {term}){says}"


def show(view: View, console: Console) -> None:
    """Print it; fits 100 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("part", "what", "pid", "state", "does"):
        table.add_column(heading, justify="right" if heading == "pid" else "left")
    for line in view.lines:
        pid = str(line.pid) if line.pid else "-"
        table.add_row(line.part, line.what, pid, Text(line.state, style=COLOURS[line.state]), line.does)
    console.print(table)
    console.print()
    for name in sorted({*view.pools, *view.silent}):
        for words, style in _pool(name, view):
            console.print(Text(words, style=style))
    for words in view.store:
        console.print(Text(words))


def _pool(name: str, view: View) -> Iterator[tuple[str, str]]:
    found = view.pools.get(name)
    if found is None:
        yield f"pool {name}: {view.silent[name]}", "red"
        return
    sending = ", ".join(f"{channel.export.status} on {channel.channel}" for channel in found.channels)
    own = next(home for home in found.homes if home.home == name)
    ledger = f"; {found.ledger_open} open in the ledger" if found.ledger_open else ""
    down = "" if found.service_running else "NO service runs; "
    words = f"pool {name} (status {found.exit_status}): {down}{words_of_home(own, found)}; to {found.partner}: {sending}{ledger}"
    yield words, EXIT_COLOURS.get(found.exit_status, "red")
