"""From one release to another and back, with packages in flight and users who move: nothing is lost, refused or applied twice.

The other release is an earlier commit, installed from what `git archive` gives into an environment of its own, as a wheel of it would be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poolpair.lab.compare import compare, doubled
from poolpair.lab.pool import PROGRAM, Pool, make_pools, wait_for
from poolpair.lab.steps import wait_equal, wait_final

ROOT = Path(__file__).parents[2]
RELEASES = {
    "2691c47": "before orders over HTTP, samples and audit",
}
"""Commits that can be gone back to, and what they lack."""
EDIT = "UPDATE prosody SET value = ? WHERE host = ? AND store = 'roster'"
LARGE = "UPDATE prosody SET value = ? WHERE host = ? AND user = 'myriel' AND key = 'napoleon@b.example'"
VALUES = "SELECT DISTINCT value FROM prosody WHERE host = ? AND store = 'roster'"
WAIT_S = 90.0
Program = tuple[str, ...]


@pytest.fixture(scope="module", params=RELEASES)
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """How an earlier release is run."""
    folder = tmp_path_factory.mktemp(request.param)
    with (folder / "sources.tar").open("wb") as file:
        subprocess.run(["git", "-C", str(ROOT), "archive", request.param], check=True, stdout=file)
    with tarfile.open(folder / "sources.tar") as archive:
        archive.extractall(folder / "sources", filter="data")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    words = ["-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(folder / "sources")]
    subprocess.run([python, *words], check=True, cwd=folder)
    return str(python), *PROGRAM[1:]


@contextmanager
def pair_of(folder: Path) -> Iterator[tuple[Pool, Pool]]:
    """Both pools after their first copy, by this release."""
    a, b = make_pools(folder, interval='"5s"', heartbeat_max='"500ms"', eager="true")
    try:
        for pool in (a, b):
            pool.start()
        wait_final(a, b)
        yield a, b
        wait_final(a, b)
        assert compare(a, b).equal
        assert not doubled(a)
        assert not doubled(b)
        assert not [path for pool in (a, b) for path in (pool.share / "Quarantine").iterdir()]
    finally:
        for pool in (a, b):
            pool.kill()


def becomes(pool: Pool, program: Program) -> None:
    """Another release for a pool, as docs/INSTALL.md says."""
    pool.stop()
    pool.program = program
    pool.must("init")
    pool.start()


def edit(pool: Pool, value: str, home: str = "") -> None:
    """The application of a pool changes the buddy lists of a home."""
    pool.change((EDIT, (value, f"{home or pool.name}.example")))


def seen(pool: Pool, home: str) -> set[str]:
    """What buddy lists of a home say at a pool."""
    return {str(value) for (value,) in pool.ask(VALUES, f"{home}.example")}


def leave_standing(origin: Pool, target: Pool, value: str) -> None:
    """Let packages of a change stand at a target whose service is down."""
    target.stop()
    edit(origin, value)
    origin.must("sync")
    wait_for("a package that stands", target.packages, WAIT_S)


def leave_in_pieces(origin: Pool, target: Pool, fill: str) -> str:
    """Let the origin die while a large value goes out; gives what it is."""
    value = os.urandom(512 * 1024).hex() + fill
    origin.change((LARGE, (value, f"{origin.name}.example")))

    def is_begun() -> bool:
        return any(path.stat().st_size > 100_000 for path in (target.share / "Temp").iterdir())

    wait_for("a package half delivered", is_begun, WAIT_S)
    origin.kill()
    assert not target.packages("PresenceFocus")
    return value


def thin(pool: Pool) -> None:
    """A pool that may send 200 kB a second."""
    with pool.toml.open("a") as file:
        file.write("\n[bandwidth]\nusers = 1600\n")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_packages_in_flight_survive_a_change_of_release(older: Program, tmp_path: Path) -> None:
    """Standing ones, and one of which pieces are there: by the newer release for the older, and by the older for the newer."""
    with pair_of(tmp_path) as (a, b):
        newer = a.program
        thin(a)
        leave_standing(a, b, "from the newer to the older")
        becomes(b, older)
        wait_for("the older release applying it", lambda: seen(b, "a") == {"from the newer to the older"}, WAIT_S)
        leave_standing(b, a, "from the older to the newer")
        a.start()
        wait_for("the newer release applying it", lambda: seen(a, "b") == {"from the older to the newer"}, WAIT_S)
        a.stop()
        a.start()
        begun = leave_in_pieces(a, b, "begun by the newer")
        becomes(a, older)
        wait_for("the rest by the older release", lambda: begun in seen(b, "a"), WAIT_S)
        wait_final(a, b)
        begun = leave_in_pieces(a, b, "begun by the older")
        becomes(a, newer)
        wait_for("the rest by the newer release", lambda: begun in seen(b, "a"), WAIT_S)
        leave_standing(a, b, "over an upgrade")
        becomes(b, newer)
        wait_equal(a, b)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_users_move_between_releases(older: Program, tmp_path: Path) -> None:
    """Planned and after a disaster, to the older release and home to the newer; and to the newer while the older is dead."""
    with pair_of(tmp_path) as (a, b):
        newer = a.program
        becomes(b, older)
        wait_final(a, b)
        assert "served by pool b (epoch 1)" in a.must("failover", "a", "--yes").out
        edit(b, "at the older", "a")
        assert "served by pool a (epoch 2)" in b.must("failback", "a", "--yes").out
        assert seen(a, "a") == {"at the older"}

        a.kill()
        edit(a, "only at the newer, which is dead")
        assert "(epoch 3)" in b.must("failover", "a", "--disaster", "--yes").out
        becomes(b, newer)
        becomes(a, older)
        wait_for(
            "what the dead pool had is merged", lambda: seen(b, "a") == {"only at the newer, which is dead"}, WAIT_S
        )
        wait_final(a, b)
        assert "served by pool a (epoch 4)" in a.must("failback", "a", "--yes").out
        edit(a, "home again")
        wait_for("the edit at home", lambda: seen(b, "a") == {"home again"}, WAIT_S)
        becomes(a, newer)
