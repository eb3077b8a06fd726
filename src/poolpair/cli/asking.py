"""A planned command given at the pool that does not serve: the partner is asked, and its steps are shown until the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import typer

from poolpair.asks import ASK_LIES_S, AskAnswer, AskMade, AskVerb, is_open, made_name, words_of
from poolpair.cli.context import talk, tell
from poolpair.cli.work import wait
from poolpair.decisions import nudge
from poolpair.errors import Code, PoolpairError
from poolpair.model import Ask, serving_pool
from poolpair.pipeline.site import Site
from poolpair.serving.asks import make_ask
from poolpair.serving.words import served_by

Worker = Callable[[], AbstractContextManager[Callable[[], None]]]


def ask_partner(site: Site, verb: AskVerb, home: str, worker: Worker, timeout_s: float, *, again: str) -> None:
    """Ask, and follow what comes of it. `again` is the command as it was given, for hints.

    Raises USAGE if the partner refuses or gives up, HOOK_FAILED if a step failed there, TIMEOUT if it does not come to an end in time.
    """
    ask = make_ask(site, verb, home)
    nudge(site)
    ended = _follow(site, ask, worker, timeout_s, again)
    if ended.answer == AskAnswer.DONE:
        site.memory.serving.clear()
        present = site.serving(home).present
        server = serving_pool(present, (site.pool, site.partner))
        if ended.detail:
            tell(f"{site.partner}: {ended.detail}")
        typer.echo(f"{served_by(site, home, f'by pool {server}')} (epoch {present.epoch})")
        return
    if ended.answer == AskAnswer.REFUSED:
        raise PoolpairError(Code.USAGE, f"{site.partner} refuses: {ended.detail}", ended.hint)
    raise PoolpairError(
        Code.USAGE, f"the {verb} of {home} asked of {site.partner} is over: {ended.detail or ended.answer}"
    )


def _follow(site: Site, ask: Ask, worker: Worker, timeout_s: float, again: str) -> Ask:
    """Show each step at the partner; returns the ask as it ended."""
    deadline_s, said = time.monotonic() + timeout_s, ""
    with worker() as work:
        while True:
            made = site.store.read(AskMade, made_name(ask.home))
            if made is None or made.ask.ask_id != ask.ask_id:
                raise PoolpairError(Code.USAGE, f"another command about {ask.home} came after this one")
            if not is_open(made.ask):
                return made.ask
            if made.ask.hint:
                hint = f"{made.ask.hint}; at {site.partner}, or the same command again here takes that step again"
                raise PoolpairError(Code.HOOK_FAILED, f"at {site.partner}: {made.ask.detail}", hint)
            line = words_of(made.ask, site.partner)
            if line != said:
                talk.print(line, markup=False)
                said = line
            wait(deadline_s, *_out_of_time(site, made.ask, again))
            work()


def _out_of_time(site: Site, ask: Ask, again: str) -> tuple[str, str | None]:
    """What a command says that does not wait any longer, and its hint."""
    if ask.answer is not None:
        return f"the plan goes on at {site.partner}; it stands at: {ask.detail}", None
    hint = (
        f"if {site.partner} lives, look why it is silent: the ask stands, `{again} --abort` withdraws it, and {ASK_LIES_S / 60:.0f} minutes"
        f" after it was made it is withdrawn by itself; if {site.partner} is dead: `{again} --disaster`"
    )
    return f"{site.partner} did not answer", hint
