"""Runs a history: each step in turn, the checkers after each; then the faults stop, and the pair must come to rest.

The same history gives the same trace, to the byte. A violation ends the run at once.
"""

from __future__ import annotations

import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from poolpair.testing import application, gating, hooking, intruder, machines, mover, operator
from poolpair.testing.check_files import check_files_at_rest
from poolpair.testing.check_status import check_liveness, check_quiet
from poolpair.testing.checkers import CHECKERS
from poolpair.testing.facts import Violation, lines
from poolpair.testing.randomness import seeded_ids
from poolpair.testing.schema import MANAGEMENT, POOLS
from poolpair.testing.settling import settle
from poolpair.testing.steps import Step, Verb, describe
from poolpair.testing.stores import StoreKind, maker
from poolpair.testing.watching import watch
from poolpair.testing.world import TICK_S, World

OF_FILES = frozenset(
    {
        Verb.FILE,
        Verb.FILE_DELETE,
        Verb.FILE_LARGE,
        Verb.FILE_SHRINK,
        Verb.FILE_GROWS,
        Verb.FILE_TAMPER,
        Verb.TREE_MISSING,
        Verb.TREE_BACK,
    }
)
ACTIONS: dict[Verb, Callable[[World, Step], str]] = {
    Verb.WAIT: machines.wait,
    Verb.WRITE: application.write,
    Verb.DELETE: application.delete,
    Verb.BULK: application.bulk,
    Verb.MASS_DELETE: application.mass_delete,
    Verb.STRAY: application.stray,
    Verb.TAMPER: application.tamper,
    Verb.BEGIN_LONG: application.begin_long,
    Verb.END_LONG: application.end_long,
    Verb.FILE: application.file,
    Verb.FILE_DELETE: application.file_delete,
    Verb.FILE_LARGE: application.file_large,
    Verb.FILE_SHRINK: application.file_shrink,
    Verb.FILE_GROWS: application.file_grows,
    Verb.FILE_TAMPER: application.file_tamper,
    Verb.PASS: machines.run,
    Verb.BEAT: machines.beat,
    Verb.COUNT: machines.count,
    Verb.KILL: machines.kill,
    Verb.START: machines.start,
    Verb.RIVAL: machines.rival,
    Verb.CLONE: machines.clone,
    Verb.AWAY: machines.away,
    Verb.CLOCK_JUMP: machines.clock_jump,
    Verb.CLOCK_SKEW: machines.clock_skew,
    Verb.LOCK: machines.lock,
    Verb.SAVE: machines.save,
    Verb.RESTORE: machines.restore,
    Verb.REFUSE_ROWS: machines.refuse_rows,
    Verb.TAKE_ROWS: machines.take_rows,
    Verb.SHARE_DOWN: intruder.share_down,
    Verb.SHARE_FULL: intruder.share_full,
    Verb.SHARE_READ_ONLY: intruder.share_read_only,
    Verb.SHARE_SLOW: intruder.share_slow,
    Verb.SHARE_STALE: intruder.share_stale,
    Verb.SHARE_REORDERED: intruder.share_reordered,
    Verb.SHARE_HEALS: intruder.share_heals,
    Verb.TREE_MISSING: machines.tree_missing,
    Verb.TREE_BACK: machines.tree_back,
    Verb.PACKAGE_LOST: intruder.package_lost,
    Verb.PACKAGE_CORRUPTED: intruder.package_corrupted,
    Verb.PACKAGE_TRUNCATED: intruder.package_truncated,
    Verb.PACKAGE_SWAPPED: intruder.package_swapped,
    Verb.PACKAGE_REFLECTED: intruder.package_reflected,
    Verb.PACKAGE_DUPLICATED: intruder.package_duplicated,
    Verb.PACKAGE_REPLAYED: intruder.package_replayed,
    Verb.PACKAGE_PARTIAL: intruder.package_partial,
    Verb.TEMP_SWEPT: intruder.temp_swept,
    Verb.COOKIE_LOST: intruder.cookie_lost,
    Verb.COOKIE_CORRUPTED: intruder.cookie_corrupted,
    Verb.COOKIE_REPLAYED: intruder.cookie_replayed,
    Verb.COOKIE_REFLECTED: intruder.cookie_reflected,
    Verb.HELD_APPLY: operator.held_apply,
    Verb.HELD_REFUSE: operator.held_refuse,
    Verb.PARKED_RETRY: operator.parked_retry,
    Verb.PARKED_DROP: operator.parked_drop,
    Verb.SETBACK_OURS: operator.setback_ours,
    Verb.VERIFY: operator.verify,
    Verb.RESUME: operator.resume,
    Verb.PAUSE: operator.pause,
    Verb.KEY_ADD: operator.key_add,
    Verb.KEY_ACTIVATE: operator.key_activate,
    Verb.HANDOVER: mover.handover,
    Verb.TAKEOVER: mover.takeover,
    Verb.GIVE_UP: mover.give_up,
    Verb.LEDGER: mover.ledger,
    Verb.HOOK_FAILS: hooking.hook_fails,
    Verb.HOOK_AGAIN: hooking.hook_again,
    Verb.HOOKS_WORK: hooking.hooks_work,
    Verb.GATE: gating.gate,
}


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    steps: int = 0
    simulated_s: float = 0.0
    violation: Violation | None = None
    trace: list[str] = field(default_factory=list)
    healing_from: int = 0
    """From this line of the trace on the faults are over; 0 if it did not come to that."""
    faults: Counter[str] = field(default_factory=Counter)
    """By kind: how often each was really there, not only planned."""
    checks: Counter[str] = field(default_factory=Counter)


