"""Runs one parser for a number of inputs, and keeps what it was not made for."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from tests.fuzz.mutator import mutated
from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).parent / "found"
KEPT = 2000
"""Of inputs that something new came of, and that others are made from."""


@dataclass
class Outcome:
    """What came of a run."""

    target: str
    tried: int = 0
    kinds: set[str] = field(default_factory=set)
    """Different words for what came of inputs."""
    failures: dict[str, bytes] = field(default_factory=dict)
    """By where it was raised."""


def fuzz(target: Target, inputs: int, seed: int) -> Outcome:
    """Try so many inputs; the same seed tries the same."""
    random, outcome, pool = Random(f"{target.name} {seed}"), Outcome(target.name), list(target.inputs)
    for data in target.inputs:
        _try(target, data, outcome)
    while outcome.tried < inputs:
        data = mutated(random, pool, target.words)
        kinds = len(outcome.kinds)
        _try(target, data, outcome)
        if len(outcome.kinds) > kinds and len(pool) < KEPT and len(data) < 1 << 14:
            pool.append(data)
    return outcome


def replay(folder: Path = FOUND) -> list[Outcome]:
    """Everything that was ever found, once more."""
    outcomes = []
    for target in TARGETS:
        outcome = Outcome(target.name)
        for path in sorted((folder / target.name.replace(" ", "-")).glob("*.bin")):
            _try(target, path.read_bytes(), outcome)
        outcomes.append(outcome)
    return outcomes


def keep(outcome: Outcome, folder: Path = FOUND) -> list[Path]:
    """Write down what failed, for `replay`."""
    paths = []
    for data in outcome.failures.values():
        path = folder / outcome.target.replace(" ", "-") / f"{sha256(data).hexdigest()[:12]}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    return paths


def _try(target: Target, data: bytes, outcome: Outcome) -> None:
    outcome.tried += 1
    try:
        outcome.kinds.add(target.run(data))
    except Exception as error:  # whatever leaves a parser and is no error of ours is a finding
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        if where not in outcome.failures or len(data) < len(outcome.failures[where]):
            outcome.failures[where] = data
