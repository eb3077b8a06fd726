"""The checker of asks: one is carried out once, as long as somebody remembers it, and never after it was withdrawn."""

from __future__ import annotations

from collections.abc import Iterator

from poolpair.asks import AskAnswer, AskMade, AskTaken, AskVerb, is_open, made_name, taken_name
from poolpair.testing.facts import Lines, Violation
from poolpair.testing.schema import POOLS, other
from poolpair.testing.truth import AskSeen
from poolpair.testing.world import World

NAME = "no_ask_is_carried_out_twice"
STALE_S = 60.0
"""How long after its maker withdrew it an ask may still begin: the partner goes by a word of the last 30 seconds, and calls may be slow."""


def no_ask_is_carried_out_twice(world: World, _found: Lines) -> Violation | None:
    """Only a partner whose store was set back, and whose answer was not heard yet, may begin again."""
    views = [pool.database.view() for pool in world.pools.values()]
    if not world.truth.is_news(NAME, "", *views):
        return None
    _note_made(world)
    for story in _stories(world):
        return Violation(NAME, story)
    return None


def _note_made(world: World) -> None:
    """What stands in the stores of those who ask."""
    for name in POOLS:
        for home in POOLS:
            made = world.pools[name].database.view().document(AskMade, made_name(home))
            if made is None:
                continue
            seen = world.truth.asks.setdefault(made.ask.ask_id, AskSeen(maker=name))
            if is_open(made.ask):
                seen.stood_s = world.pools[other(name)].clock.now_s
            seen.heard |= made.ask.answer not in (None, AskAnswer.WITHDRAWN)
            if made.ask.verb == AskVerb.GIVE_UP and made.ask.answer == AskAnswer.DONE and made.ask.withdraws:
                world.truth.asks[made.ask.withdraws].withdrawn = True


def _stories(world: World) -> Iterator[str]:
    for ask_id, seen in world.truth.asks.items():
        taker = world.pools[other(seen.maker)]
        taken = taker.database.view().document(AskTaken, taken_name(ask_id))
        if taken is None or taken.plan_id in ("", seen.plan_id):
            continue
        what = f"the {taken.ask.verb} of {taken.ask.home} that {seen.maker} asked {taker.name} for"
        if seen.plan_id and (seen.heard or not seen.forgotten):
            yield f"{what} was begun again"
        if seen.withdrawn:
            yield f"{what} was begun after it was given up"
        if taker.clock.now_s - seen.stood_s > STALE_S:
            yield f"{what} was begun {taker.clock.now_s - seen.stood_s:.0f} s after it was withdrawn"
        seen.plan_id, seen.forgotten = taken.plan_id, False