class Simulation:
    """One run of one history."""

    def __init__(self, scratch: Path, kind: StoreKind) -> None:
        self.outcome = Outcome()
        self._seen: list[object] = []
        self.world = World(scratch, maker(kind, scratch), self._interlude, watch)
        for pool in POOLS:
            self.world.start(pool)

    def take(self, step: Step) -> None:
        """Carry out one step and check."""
        outcome, world = self.outcome, self.world
        outcome.steps += 1
        world.advance(TICK_S)
        gate = world.pools[step.pool].gate if step.pool else None
        if gate:
            gate.arm(step.trips)
        said = self._carry_out(step)
        now_s = world.pools["a"].clock.now_s
        outcome.trace.append(
            f"{outcome.steps:4} {now_s:11.3f} {describe(step)} -> {said} {gate.told() if gate else ''}".rstrip()
        )
        self._check(f"after step {outcome.steps}, {step.verb} {step.pool}")

    def _carry_out(self, step: Step) -> str:
        self.world.truth.used["nothing_escapes"] += 1
        try:
            said = "has no files" if MANAGEMENT and step.verb in OF_FILES else ACTIONS[step.verb](self.world, step)
        except Exception as error:  # whatever escapes from the production steps is a finding, of any kind
            *_, last = traceback.extract_tb(error.__traceback__)
            story = (
                f"{step.verb} raised {type(error).__name__}: {error}, at {Path(last.filename).name}, line {last.lineno}"
            )
            self.outcome.violation = Violation("nothing_escapes", story)
            return "raised"
        if said not in NOTHING:
            self.outcome.faults[step.verb] += 1
        return said

    def _interlude(self, step: Step) -> None:
        """Between two port calls somebody else takes a step. Files and times move on; checkers wait for the step's end."""
        self.world.advance(TICK_S)
        trace, at = self.outcome.trace, len(self.outcome.trace)
        trace.append(f"       . {describe(step)}")
        said = self._carry_out(step)
        trace[at] += f" -> {said}"  # steps in the middle of this one have their lines below it

    def _check(self, when: str) -> None:
        outcome, world = self.outcome, self.world
        if outcome.violation is None and world.truth.broken:
            name, story = world.truth.broken[0]
            outcome.violation = Violation(name, story)
        if outcome.violation is None and not self._is_news():
            return
        for pool in world.pools.values():
            world.record(pool)
        found = lines(world)
        for checker in CHECKERS:
            if outcome.violation is None:
                outcome.violation = checker(world, found)
        if outcome.violation:
            outcome.trace.append(f"     violated {when}: {outcome.violation.checker}: {outcome.violation.story}")

    def _is_news(self) -> bool:
        """Whether anything changed of what a checker looks at. What else the truth learns only makes checkers forgive more."""
        seen: list[object] = []
        for pool in self.world.pools.values():
            words = [word for process in pool.processes[-1:] for word in process.site.memory.word_s.values()]
            seen += (
                pool.database.view(),
                *pool.standing(),
                pool.tree.hint(),
                pool.tree.missing,
                *pool.processes[-1:],
                *words,
            )
        if len(seen) == len(self._seen) and all(one is other for one, other in zip(seen, self._seen, strict=True)):
            return False
        self._seen = seen
        return True

    def finish(self) -> None:
        """The faults stop: within a bounded number of cycles both pools say FinalState everywhere, and are equal."""
        outcome, world = self.outcome, self.world
        outcome.healing_from = len(outcome.trace)
        drawn = Counter(outcome.faults)
        for step in settle(world):
            self.take(step)
            if outcome.violation:
                return
        outcome.faults = drawn  # what heals is no fault
        outcome.violation = check_liveness(world, lines(world)) or check_quiet(world) or check_files_at_rest(world)
        if outcome.violation:
            outcome.trace.append(f"     violated at rest: {outcome.violation.checker}: {outcome.violation.story}")

    def close(self) -> Outcome:
        """Count up and let go."""
        outcome, world = self.outcome, self.world
        outcome.simulated_s = world.pools["a"].clock.now_s
        for pool in world.pools.values():
            outcome.faults += pool.gate.fired
        outcome.checks += world.truth.used
        world.close()
        return outcome


NOTHING = {
    "none stands", "no two stand", "none was seen", "nothing is held", "nothing is parked", "not set back", "not stopped",
    "no backup", "not now", mover.NOTHING_TO_DO, "too early", "is down", "runs already", "has it", "is empty",
    application.UNMOUNTED, application.FEW,
}  # fmt: skip
"""What a step says when there was nothing for it to do: it does not count as a fault that was there."""


def play(
    history: tuple[Step, ...], seed: int, kind: StoreKind = StoreKind.MEMORY, *, scratch: Path | None = None
) -> Outcome:
    """Run a history from its beginning to its rest."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder, seeded_ids(seed):
        simulation = Simulation(Path(folder), kind)
        try:
            for step in history:
                simulation.take(step)
                if simulation.outcome.violation:
                    break
            else:
                simulation.finish()
        finally:
            outcome = simulation.close()
    return outcome
