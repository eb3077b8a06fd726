"""Commands for the day: failover, failback, and what a disaster leaves to be decided: ledger and fence."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from poolpair.asks import AskVerb
from poolpair.cli.asking import ask_partner
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.cli.hook import runs_of, show_run
from poolpair.cli.ledger import ledger_list, ledger_resolve, ledger_show
from poolpair.cli.work import wait
from poolpair.config import PoolConfig
from poolpair.cycle import run_pass
from poolpair.decisions import nudge
from poolpair.errors import Code, PoolpairError
from poolpair.management.before import refuse_before_store
from poolpair.model import serving_pool
from poolpair.moves import HookStep, Move, Plan, PlanStep, plan_name
from poolpair.pipeline.site import Site
from poolpair.service import write_pulse
from poolpair.serving.asks import attend
from poolpair.serving.gate import tend
from poolpair.serving.hooked import target_of
from poolpair.serving.plan import give_up, order, resume, words_of_plan
from poolpair.serving.price import paid, price, steps_of
from poolpair.serving.stepping import hook_of
from poolpair.serving.words import served_by
from poolpair.wiring import open_site, working_site

Disaster = Annotated[bool, typer.Option("--disaster", help="The pool that serves is dead: take over without it.")]
WhatIf = Annotated[bool, typer.Option("--what-if", help="Print the plan and what it would cost; do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Incomplete = Annotated[bool, typer.Option("--accept-incomplete", help="Serve less than the partner had.")]
Abort = Annotated[bool, typer.Option("--abort", help="Give up the one that is under way here.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the end; the plan goes on without the command.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog=EXIT_STATUSES)(failover)
    app.command(epilog=EXIT_STATUSES)(failback)
    group = typer.Typer(help="Groups and files that were written at both pools.", no_args_is_help=True)
    group.command("list", epilog=EXIT_STATUSES)(ledger_list)
    group.command("show", epilog=EXIT_STATUSES)(ledger_show)
    group.command("resolve", epilog=EXIT_STATUSES)(ledger_resolve)
    app.add_typer(group, name="ledger")


def failover(
    pool: Annotated[str, typer.Argument(help="The users' home pool.")],
    disaster: Disaster = False,
    what_if: WhatIf = False,
    yes: Yes = False,
    accept_incomplete: Incomplete = False,
    abort: Abort = False,
    timeout: Timeout = 600.0,
) -> None:
    """Let the partner serve the users of a pool: planned, or because that pool is dead (--disaster)."""
    move(
        chosen_config(),
        pool,
        away=True,
        disaster=disaster,
        what_if=what_if,
        yes=yes,
        incomplete=accept_incomplete,
        abort=abort,
        timeout_s=timeout,
    )


def failback(
    pool: Annotated[str, typer.Argument(help="The users' home pool.")],
    disaster: Disaster = False,
    what_if: WhatIf = False,
    yes: Yes = False,
    accept_incomplete: Incomplete = False,
    abort: Abort = False,
    timeout: Timeout = 600.0,
) -> None:
    """Let a pool serve its own users again: planned, or because the pool that serves them is dead (--disaster)."""
    move(
        chosen_config(),
        pool,
        away=False,
        disaster=disaster,
        what_if=what_if,
        yes=yes,
        incomplete=accept_incomplete,
        abort=abort,
        timeout_s=timeout,
    )


def move(
    config: PoolConfig,
    home: str,
    *,
    away: bool,
    disaster: bool,
    what_if: bool,
    yes: bool,
    incomplete: bool,
    abort: bool,
    timeout_s: float,
) -> None:
    """Order the move of a home, or of the management store, and follow it to its end. Raises USAGE where it makes no sense."""
    if away and not abort:
        refuse_before_store(config, home)
    site = open_site(config)
    try:
        kind = Move.TAKEOVER if disaster else Move.HANDOVER
        asks = kind is Move.HANDOVER and _is_asked(site, home, away=away)
        resumed = not (abort or what_if or asks) and _resumes(site, home, away=away)
        if abort and not asks:
            give_up(site, home)
            nudge(site)
        elif resumed:
            nudge(site)
        elif not abort and _is_done(site, home, away=away):
            typer.echo(served_by(site, home, "there already"))
            return
        elif not abort:
            _check_place(site, home, kind, away=away)
            for line in (*steps_of(site, kind, home), *price(site, kind, home)):
                typer.echo(line)
            if what_if:
                return
            if not yes and not typer.confirm("Go on?"):
                raise typer.Abort
        if asks:
            verb, again = AskVerb.GIVE_UP if abort else AskVerb.HANDOVER, f"{'failover' if away else 'failback'} {home}"
            ask_partner(site, verb, home, lambda: _worker(config, site), timeout_s, again=again)
            if not abort and site.hooks.commands.get(HookStep.AFTER_SERVE):
                _follow(config, site, home, timeout_s)
            return
        if not abort and not resumed:
            order(site, kind, home, accept_incomplete=incomplete)
            nudge(site)
        _follow(config, site, home, timeout_s)
    finally:
        site.store.close()


def _is_asked(site: Site, home: str, *, away: bool) -> bool:
    """Whether the users are served by the partner, and are to come here: a planned move is then the partner's to carry out."""
    _target(site, home, away=away)
    plan = site.store.read(Plan, plan_name(home))
    runs_here = plan is not None and plan.step is not PlanStep.DONE
    return home not in site.served() and not runs_here


