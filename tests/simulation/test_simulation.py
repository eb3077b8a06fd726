"""The simulator: the same seed gives the same history."""

from __future__ import annotations

from poolpair.testing.options import draw_history
from poolpair.testing.simulation import play


def test_the_same_seed_gives_the_same_trace() -> None:
    """Two runs of one seed agree line by line, to the last id and second."""
    one, other = (play(draw_history(5, 150), 5) for _ in range(2))
    assert one.trace == other.trace
    assert len(one.trace) > 150
