"""Short scenarios: what a sweep runs, and what histories of moves hold now and then."""

from __future__ import annotations

from poolpair.testing.schema import POOLS
from poolpair.testing.steps import Step, Verb

EXCHANGE = tuple(Step(verb, pool, 44) for verb in (Verb.PASS, Verb.BEAT) for pool in POOLS)
FIRST_COPY = (*(Step(verb, pool, 5) for verb in (Verb.BULK, Verb.FILE) for pool in POOLS), *EXCHANGE * 5)
EDITS = (
    *(Step(verb, pool, 7) for verb in (Verb.WRITE, Verb.FILE, Verb.DELETE) for pool in POOLS),
    *EXCHANGE,
    *(Step(verb, pool, 5) for verb in (Verb.WRITE, Verb.FILE_DELETE) for pool in POOLS),
    *EXCHANGE,
)
ALONE = tuple(Step(verb, "b", 44) for verb in (Verb.PASS, Verb.BEAT, Verb.PASS))
MOVE, MOVE_ALL_THE_SAME = 5, 9
"""With these numbers the home that moves is a, with the second also to a copy that is not complete; `_edits` writes for it, wherever that
is refused or not."""


def _edits(pool: str) -> tuple[Step, ...]:
    return tuple(Step(verb, pool, number) for verb in (Verb.WRITE, Verb.FILE) for number in (7, 18, 29))


THERE_AND_BACK = (
    *_edits("a"),
    Step(Verb.HANDOVER, "a", MOVE),
    *EXCHANGE * 6,
    *_edits("b"),
    Step(Verb.HANDOVER, "b", MOVE),
    *EXCHANGE * 6,
)
ASKED = (
    *_edits("a"),
    Step(Verb.HANDOVER, "b", MOVE),
    *EXCHANGE * 7,
    *_edits("b"),
    Step(Verb.HANDOVER, "a", MOVE),
    *EXCHANGE * 7,
    Step(Verb.HANDOVER, "b", MOVE),
    *EXCHANGE[:2],
    Step(Verb.GIVE_UP, "b", MOVE),
    *EXCHANGE * 7,
)
"""There and back, ordered at the pool that does not serve; and once more, and given up from there."""
DISASTER = (
    *_edits("a"),
    Step(Verb.TAKEOVER, "b", MOVE),
    *ALONE,
    *_edits("b"),
    *_edits("a"),
    *ALONE,
    *EXCHANGE * 7,
    Step(Verb.LEDGER, "b", 1),
    Step(Verb.HANDOVER, "b", MOVE),
    *EXCHANGE * 6,
)
"""Pool a is dead from the takeover on, but its application goes on writing."""
DISPUTE = (
    *_edits("a"),
    Step(Verb.TAKEOVER, "b", MOVE_ALL_THE_SAME),
    *ALONE,
    *_edits("b"),
    *_edits("a"),
)
"""Users of a are written for at both pools before a hears that b took over: when they hear each other there is something to decide."""
SCENARIOS = {"edits": EDITS, "there and back": THERE_AND_BACK, "asked": ASKED, "disaster": DISASTER}
"""What a sweep runs after the first copy, by name."""
