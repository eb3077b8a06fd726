"""Releases of PostgreSQL: the two pools of a pair may be of different ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.model import Channel, ExportStatus
from poolpair.server import programs, releases
from poolpair.store.postgres.database import Database
from tests.cluster import Cluster
from tests.postgres.copies import Copies, entry
from tests.postgres.server_pair import server_pair
from tests.postgres.test_tables import TYPES, VALUES

XML = (" x xml,", " x text,")
"""Those packages are built without libxml."""


@pytest.fixture(scope="module", params=[18, pytest.param(16, marks=pytest.mark.long)])
def other(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A server of another release."""
    found = releases()
    assert request.param in found, f"release {request.param} is not there: make setup; there are {sorted(found)}"
    made = Cluster(found[request.param])
    assert made.major == request.param
    assert programs() != made.programs
    yield made
    made.end()


@pytest.mark.parametrize("to_the_other", [True, False], ids=["to", "from"])
def test_values_of_every_type_cross_releases(
    cluster: Cluster, other: Cluster, tmp_path: Path, to_the_other: bool
) -> None:
    """Every type is written and digested alike by both servers, in either direction."""
    origin, target = (cluster, other) if to_the_other else (other, cluster)
    copies = Copies(origin, tmp_path, TYPES.replace(*XML), entry("kinds", "id"), target)
    try:
        copies.write(VALUES)
        assert copies.carry().parked == 0
        copies.assert_equal(["kinds"])
        copies.write(
            "UPDATE kinds SET n = n * 2, d = -d, r = r / 3, iv = iv * 2, jb = '{}'; DELETE FROM kinds WHERE t = ''"
        )
        assert copies.carry().parked == 0
        copies.assert_equal(["kinds"])
    finally:
        copies.close()


def test_no_transaction_of_ours_is_ended_for_its_length(other: Cluster) -> None:
    """Releases from 17 on can do so, for a database as well; a whole copy is one transaction."""
    other.create("hasty")
    if other.major >= 17:
        other.dba("ALTER DATABASE hasty SET transaction_timeout = '1min'")
    database = Database(other.url("hasty"), 2.0)
    assert database.row("SELECT coalesce(current_setting('transaction_timeout', true), '0')") == ("0",)
    database.close()
    other.drop("hasty")


@pytest.mark.long
def test_a_pair_of_two_releases(cluster: Cluster, other: Cluster, tmp_path: Path) -> None:
    """The shipped profile between two releases: first copy, changes of either side, FinalState."""
    pair = server_pair(cluster, tmp_path / "pair", {"b": other})
    try:
        for pool in ("a", "b"):
            pair.start(pool)
        pair.settle()
        assert pair.rows("a") == pair.rows("b")
        pair.run("a", "DELETE FROM prosodyarchive WHERE host = 'a.example' AND store = 'offline'")
        pair.run("b", "UPDATE prosodyarchive SET value = value || ' ' WHERE host = 'b.example'")
        pair.settle()
        assert pair.rows("a") == pair.rows("b")
        assert {pair.channel(pool, Channel.USERS).export.status for pool in ("a", "b")} == {ExportStatus.FINAL}
    finally:
        pair.end()
        other.drop(pair.databases["b"])
