"""The pair that most of these tests look at, and the original's experiment, done once with the real program."""

from __future__ import annotations

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
    """What one sees when lyncfe04's service is stopped, a sync is invoked at lyncfe03, and lyncfe04 is started again."""
    return run_experiment(tmp_path_factory.mktemp("experiment"))


def stop_all(pair: Pair) -> None:
    """Stop what still runs."""
    for pool in tuple(pair.sites):
        pair.stop(pool)
