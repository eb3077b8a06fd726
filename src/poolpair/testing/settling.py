"""After the faults: everything heals, operators decide what waits for them, services start, and passes go on for a bounded time."""

from __future__ import annotations

from collections.abc import Iterator

from poolpair.reigns import was_ever_moved
from poolpair.testing.check_status import check_liveness
from poolpair.testing.facts import lines, serving_of
from poolpair.testing.schema import POOLS
from poolpair.testing.steps import Step, Verb
from poolpair.testing.world import World

CYCLES_MAX = 60
"""A cycle is a pass, a heartbeat and five seconds; the operators look at every third."""
HEALING = (
    Verb.END_LONG,
    Verb.SHARE_HEALS,
    Verb.TREE_BACK,
    Verb.FILE_SHRINK,
    Verb.TAKE_ROWS,
    Verb.HOOKS_WORK,
    Verb.KILL,
    Verb.START,
)
DECISIONS = (Verb.HELD_APPLY, Verb.PARKED_RETRY, Verb.SETBACK_OURS, Verb.RESUME, Verb.FILE_SHRINK)
"""A file that is too large may come back only now, with what a returned pool had."""
FIVE_S, WHOLE_TREE, ALL_CHANNELS, WITH_REPAIR = 2, 11 * 4, 3, 1
"""Numbers with which those steps do just that."""
COMPARED_AT = 6


def settle(world: World) -> Iterator[Step]:
    """The steps after the faults; no more once the pair is at rest, and stayed so for a cycle.

    What somebody did to a copy, or an operator gave up, only a comparison puts right: then, and only then, it is asked for, once.
    """
    truth, rested = world.truth, False
    spoilt = any((*truth.spoilt.values(), *truth.spoilt_files.values()))
    views = [pool.database.view() for pool in world.pools.values()]
    moved = was_ever_moved(
        serving_of(view, home) for view in views for home in POOLS
    )  # files stay behind where they were written
    compared_at = COMPARED_AT if spoilt or truth.tampered or moved else -1
    for verb in HEALING:
        yield from (Step(verb, pool, 1) for pool in POOLS)
    for pool in POOLS:
        yield Step(Verb.STRAY, pool, 0)
        yield Step(Verb.COUNT, pool)
    for cycle in range(CYCLES_MAX):
        decide = DECISIONS if cycle % 3 == 2 else ()
        for verb in (Verb.PASS, Verb.BEAT, *decide):
            yield from (Step(verb, pool, WHOLE_TREE if verb is Verb.PASS else ALL_CHANNELS) for pool in POOLS)
        yield Step(Verb.WAIT, "a", FIVE_S)
        if cycle == compared_at:
            yield from (Step(Verb.VERIFY, pool, WITH_REPAIR) for pool in POOLS)
        rests = cycle > compared_at + 1 and check_liveness(world, lines(world)) is None
        if rests and rested:
            return
        rested = rests
        truth.packed_at_rest = {line.name: line.out.next_sequence for line in lines(world)}
