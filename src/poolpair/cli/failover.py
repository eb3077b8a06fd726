"""Commands for the day: failover, failback, and what a disaster leaves to be decided: ledger and fence."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from poolpair.alongside import write_pulse
from poolpair.asks import AskVerb
from poolpair.cli import completing
from poolpair.cli.asking import ask_partner
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk, tell
from poolpair.cli.hook import runs_of, show_run
from poolpair.cli.ledger import ledger_list, ledger_resolve, ledger_show
from poolpair.cli.ordering import ordering
from poolpair.cli.work import check_timeout, wait
from poolpair.config import PoolConfig
from poolpair.cycle import run_pass
from poolpair.decisions import nudge
from poolpair.errors import PoolpairError
from poolpair.management.before import refuse_before_store
from poolpair.model import Channel, serving_pool
from poolpair.moves import HookStep, Plan, PlanStep, plan_name
from poolpair.pipeline.site import Site
from poolpair.serving.asks import attend
from poolpair.serving.gate import tend
from poolpair.serving.ordering import Act, act_for, carry_out, move_of
from poolpair.serving.plan import words_of_plan
from poolpair.serving.price import paid, price, steps_of
from poolpair.serving.stepping import hook_of
from poolpair.serving.words import served_by
from poolpair.wiring import open_site, working_site

Home = Annotated[str, typer.Argument(help="The users' home pool.", autocompletion=completing.pools)]
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
    pool: Home,
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
    pool: Home,
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
    check_timeout(timeout_s)
    if away and not abort and (said := refuse_before_store(config, home, disaster=disaster)):
        talk.print(said, markup=False)
    site = open_site(config)
    try:
        act = act_for(site, home, away=away, disaster=disaster, abort=abort)
        if act is Act.NOTHING:
            typer.echo(served_by(site, home, "there already"))
            return
        if act.begins or (what_if and not abort):
            kind = move_of(disaster=disaster)
            for line in (*steps_of(site, kind, home), *price(site, kind, home)):
                tell(line)
            if what_if:
                return
            if not yes and not typer.confirm("Go on?"):
                raise typer.Abort
        words = f"{'failover' if away else 'failback'} {home}"
        again = "cms failover" if site.lead is Channel.CMS else words
        flags = ((disaster, "disaster"), (incomplete, "accept-incomplete"), (abort, "abort"))
        with ordering(site, f"{words}{''.join(f' --{flag}' for given, flag in flags if given)}"):
            if act.is_asked:
                verb = AskVerb.GIVE_UP if abort else AskVerb.HANDOVER
                ask_partner(site, verb, home, lambda: _worker(config, site), timeout_s, again=again)
                if not abort and site.hooks.commands.get(HookStep.AFTER_SERVE):
                    _follow(config, site, home, timeout_s)
                return
            carry_out(site, act, home, disaster=disaster, accept_incomplete=incomplete)
            nudge(site)
            _follow(config, site, home, timeout_s)
    finally:
        site.store.close()


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
            tell(line)


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
