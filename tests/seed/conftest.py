"""The pair that most of these tests look at, and the original's experiment, done once with the real program."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pair import Pair, make_pair
from tests.seed.experiment import Seen, run_experiment


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two pools after their first copy, both services running, on a virtual clock."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    yield made
    stop_all(made)


@pytest.fixture
def slow_pair(tmp_path: Path) -> Iterator[Pair]:
    """The same with `eager = false`: a change leaves at the pace of the interval, as in the original."""
    made = make_pair(tmp_path, eager=False)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle(force=True)
    yield made
    stop_all(made)


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What one sees when lyncfe04's service is stopped, a sync is invoked at lyncfe03, and lyncfe04 is started again.

    Done by whichever worker of a run asks first; the others wait for it, and look at the same.
    """
    mine = tmp_path_factory.getbasetemp()
    place = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    seen = place / "experiment.seen"
    with (place / "experiment.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not seen.exists():
            found = run_experiment(tmp_path_factory.mktemp("experiment"))
            seen.write_bytes(pickle.dumps(found))
        made: Seen = pickle.loads(seen.read_bytes())
    return made


def stop_all(pair: Pair) -> None:
    """Stop what still runs."""
    for pool in tuple(pair.sites):
        pair.stop(pool)
