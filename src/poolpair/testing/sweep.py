"""A sweep: one short scenario again and again, in which the 1st, 2nd, 3rd ... port call of one pool goes wrong, each in one way.

A first run without a fault lists the port calls. What comes before a fault is the same in every run, so each index of that list
is one place. After the fault the pool starts anew if it died, the scenario goes on, and the pair must come to rest; every checker
looks on as in any run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from poolpair.testing.facts import Violation, lines
from poolpair.testing.faulty import FAILS_AFTER, NEVER_RAISES
from poolpair.testing.randomness import seeded_ids
from poolpair.testing.schema import POOLS, other
from poolpair.testing.simulation import Outcome, Simulation
from poolpair.testing.steps import Step, Trip, TripKind, Verb
from poolpair.testing.stores import StoreKind

SEED = 1
EXCHANGE = tuple(Step(verb, pool, 44) for verb in (Verb.PASS, Verb.BEAT) for pool in POOLS)
FIRST_COPY = (*(Step(verb, pool, 5) for verb in (Verb.BULK, Verb.FILE) for pool in POOLS), *EXCHANGE * 5)
SCENARIO = (
    *(Step(verb, pool, 7) for verb in (Verb.WRITE, Verb.FILE, Verb.DELETE) for pool in POOLS),
    *EXCHANGE,
    *(Step(verb, pool, 5) for verb in (Verb.WRITE, Verb.FILE_DELETE) for pool in POOLS),
    *EXCHANGE,
)
WAYS: dict[str, Trip] = {
    "error": Trip(0, TripKind.ERROR),
    "another error": Trip(0, TripKind.ERROR, 1),
    "fails after": Trip(0, TripKind.FAILS_AFTER),
    "crash before": Trip(0, TripKind.CRASH_BEFORE),
    "crash after": Trip(0, TripKind.CRASH_AFTER),
    "the application writes": Trip(0, TripKind.INTERLUDE, 0, Step(Verb.WRITE, "", 21)),
    "a file changes": Trip(0, TripKind.INTERLUDE, 0, Step(Verb.FILE, "", 7)),
    "the heartbeat": Trip(0, TripKind.INTERLUDE, 0, Step(Verb.BEAT, "", 3)),
    "a second service works": Trip(0, TripKind.INTERLUDE, 0, Step(Verb.RIVAL, "", 0)),
    "the partner passes": Trip(0, TripKind.INTERLUDE, 0, Step(Verb.PASS, "partner", 44)),
}


@dataclass(frozen=True, slots=True)
class Swept:
    """One run of a sweep: at which call of which pool it went wrong, and what came of it."""

    at: int
    point: str
    outcome: Outcome


def sweep(kind: StoreKind, victim: str, way: str, *, first: int = 0, stride: int = 1) -> Iterator[Swept]:
    """Let every `stride`-th call go wrong, from the `first` one after the first copy."""
    begun, points = _points(kind, victim)
    for at in range(begun + 1 + first, len(points) + 1, stride):
        if _applies(WAYS[way].kind, points[at - 1]):
            yield Swept(at, points[at - 1], _run(kind, victim, _fuse(way, victim, at)))


def _fuse(way: str, victim: str, at: int) -> Trip:
    trip = WAYS[way]
    if trip.then is None:
        return Trip(at, trip.kind, trip.number)
    pool = other(victim) if trip.then.pool == "partner" else victim
    return Trip(at, trip.kind, trip.number, Step(trip.then.verb, pool, trip.then.number))


def _applies(kind: TripKind, point: str) -> bool:
    if kind is TripKind.FAILS_AFTER:
        return point in FAILS_AFTER
    return kind is not TripKind.ERROR or point not in NEVER_RAISES


def _points(kind: StoreKind, victim: str) -> tuple[int, list[str]]:
    """The calls of an undisturbed run, and how many of them make the first copy."""
    with tempfile.TemporaryDirectory() as folder, seeded_ids(SEED):
        simulation = Simulation(Path(folder), kind)
        gate = simulation.world.pools[victim].gate
        for step in FIRST_COPY:
            simulation.take(step)
        begun = len(gate.passed)
        for step in SCENARIO:
            simulation.take(step)
        points = list(gate.passed)
        assert simulation.close().violation is None, "the scenario holds without a fault"
    return begun, points


def _check_needless(simulation: Simulation, fuse: Trip) -> None:
    """Where nothing was lost and nobody died, nothing is sent twice: other things only happened at the same time."""
    if simulation.outcome.violation or fuse.then is None or fuse.then.verb is Verb.RIVAL:
        return
    for line in lines(simulation.world):
        if line.out.rewinds:
            story = f"{line.name} was rewound {line.out.rewinds} times though nothing was lost"
            simulation.outcome.violation = Violation("nothing_is_sent_twice_for_nothing", story)


def _run(kind: StoreKind, victim: str, fuse: Trip) -> Outcome:
    with tempfile.TemporaryDirectory() as folder, seeded_ids(SEED):
        simulation = Simulation(Path(folder), kind)
        try:
            simulation.world.pools[victim].gate.fuse = fuse
            for step in (*FIRST_COPY, *SCENARIO):
                simulation.take(step)
                if not simulation.world.pools[victim].processes:
                    simulation.take(Step(Verb.START, victim))
                if simulation.outcome.violation:
                    return simulation.outcome
            simulation.finish()
            _check_needless(simulation, fuse)
        finally:
            outcome = simulation.close()
    return outcome
