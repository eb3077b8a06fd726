"""From one release to another and back, with packages in flight: nothing is lost, refused or applied twice."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from poolpair.lab.compare import compare, doubled
from poolpair.lab.pool import Pool, make_pools, wait_for
from poolpair.lab.steps import wait_equal, wait_final

ROOT = Path(__file__).parents[2]
BEFORE = "2691c47"
"""A release before orders over HTTP, samples and audit."""
EDIT = "UPDATE prosody SET value = ? WHERE host = ? AND store = 'roster'"


def unpack(folder: Path) -> Path:
    """The sources of the older release."""
    data = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE, "src"], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def edit(pool: Pool, value: str) -> None:
    """The application of a pool changes buddy lists."""
    pool.change((EDIT, (value, f"{pool.name}.example")))


def in_flight(origin: Pool, target: Pool, value: str) -> None:
    """Let packages of a change stand at a target whose service is down."""
    edit(origin, value)
    origin.must("sync")
    wait_for("a package that stands", target.packages, 60)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_packages_in_flight_survive_a_change_of_release_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older release applies what the newer one packed, and the newer what the older did, after a start of either."""
    old = unpack(tmp_path / "old")
    a, b = make_pools(tmp_path, interval='"5s"', heartbeat_max='"500ms"', eager="true")
    try:
        for pool in (a, b):
            pool.start()
        wait_final(a, b)

        b.stop()
        in_flight(a, b, "from the newer to the older")
        monkeypatch.setenv("PYTHONPATH", str(old))
        where = subprocess.run(
            [sys.executable, "-c", "import poolpair; print(poolpair.__file__)"], check=True, capture_output=True
        )
        assert str(old) in where.stdout.decode()
        b.start()
        monkeypatch.delenv("PYTHONPATH")
        wait_for("the older release applying it", lambda: not b.packages(), 60)

        a.stop()
        edit(b, "from the older to the newer")
        wait_for("a package of the older release that stands", a.packages, 60)
        a.start()
        wait_equal(a, b)

        b.stop()
        in_flight(a, b, "over an upgrade")
        b.start()
        wait_equal(a, b)
        wait_final(a, b)
        assert compare(a, b).equal
        assert not doubled(a)
        assert not doubled(b)
        assert not [path for pool in (a, b) for path in (pool.share / "Quarantine").iterdir()]
    finally:
        for pool in (a, b):
            pool.kill()
