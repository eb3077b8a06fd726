"""The list of runs that once found something, one a line: `seed steps store  # what it found`.

A seed means another history as soon as a fault or a weight changes. So in place of the number of steps there may stand the name of a file,
beside the list, with the steps themselves, one a line: such a run stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from poolpair.testing.options import draw
from poolpair.testing.steps import History, describe, parse
from poolpair.testing.stores import StoreKind


@dataclass(frozen=True, slots=True)
class Run:
    """One run to be made: ids are drawn from the seed; the history is the seed's own, or one that was kept."""

    seed: int
    kind: StoreKind
    history: History
    again: str
    """What tells the history to the `replay` command."""

    @classmethod
    def drawn(cls, seed: int, steps: int, kind: StoreKind) -> Run:
        """The run of a seed."""
        return cls(seed, kind, draw(seed, steps), f"--steps {steps}")

    @classmethod
    def kept(cls, seed: int, path: Path, kind: StoreKind) -> Run:
        """A run of steps that were kept. Raises OSError, ValueError."""
        lines = path.read_text(encoding="utf-8").splitlines()
        return cls(seed, kind, tuple(parse(line) for line in lines if line), f"--history {path}")


def read_regressions(path: Path) -> tuple[Run, ...]:
    """Read the list; empty lines and comments do not count. Raises OSError, ValueError."""
    found: list[Run] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.partition("#")[0].split()
        if fields:
            seed, steps, kind = fields
            if steps.isdigit():
                found.append(Run.drawn(int(seed), int(steps), StoreKind(kind)))
            else:
                found.append(Run.kept(int(seed), path.parent / steps, StoreKind(kind)))
    return tuple(found)


def keep(history: History, path: Path) -> None:
    """Write a history down for the list."""
    path.write_text("".join(f"{describe(step)}\n" for step in history), encoding="utf-8")