def _target(site: Site, home: str, *, away: bool) -> str:
    if home not in site.homes:
        raise PoolpairError(Code.USAGE, f"{home} is no pool of this pair ({' and '.join(site.homes)})")
    partner_of = site.partner if home == site.pool else site.pool
    return partner_of if away else home


def _resumes(site: Site, home: str, *, away: bool) -> bool:
    """The same order once more, where a step of its plan failed: that step is taken again."""
    plan = site.store.read(Plan, plan_name(home))
    if plan is None or plan.fault is None or target_of(site, plan) != _target(site, home, away=away):
        return False
    resume(site, home)
    return True


def _is_done(site: Site, home: str, *, away: bool) -> bool:
    target, serving = _target(site, home, away=away), site.serving(home)
    plan = site.store.read(Plan, plan_name(home))
    running = plan is not None and plan.step is not PlanStep.DONE
    return serving_pool(serving.present, (site.pool, site.partner)) == target and not running


def _check_place(site: Site, home: str, move: Move, *, away: bool) -> None:
    """A takeover is ordered where the users shall be served: the other pool is dead, or this would be no takeover."""
    target = _target(site, home, away=away)
    if move is Move.TAKEOVER and target != site.pool:
        hint = f"give this command at {target}; if {target} lives, leave --disaster out"
        raise PoolpairError(Code.USAGE, f"{target} is to take over, and this is pool {site.pool}", hint)


def _follow(config: PoolConfig, site: Site, home: str, timeout_s: float) -> None:
    """Show each step until the end, and how each hook ran. Where no service runs the command does its work. Raises HOOK_FAILED."""
    deadline_s, said = time.monotonic() + timeout_s, ""
    seen = set(runs_of(site, home))
    with _worker(config, site) as work:
        while True:
            plan = site.store.read(Plan, plan_name(home))
            fresh = [run for run in runs_of(site, home) if run not in seen]
            for run in fresh:
                show_run(run, lines_max=20)
            seen.update(fresh)
            if (plan is None or plan.step is PlanStep.DONE) and not _is_still_to_be_welcomed(site, plan, home):
                break
            if plan is not None and plan.fault is not None:
                raise PoolpairError(plan.fault.code, plan.fault.detail)
            line = _line_of(site, plan) if plan is not None and plan.step is not PlanStep.DONE else said
            if line != said:
                talk.print(line, markup=False)
                said = line
            wait(deadline_s, f"the plan goes on; it stands at: {line}")
            work()
    site.memory.serving.clear()
    present = site.serving(home).present
    server = serving_pool(present, (site.pool, site.partner))
    typer.echo(f"{served_by(site, home, f'by pool {server}')} (epoch {present.epoch})")
    if present.began == "takeover" and server == site.pool:
        for line in paid(site, home):
            typer.echo(line)


def _is_still_to_be_welcomed(site: Site, plan: Plan | None, home: str) -> bool:
    """The home was handed to this pool, and the plan in which its own `after_serve` runs is not there yet."""
    site.memory.serving.clear()
    present = site.serving(home).present
    here = present.began == "handover" and serving_pool(present, (site.pool, site.partner)) == site.pool
    runs = site.hooks.commands.get(HookStep.AFTER_SERVE) is not None
    return here and runs and (plan is None or plan.reign_id != present.reign_id)


def _line_of(site: Site, plan: Plan) -> str:
    hook = hook_of(plan.step)
    command = site.hooks.commands.get(hook) if hook else None
    return f"{words_of_plan(plan)}{f': runs {shlex.join(command)}' if command and not plan.waits_for else ''}"


@contextmanager
def _worker(config: PoolConfig, site: Site) -> Iterator[Callable[[], None]]:
    """How to let time pass: waiting while a service does the work, doing the passes here while none runs."""
    if site.store.lease_holder() is not None:
        yield lambda: None
        return
    with working_site(config) as own:

        def work() -> None:
            for channel in own.channels:
                run_pass(own, channel, force=True)
            if attend(own):
                for channel in own.channels:  # what was decided is told at once
                    run_pass(own, channel)
            tend(own)
            write_pulse(own)

        yield work
