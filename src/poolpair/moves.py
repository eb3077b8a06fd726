"""What moves a home from pool to pool, as documents in the store: plans, hooks, the gate, an operator's word."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from poolpair.errors import Code
from poolpair.model import Fault


class Move(StrEnum):
    """What is done with a home."""

    HANDOVER = "handover"
    """Planned: both pools live, nothing is lost."""
    TAKEOVER = "takeover"
    """The serving pool is dead: what never came from it is found when it returns."""


class HookStep(StrEnum):
    """When a command of the operator's runs; the value is what `POOLPAIR_STEP` says."""

    BEFORE_FENCE = "before-fence"
    AFTER_FENCE = "after-fence"
    BEFORE_APPLY = "before-apply"
    AFTER_APPLY = "after-apply"
    BEFORE_SERVE = "before-serve"
    AFTER_SERVE = "after-serve"
    GATE_OPEN = "gate-open"
    GATE_CLOSE = "gate-close"
    DRILL = "drill"
    AFTER_IMPORT = "after-import"
    AFTER_CONFIGURE = "after-configure"


class PlanStep(StrEnum):
    """Where a plan stands; the value is what `status` prints. What is called like a `HookStep` runs that hook."""

    COMPARE = "compare"
    BEFORE_FENCE = "before-fence"
    FENCE = "fence"
    AFTER_FENCE = "after-fence"
    DRAIN = "drain"
    CONFIRM = "confirm"
    BEFORE_APPLY = "before-apply"
    APPLY = "apply what stands"
    AFTER_APPLY = "after-apply"
    BEFORE_SERVE = "before-serve"
    SERVE = "serve"
    AFTER_SERVE = "after-serve"
    GIVE_UP = "give up"
    DONE = "done"


STEPS_OF: dict[Move, tuple[PlanStep, ...]] = {
    Move.HANDOVER: (
        PlanStep.COMPARE,
        PlanStep.BEFORE_FENCE,
        PlanStep.FENCE,
        PlanStep.AFTER_FENCE,
        PlanStep.DRAIN,
        PlanStep.CONFIRM,
        PlanStep.DONE,
    ),
    Move.TAKEOVER: (
        PlanStep.BEFORE_APPLY,
        PlanStep.APPLY,
        PlanStep.AFTER_APPLY,
        PlanStep.BEFORE_SERVE,
        PlanStep.SERVE,
        PlanStep.AFTER_SERVE,
        PlanStep.DONE,
    ),
}
"""In the order in which they are taken, at the pool where the plan was ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One order and how far it has come."""

    plan_id: str
    move: Move
    home: str
    step: PlanStep
    reign_id: str = ""
    """The reign that it is to end; once that is over, by whatever means, so is the plan. After that, the reign that it began."""
    accept_incomplete: bool = False
    begun_utc: str = ""
    waits_for: str = ""
    """Why the present step is not over, in words."""
    not_read: str = ""
    """Why a takeover did not wait any longer for something that stood."""
    fault: Fault | None = None
    """The present step failed: nothing goes on until the operator orders it again, or gives it up."""


def plan_name(home: str) -> str:
    """The document of the plan for a home."""
    return f"plan/{home}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """How a hook ran last."""

    home: str
    step: HookStep
    command: tuple[str, ...]
    began_utc: str
    took_s: float
    failure: str = ""
    """Why it counts as failed; empty if it ended with status 0."""
    output: str = ""
    """The end of what it wrote on standard output and standard error."""
    cut: bool = False
    """It wrote more than that."""


def hook_fault(run: HookRun) -> Fault:
    """A failed hook as status shows it; what it wrote stays out, for status goes further than the hook's own machine."""
    detail = f"the hook {run.step} for {run.home} ({shlex.join(run.command)}) {run.failure}"
    return Fault(code=Code.HOOK_FAILED, detail=detail, since_utc=run.began_utc)


HOOK_RUNS = "hook/"


def hook_name(home: str, step: HookStep) -> str:
    """The document of the last run of a hook for a home."""
    return f"{HOOK_RUNS}{home}/{step}"


DRILLS = "drill/"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillResult:
    """What the last rehearsal of a takeover of a home found."""

    home: str
    at_utc: str
    failure: str = ""
    """Why it counts as failed, in words; empty if it passed."""
    rpo_s: float | None = None
    """Whatever the partner had accepted so long before the drill began was served by the copy; None: not known."""
    rto_s: float = 0.0
    """From the order to the end of the takeover, without hooks and without whoever decides."""
    took_s: float = 0.0
    """The whole drill."""
    copied_bytes: int = 0
    """Of the database and of files."""
    files: int = 0
    packages: int = 0
    """That stood, and were applied by the takeover."""
    check: str = ""
    """The command that looked at what would be served; empty if none is set."""
    passed_utc: str = ""
    """When an earlier drill of this home passed, if this one failed."""

    @property
    def passed(self) -> str:
        """When the last one that passed began; empty if none ever did."""
        return self.passed_utc if self.failure else self.at_utc


def drill_name(home: str) -> str:
    """The document of the last drill for a home."""
    return f"{DRILLS}{home}"


FENCE_OFF = "fence/off"


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceOff:
    """An operator took the fence away: whatever is written here for users of the other pool is on nobody's account."""

    reason: str
    since_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """When a pool doubts whether it still may serve, and lets nobody write until that is settled."""

    at_start: bool = False
    """A service that starts has not heard yet whether the partner took over."""
    wait_s: float | None = 120.0
    """So long it waits for a word after its start; None: for ever, or until an operator says so."""
    self_fence_after_s: float | None = None
    """So long without a fresh word, and the partner may well have taken over; None: it goes on serving."""
    watch: Path | None = None
    """What the application makes anew when it starts: it knows then nothing of what gate hooks told it before."""


class GateWhy(StrEnum):
    """Why the gate is closed."""

    START = "start"
    SILENT = "silent"
    BY_HAND = "by hand"


GATE = "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate is closed: whatever this pool serves is fenced until it is confirmed. Without this document it is open."""

    why: GateWhy
    since_utc: str


GATE_WORD = "gate-word"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateWord:
    """An operator said that the partner does not serve; good until the partner is heard again."""

    reason: str
    since_utc: str
    plan_id: str = ""
    """Of the takeover by whose order it was said."""


def gate_run_name(home: str) -> str:
    """The document of the `HookRun` that opened or closed the application for a home last, or failed to."""
    return f"gate-run/{home}"
