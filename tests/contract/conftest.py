"""Every test of the contract runs on each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.benches import Bench, memory_bench, prepared_database, sqlite_bench

MakeBench = Callable[[str], Bench]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared database to copy."""
    return prepared_database(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(params=["memory", "sqlite"])
def make_bench(request: pytest.FixtureRequest, prepared: Path, tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches of one kind by name; closes them at the end."""
    made: list[Bench] = []

    def make(name: str) -> Bench:
        bench = memory_bench(name) if request.param == "memory" else sqlite_bench(prepared, tmp_path / name)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.store.close()


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
