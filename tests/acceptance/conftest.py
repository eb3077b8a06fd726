"""Pairs of real service processes; each fixture ends what it started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poolpair.lab.pool import Pool, make_pools
from poolpair.lab.steps import wait_final

Pools = tuple[Pool, Pool]


@contextmanager
def running(folder: Path) -> Iterator[Pools]:
    """Both services running, first copy done; quick heartbeats, so that a word is never old."""
    pools = make_pools(folder, interval='"5s"', heartbeat_max='"500ms"', eager="true")
    try:
        for pool in pools:
            pool.start()
        wait_final(*pools)
        yield pools
    finally:
        for pool in pools:
            pool.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    """One pair for all tests of a module."""
    with running(tmp_path_factory.mktemp("pair")) as pools:
        yield pools


@pytest.fixture
def pair(shared: Pools) -> Pools:
    """The shared pair, with both services running and at rest."""
    for pool in shared:
        if pool.service is None:
            pool.start()
    wait_final(*shared)
    return shared


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    """Another pair, for tests after which it is not whole any more; each must do with what the one before left."""
    with running(tmp_path_factory.mktemp("worn")) as pools:
        yield pools
