"""A sweep: one short scenario again and again, in which the 1st, 2nd, 3rd ... port call of one pool goes wrong, each in one way.

A first run without a fault lists the port calls. What comes before a fault is the same in every run, so each index of that list
is one place, and on memory stores each fault branches off from one undisturbed run. After the fault the pool starts anew if it
died, the scenario goes on, and the pair must come to rest; every checker looks on as in any run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from poolpair.testing.branching import in_child
from poolpair.testing.facts import Violation, lines, serving_of
from poolpair.testing.faulty import FAILS_AFTER, NEVER_RAISES
from poolpair.testing.randomness import seeded_ids
from poolpair.testing.scenarios import FIRST_COPY, SCENARIOS
from poolpair.testing.schema import other
from poolpair.testing.simulation import Outcome, Simulation
from poolpair.testing.steps import Step, Trip, TripKind, Verb
from poolpair.testing.stores import StoreKind

SEED = 1
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


def sweep(
    kind: StoreKind, victim: str, way: str, *, scenario: str = "edits", first: int = 0, stride: int = 1
) -> Iterator[Swept]:
    """Let every `stride`-th call go wrong, from the `first` one after the first copy."""
    calls = _calls(kind, victim, scenario)
    chosen = range(calls.begun + 1 + first, len(calls.points) + 1, stride)
    places = [at for at in chosen if _applies(WAYS[way].kind, calls.points[at - 1])]
    fuses = {at: _fuse(way, victim, at) for at in places}
    if kind is StoreKind.MEMORY:
        found = _branched(victim, scenario, fuses)
    else:
        found = ((at, _whole_run(kind, victim, fuse, scenario)) for at, fuse in fuses.items())
    for at, outcome in found:
        yield Swept(at, calls.points[at - 1], outcome)


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


@dataclass(frozen=True, slots=True)
class Calls:
    """The port calls of an undisturbed run."""

    begun: int
    """How many make the first copy."""
    points: tuple[str, ...]
    by_step: tuple[int, ...]
    """How many each step makes, those of the first copy too."""


@cache
def _calls(kind: StoreKind, victim: str, scenario: str) -> Calls:
    """Run it once, and look."""
    with tempfile.TemporaryDirectory() as folder, seeded_ids(SEED):
        simulation = Simulation(Path(folder), kind)
        gate, by_step = simulation.world.pools[victim].gate, list[int]()
        copy = _at_pace(kind, FIRST_COPY)
        for step in (*copy, *_at_pace(kind, SCENARIOS[scenario])):
            before = len(gate.passed)
            simulation.take(step)
            by_step.append(len(gate.passed) - before)
        points = tuple(gate.passed)
        simulation.finish()
        moves = _moves(simulation)
        outcome = simulation.close()
        assert outcome.violation is None, f"the scenario holds without a fault: {outcome.violation}"
        assert scenario == "edits" or moves >= 2, "the home was moved, and moved back"
    return Calls(sum(by_step[: len(copy)]), points, tuple(by_step))


def _at_pace(kind: StoreKind, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Each pass twice on a real store: its packages are so large that they go in two pieces, one in each pass."""
    if kind is StoreKind.MEMORY:
        return steps
    return tuple(step for each in steps for step in (each,) * (2 if each.verb is Verb.PASS else 1))


def _moves(simulation: Simulation) -> int:
    """How often home a was moved."""
    return max(serving_of(pool.database.view(), "a").present.epoch for pool in simulation.world.pools.values())


def _check_needless(simulation: Simulation, fuse: Trip) -> None:
    """Where nothing was lost and nobody died, nothing is sent twice: other things only happened at the same time."""
    if simulation.outcome.violation or fuse.then is None or fuse.then.verb is Verb.RIVAL:
        return
    for line in lines(simulation.world):
        if line.out.rewinds:
            story = f"{line.name} was rewound {line.out.rewinds} times though nothing was lost"
            simulation.outcome.violation = Violation("nothing_is_sent_twice_for_nothing", story)


def _whole_run(kind: StoreKind, victim: str, fuse: Trip, scenario: str) -> Outcome:
    """From the beginning; the only way where a store is open in files."""
    with tempfile.TemporaryDirectory() as folder, seeded_ids(SEED):
        simulation = Simulation(Path(folder), kind)
        return _rest(simulation, victim, fuse, scenario, _at_pace(kind, (*FIRST_COPY, *SCENARIOS[scenario])))


def _branched(victim: str, scenario: str, fuses: dict[int, Trip]) -> Iterator[tuple[int, Outcome]]:
    """One undisturbed run; at each step whose calls are to go wrong, a process of its own goes on from there for each of them."""
    with tempfile.TemporaryDirectory() as folder, seeded_ids(SEED):
        simulation = Simulation(Path(folder), StoreKind.MEMORY)
        gate, waiting = simulation.world.pools[victim].gate, dict(fuses)
        steps = (*FIRST_COPY, *SCENARIOS[scenario])
        by_step = _calls(StoreKind.MEMORY, victim, scenario).by_step
        for number, step in enumerate(steps):
            passed = len(gate.passed)
            for at in [at for at in waiting if passed < at <= passed + by_step[number]]:
                rest = partial(_rest, simulation, victim, waiting.pop(at), scenario, steps[number:])
                with _put_back(Path(folder)):
                    outcome = in_child(rest)
                yield at, outcome
            simulation.take(step)
        simulation.close()
    assert not waiting, "every call belongs to a step"


@contextmanager
def _put_back(folder: Path) -> Iterator[None]:
    """Scratch files are as they were, whatever another process does with them meanwhile."""
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, aside, dirs_exist_ok=True)
        yield
        for entry in folder.iterdir():
            shutil.rmtree(entry)
        shutil.copytree(aside, folder, dirs_exist_ok=True)


def _rest(simulation: Simulation, victim: str, fuse: Trip, scenario: str, steps: tuple[Step, ...]) -> Outcome:
    """Go on with a fault on its way, to the end."""
    try:
        simulation.world.pools[victim].gate.fuse = fuse
        for step in steps:
            simulation.take(step)
            if not simulation.world.pools[victim].processes:
                simulation.take(Step(Verb.START, victim))
            if simulation.outcome.violation:
                return simulation.outcome
        simulation.finish()
        if scenario == "edits":  # whoever becomes the server sends anew from what is acknowledged
            _check_needless(simulation, fuse)
    finally:
        outcome = simulation.close()
    return outcome
