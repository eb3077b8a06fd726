"""Commands on hooks: which are set, and what each said when it ran last."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from rich.text import Text

from poolpair.cli import completing
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk, tell
from poolpair.errors import Code, PoolpairError
from poolpair.moves import HOOK_RUNS, HookRun, HookStep, Plan, hook_name, plan_name
from poolpair.pipeline.site import Site
from poolpair.printable import printable
from poolpair.serving.stepping import hook_of
from poolpair.wiring import open_site


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Commands of yours that run at the steps of a failover.", no_args_is_help=True)
    group.command("list", epilog=EXIT_STATUSES)(hook_list)
    group.command("show", epilog=EXIT_STATUSES)(hook_show)
    app.add_typer(group, name="hook")


def hook_list() -> None:
    """List the hooks that the pool file sets, and how each ran last."""
    site = open_site(chosen_config())
    runs = site.store.read_all(HookRun, HOOK_RUNS).values()
    site.store.close()
    for step in HookStep:
        command = site.hooks.commands.get(step)
        if command:
            tell(step, shlex.join(command))
        for run in runs:
            if run.step is step:
                tell("", _outcome(run))


def hook_show(
    step: Annotated[str, typer.Argument(help="Such as before-fence.", autocompletion=completing.hook_steps)],
    pool: Annotated[str | None, typer.Option("--pool", help="Only for the users of this pool.")] = None,
) -> None:
    """Print what a hook wrote when it ran last."""
    if step not in set(HookStep):
        raise PoolpairError(Code.USAGE, f"no hook is called {step!r}; there are: {', '.join(HookStep)}")
    site = open_site(chosen_config())
    runs = [run for home in site.homes if pool in (None, home) and (run := _last(site, home, HookStep(step)))]
    site.store.close()
    if not runs:
        raise PoolpairError(Code.USAGE, f"the hook {step} has not run yet")
    for run in runs:
        tell(_outcome(run))
        if run.cut:
            typer.echo("(what it wrote before this was not kept)")
        typer.echo(printable(run.output, "\n\t"), nl=not run.output.endswith("\n"))


def _last(site: Site, home: str, step: HookStep) -> HookRun | None:
    return site.store.read(HookRun, hook_name(home, step))


def _outcome(run: HookRun) -> str:
    ended = f"FAILED: {run.failure}" if run.failure else "done"
    return f"{run.step} for {run.home} at {run.began_utc[:19]} UTC, {run.took_s:.1f} s: {ended}"


def runs_of(site: Site, home: str) -> tuple[HookRun, ...]:
    """How each hook for a home ran last, oldest first."""
    runs = site.store.read_all(HookRun, f"{HOOK_RUNS}{home}/").values()
    return tuple(sorted(runs, key=lambda run: run.began_utc))


def failed_runs(site: Site) -> list[HookRun]:
    """The runs at which plans stand."""
    plans = (site.store.read(Plan, plan_name(home)) for home in site.homes)
    stuck = [(plan.home, step) for plan in plans if plan and plan.fault and (step := hook_of(plan.step))]
    return [run for home, step in stuck if (run := _last(site, home, step))]


def show_run(run: HookRun, *, lines_max: int) -> None:
    """Print how a hook ran, and the last lines of what it wrote."""
    talk.print(Text(_outcome(run), style="red" if run.failure else ""))
    for line in run.output.splitlines()[-lines_max:]:
        talk.print(Text(f"  | {line}"))
