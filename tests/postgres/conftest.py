"""A pair on PostgreSQL for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.postgres.server_pair import ServerPair, server_pair


@pytest.fixture
def pair(cluster: Cluster, tmp_path: Path) -> Iterator[ServerPair]:
    """Both pools, prepared; no service runs yet."""
    made = server_pair(cluster, tmp_path / "pair")
    yield made
    made.end()
