"""What the simulator prints: a failing run with its last steps, and the counts of a soak."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from poolpair.testing.checkers import NAMES
from poolpair.testing.options import kinds_of_fault
from poolpair.testing.regressions import Run
from poolpair.testing.simulation import Outcome
from poolpair.testing.stores import StoreKind

LAST_LINES = 40
LEGEND = (
    "step time verb pool #number [fault@port-call]* -> what came of it [fault@port-call:the call];"
    " a line with a dot is what happened in the middle of the step below it"
)


@dataclass(slots=True)
class Tally:
    """What many runs came to together."""

    seeds: int = 0
    steps: int = 0
    simulated_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)

    def add(self, seed: int, outcome: Outcome) -> None:
        """Count one run."""
        self.seeds += 1
        self.steps += outcome.steps
        self.simulated_s += outcome.simulated_s
        self.faults += outcome.faults
        self.checks += outcome.checks
        if outcome.violation:
            self.failed.append(seed)

    def unused(self) -> list[str]:
        """Faults that never happened and checkers that never had anything to check: they prove nothing."""
        faults = [name for name in kinds_of_fault() if not self.faults[name]]
        return faults + [name for name in NAMES if not self.checks[name]]

    def lines(self, elapsed_s: float, *, complete: bool) -> Iterator[str]:
        """The report of many runs; of a complete one it is a failure not to have used everything."""
        yield (
            f"{self.seeds} seeds, {self.steps} steps ({self.steps / max(elapsed_s, 0.001):.0f}/s),"
            f" {self.simulated_s / 3600:.0f} simulated hours, {len(self.failed)} failed"
        )
        yield "faults: " + _counted(self.faults, kinds_of_fault())
        yield "checks: " + _counted(self.checks, NAMES)
        if complete and (unused := self.unused()):
            yield "never used: " + ", ".join(unused)
            yield "so this run fails: a fault that never happened, or a checker with nothing to check, proves nothing"


def _counted(counts: Counter[str], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in names)


def failure(run: Run, outcome: Outcome) -> Iterator[str]:
    """A failing run: what failed, how it came to that, and how to see it again."""
    assert outcome.violation is not None
    yield f"seed {run.seed} at commit {commit()} fails: {outcome.violation.checker}"
    yield f"  {outcome.violation.story}"
    yield f"  {LEGEND}"
    ends = outcome.healing_from or len(outcome.trace)
    yield from outcome.trace[:ends][-LAST_LINES:]
    if outcome.healing_from:
        yield f"     the faults are over; {len(outcome.trace) - ends} more lines, of which the last:"
        yield from outcome.trace[-3:]
    yield f"{again(run)} --shrink"


def again(run: Run) -> str:
    """The command that makes a run again."""
    store = "" if run.kind is StoreKind.MEMORY else f" --store {run.kind}"
    return f"again: .venv/bin/python -m poolpair.testing replay {run.seed} {run.again}{store}"


def commit() -> str:
    """The commit of the code that ran, and whether it was changed since."""
    try:
        command = [
            "git",
            "-C",
            str(Path(__file__).parent),
            "describe",
            "--always",
            "--dirty",
            "--exclude=*",
            "--abbrev=12",
        ]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
