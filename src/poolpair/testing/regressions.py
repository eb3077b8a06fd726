"""The list of seeds that once found something: `seed steps store  # what it found`, one a line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from poolpair.testing.stores import StoreKind


@dataclass(frozen=True, slots=True)
class Regression:
    """One run to be made."""

    seed: int
    steps: int
    kind: StoreKind


def read_regressions(path: Path) -> tuple[Regression, ...]:
    """Read the list; empty lines and comments do not count."""
    found: list[Regression] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.partition("#")[0].split()
        if fields:
            seed, steps, kind = fields
            found.append(Regression(int(seed), int(steps), StoreKind(kind)))
    return tuple(found)
