"""A share that somebody fills with files that mean nothing: the line goes on beside them, both ways, and is at last rid of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.alongside import write_pulse
from poolpair.cycle import run_pass
from poolpair.format.layout import data_dir
from poolpair.model import Channel, ExportStatus
from poolpair.pipeline.receive import NEW_PER_LOOK
from poolpair.report import gather
from poolpair.share.memory import Stored
from poolpair.state import Inbound
from tests.home_moves import COSETTE, make_pair, settle, value, write
from tests.memory_pair import USERS, MemoryPair

JUNK = 200


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    return make_pair(tmp_path)


def fill(pair: MemoryPair, stream: str, first: int) -> None:
    """Put junk into b's Data, under names that packages have."""
    folder = pair.shares["b"].tree[data_dir(USERS)]
    for number in range(JUNK):
        name = f"backup-{stream}-{first + number:08d}-{number:08x}.zip"
        folder[name] = Stored(b"x" * 10, pair.clock.monotonic_s(), 1_000_000 + number)


def junk(pair: MemoryPair) -> int:
    """How much of it stands."""
    return sum(len(stored.data) == 10 for stored in pair.shares["b"].tree[data_dir(USERS)].values())


@pytest.mark.parametrize("own_stream", [True, False])
def test_the_line_goes_on_beside_a_crowd(own_stream: bool, pair: MemoryPair) -> None:
    """In each look a few are opened; b's own rows and words go out meanwhile, a's package is applied, and in the end nothing is left."""
    b = pair.sites["b"]
    inbound = b.store.read(Inbound, f"inbound/{USERS}")
    assert inbound is not None
    assert inbound.applied is not None
    fill(pair, inbound.applied.stream if own_stream else "f" * 32, inbound.applied.sequence + 2)
    write(pair, "a", "from a", COSETTE)
    run_pass(pair.sites["a"], USERS)
    before = junk(pair)
    assert run_pass(b, USERS)
    assert before - junk(pair) <= 2 * NEW_PER_LOOK
    assert b.memory.crowded == {USERS}
    assert value(pair, "b", COSETTE) == "from a"
    for _ in range(JUNK // NEW_PER_LOOK + 2):
        run_pass(b, USERS)
    assert (junk(pair), b.memory.crowded) == (0, set())
    write(pair, "a", "and again", COSETTE)
    settle(pair)
    assert value(pair, "b", COSETTE) == "and again"
    assert pair.channel("a").export.status is ExportStatus.FINAL


def test_a_lag_that_nobody_measures_is_not_small(pair: MemoryPair) -> None:
    """While the line stands still, and only the heartbeat's thread lives, what waits unseen grows old in status."""
    b = pair.sites["b"]
    run_pass(b, USERS)
    write(pair, "b", "not seen", ("b.example", "javert"))
    pair.clock.advance(300.0)
    write_pulse(b)
    lag_s = next(each for each in gather(b).channels if each.channel is Channel.USERS).export.lag_s
    assert lag_s >= 300.0
