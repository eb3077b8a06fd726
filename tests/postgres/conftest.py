"""Pairs and copies on PostgreSQL for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.postgres.copies import Copies
from tests.postgres.server_pair import ServerPair, server_pair


@pytest.fixture
def pair(cluster: Cluster, tmp_path: Path) -> Iterator[ServerPair]:
    """Both pools, prepared; no service runs yet."""
    made = server_pair(cluster, tmp_path / "pair")
    yield made
    made.end()


MakeCopies = Callable[[str, str], Copies]


@pytest.fixture
def make_copies(cluster: Cluster, tmp_path: Path) -> Iterator[MakeCopies]:
    """Makes two databases with the tables of a schema, prepared with a profile."""
    made: list[Copies] = []

    def make(schema: str, profile: str) -> Copies:
        made.append(Copies(cluster, tmp_path, schema, profile))
        return made[-1]

    yield make
    for copies in made:
        copies.close()
