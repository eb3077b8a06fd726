"""Plays seeds until a checker objects: exit status 1 and the checker's words, or 0 if nothing was seen. Run by `runner`."""

from __future__ import annotations

import sys

from poolpair.testing.options import draw
from poolpair.testing.simulation import play
from poolpair.testing.stores import StoreKind


def main() -> int:
    """`judge FIRST COUNT STEPS STORE`: which seeds, how long each history is, and on which kind of store."""
    first, count, steps = (int(word) for word in sys.argv[1:4])
    for seed in range(first, first + count):
        outcome = play(draw(seed, steps), seed, StoreKind(sys.argv[4]))
        if outcome.violation is not None:
            story = outcome.violation.story.splitlines()[0]
            print(f"seed {seed}: {outcome.violation.checker}: {story}")  # noqa: T201 - a tool
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
