"""Every test of the contract runs on each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from poolpair.server import releases
from tests.cluster import Cluster
from tests.contract.benches import Bench, memory_bench, prepared_database, sqlite_bench
from tests.contract.postgres_bench import PostgresBench, postgres_bench, prepare_template

MakeBench = Callable[[str], Bench]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared database to copy."""
    return prepared_database(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="package")
def prepared_cluster(cluster: Cluster) -> Cluster:
    """The server, with a prepared database to copy."""
    prepare_template(cluster)
    return cluster


@pytest.fixture(scope="package")
def cluster_16() -> Iterator[Cluster]:
    """A server of release 16, prepared."""
    yield from _cluster_of(16)


@pytest.fixture(scope="package")
def cluster_18() -> Iterator[Cluster]:
    """A server of release 18, prepared."""
    yield from _cluster_of(18)


def _cluster_of(release: int) -> Iterator[Cluster]:
    made = Cluster(releases()[release])
    prepare_template(made)
    yield made
    made.end()


SERVERS = {"postgres": "prepared_cluster", "postgres-16": "cluster_16", "postgres-18": "cluster_18"}
KINDS = ("memory", "sqlite", "postgres", *(pytest.param(name, marks=pytest.mark.long) for name in list(SERVERS)[1:]))


@pytest.fixture(params=KINDS)
def make_bench(request: pytest.FixtureRequest, prepared: Path, tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches of one kind by name; closes them at the end."""
    made: list[Bench] = []
    cluster = request.getfixturevalue(SERVERS[request.param]) if request.param in SERVERS else None

    def make(name: str) -> Bench:
        if cluster is not None:
            bench: Bench = postgres_bench(cluster, name)
        else:
            bench = memory_bench(name) if request.param == "memory" else sqlite_bench(prepared, tmp_path / name)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.store.close()
        if isinstance(bench, PostgresBench):
            bench.drop()


@pytest.fixture
def a(make_bench: MakeBench) -> Bench:
    """A pool's store; it serves home a."""
    return make_bench("a")


@pytest.fixture
def b(make_bench: MakeBench) -> Bench:
    """Its partner's store."""
    return make_bench("b")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Where a rows file goes."""
    return tmp_path / "package.rows"
