"""The list of runs that once found something, one a line: `seed steps store  # what it found`.

A seed means another history as soon as a fault or a weight changes. So in place of the number of steps there may stand the name of a file,
beside the list, with the steps themselves, one a line: such a run stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from poolpair.testing.options import draw
from poolpair.testing.steps import History, describe, parse
from poolpair.testing.stores import StoreKind

T = TypeVar("T")


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
        history = tuple(_read(path, parse))
        return cls(seed, kind, history, f"--history {path}")


def read_regressions(path: Path) -> tuple[Run, ...]:
    """Read the list; empty lines and comments do not count. Raises OSError, ValueError."""
    return tuple(_read(path, lambda line: _listed(path, line), comments=True))


def _listed(path: Path, line: str) -> Run:
    seed, steps, kind = line.split()
    if steps.isdigit():
        return Run.drawn(int(seed), int(steps), StoreKind(kind))
    return Run.kept(int(seed), path.parent / steps, StoreKind(kind))


def _read(path: Path, parse_line: Callable[[str], T], *, comments: bool = False) -> Iterator[T]:
    """Parse each line that is not empty. Raises ValueError that names file and line; also for a file that holds nothing."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text") from error
    found = False
    for number, line in enumerate(lines, 1):
        if words := (line.partition("#")[0] if comments else line).strip():
            found = True
            try:
                parsed = parse_line(words)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            yield parsed
    if not found:
        raise ValueError(f"{path} holds nothing to be played: what does not run proves nothing")


def keep(history: History, path: Path) -> None:
    """Write a history down for the list."""
    path.write_text("".join(f"{describe(step)}\n" for step in history), encoding="utf-8")
