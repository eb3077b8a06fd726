"""`status --watch`: the page's sister in a terminal. The same sentences and lanes, renewed until it is ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from poolpair.errors import PoolpairError
from poolpair.outlook import Level, worst
from poolpair.overview import Card, Lane, Side, cards, headline, homes, lanes, sides
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.serving.progress import Progress, StepState, progress
from poolpair.status import PairStatus
from poolpair.stopping import Stop
from poolpair.wording import remarks

EVERY_S = 1.0
SIGNS = {Level.HEALTHY: "●", Level.ATTENTION: "▲", Level.BROKEN: "✖"}
STYLES = {Level.HEALTHY: "green", Level.ATTENTION: "yellow", Level.BROKEN: "red"}
NARROW = 90
_STEPS = {StepState.DONE: ("✔", "green"), StepState.NOW: ("▶", "yellow"), StepState.FAILED: ("✖", "red")}


def watch(site: Site, console: Console, every_s: float = EVERY_S) -> int:
    """Show how the pair stands until SIGINT or SIGTERM; returns the exit status of what was seen last.

    A store that cannot be read for a while is said, and tried again. Raises what the first look raises.
    """
    stop = Stop()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        found, plans = gather(site), _plans(site)
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            trouble = ""
            while not stop.is_set():
                live.update(picture(found, plans, console.width, trouble), refresh=True)
                stop.wait(every_s)
                try:
                    found, plans, trouble = gather(site), _plans(site), ""
                except PoolpairError as error:
                    trouble = str(error)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return found.exit_status


def _plans(site: Site) -> list[Progress]:
    return [each for home in site.homes if (each := progress(site, home)) is not None]


def picture(found: PairStatus, plans: list[Progress], width: int, trouble: str = "") -> RenderableType:
    """One look. Fits `width` columns."""
    by_exit = {0: Level.HEALTHY, 1: Level.ATTENTION}.get(found.exit_status, Level.BROKEN)
    level = worst(by_exit, *(each.level for each in found.takeovers))
    head = Text.assemble((f"{SIGNS[level]} {headline(found)}", f"bold {STYLES[level]}"))
    asof = Text(f"pool {found.pool}, as of {found.at_utc[:19].replace('T', ' ')} UTC; end with Ctrl-C", style="dim")
    parts: list[RenderableType] = [Panel(Group(head, asof), border_style=STYLES[level])]
    if trouble:
        parts.append(Text(f"what is shown is old: {trouble}", style="bold red"))
    parts += [_beside([_card(card) for card in cards(found)], width)]
    parts += [_plan(plan) for plan in plans]
    parts += [_beside([_side(side) for side in sides(found)], width)]
    parts += [line for lane in lanes(found) for line in _lane(lane)]
    parts += list(_homes(found))
    parts += [_signed(remark.level, remark.line) for remark in remarks(found)]
    return Group(*parts)


def _signed(level: Level, words: str, style: str = "") -> Text:
    return Text.assemble((f"{SIGNS[level]} ", STYLES[level]), (words, style), overflow="fold")


def _beside(each: list[Panel], width: int) -> RenderableType:
    """Side by side where there is room."""
    if width < NARROW:
        return Group(*each)
    grid = Table.grid(expand=True)
    for _ in each:
        grid.add_column(ratio=1)
    grid.add_row(*each)
    return grid


def _card(card: Card) -> Panel:
    lines = [_signed(card.level, card.answer, "bold"), *(Text(f"  - {line}") for line in card.details[:4])]
    return Panel(Group(*lines, Text(f"  {card.cost}")), title=card.title, title_align="left", border_style="dim")


def _side(side: Side) -> Panel:
    serves = f"serves users of {' and '.join(side.serves)}" if side.serves else "serves nobody"
    words = _signed(side.level, serves, "bold")
    lines = [Text(f"  {line}", style="dim") for line in side.lines]
    title = f"pool {side.pool}{' (here)' if side.here else ''}"
    return Panel(Group(words, *lines), title=title, title_align="left", border_style="dim")


def _lane(lane: Lane) -> Iterator[Text]:
    """Two lines: who to whom and how it stands; the watermarks with what lies between."""
    note = f" ({lane.note})" if lane.note else ""
    arrow = f"{lane.sender} → {lane.receiver}"
    yield Text.assemble(
        (f"{SIGNS[lane.level]} ", STYLES[lane.level]),
        (f"{lane.channel:<12}", "bold"),
        f"{arrow}  {lane.state}{note}; {lane.foot}",
        overflow="fold",
    )
    marks = Text("  ", overflow="fold")
    for number, stop in enumerate(lane.stops):
        marks.append(f"{stop.name} ", "dim")
        marks.append(stop.value, "bold")
        if number < len(lane.gaps):
            gap = lane.gaps[number]
            marks.append(f" ─[{gap}]→ " if gap else " ─→ ", "yellow" if gap else "dim")
    yield marks


def _plan(plan: Progress) -> Panel:
    steps = Text(overflow="fold")
    for step in plan.steps:
        sign, style = _STEPS.get(step.state, ("·", "dim"))
        steps.append(f"{sign} {step.name}  ", style)
    lines = [steps]
    if plan.failure:
        lines += [Text(f"{plan.failure}; {plan.hint}", style="red")]
    elif plan.waits_for:
        lines += [Text(f"waits: {plan.waits_for}", style="yellow")]
    title = f"{plan.move} of {plan.home} to {plan.to}, by pool {plan.at}"
    return Panel(Group(*lines), title=title, title_align="left", border_style="yellow")


def _homes(found: PairStatus) -> Iterator[Text]:
    for home, level, words in homes(found):
        yield _signed(level, f"users of {home.home}: served by {home.served_by} (epoch {home.epoch}), {words}")
