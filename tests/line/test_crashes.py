"""A sweep: one scenario again and again, dying at the 1st, 2nd, 3rd ... port call, before it and after it, at either pool.

After each death the pool starts anew and the pair comes to rest: nothing may be lost, doubled or left over. The files, the database and
both shares are real; only the process is not killed but abandoned in the middle of a call.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.model import Channel, ExportStatus
from tests.pair import Pair, make_pair
from tests.swept import DENSE

# A process that died closes nothing: the files that it had open are found unclosed here.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Death(BaseException):
    """The process ends here; no handler may stop it."""


class Fuse:
    """Counts port calls and burns through at one of them."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left = at
        self.after = after
        self.burnt = False
        self.armed = True

    def step(self, *, after: bool) -> None:
        """Pass one point where the process may die."""
        if after != self.after or self.burnt or not self.armed:
            return
        self.left -= 1
        if self.left == 0:
            self.burnt = True
            raise Death


class Fused:
    """Any port, with a fuse before and after each of its calls."""

    def __init__(self, port: object, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> object:
        found = getattr(self._port, name)
        return self._fused(found) if callable(found) else found

    def _fused(self, call: Callable[..., object]) -> Callable[..., object]:
        def fused(*args: object, **more: object) -> object:
            self._fuse.step(after=False)
            result = call(*args, **more)
            self._fuse.step(after=True)
            return result

        return fused


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair after its first copy, at rest, stopped; copied for each run."""
    folder = tmp_path_factory.mktemp("ready")
    pair = make_pair(folder / "pair")
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    for pool in ("a", "b"):
        pair.stop(pool)
    return folder / "pair"


def _scenario(pair: Pair) -> None:
    """Edits at both pools, a new file, a changed file and a deleted one, a row that goes."""
    for pool in ("a", "b"):
        uploads = pair.folder / f"data-{pool}" / f"share%2e{pool}%2eexample" / "http_file_share"
        first, second, *_ = sorted(uploads.iterdir())
        first.unlink()
        second.write_bytes(b"changed")
        (uploads / "fresh.bin").write_bytes(b"fresh")
        with pair.sql(pool) as connection:
            host = f"{pool}.example"
            connection.execute(
                "UPDATE prosody SET value = 'edited' WHERE host = ? AND store = 'account_details'", (host,)
            )
            connection.execute("DELETE FROM prosodyarchive WHERE host = ? AND store = 'offline'", (host,))
            connection.execute("INSERT INTO prosody VALUES (?, 'new', 'accounts', 'salt', 'string', 'x')", (host,))


def _run(ready: Path, folder: Path, victim: str, at: int, *, after: bool) -> bool:
    """Run the scenario with a fuse at one pool; returns whether it burnt."""
    shutil.copytree(ready, folder)
    pair = Pair.reopened(folder, ready)
    fuse = Fuse(at, after=after)
    for pool in ("a", "b"):
        pair.start(pool)
    site = pair.sites[victim]
    fused = {name: Fused(getattr(site, name), fuse) for name in ("store", "own", "other", "tree")}
    pair.sites[victim] = replace(site, **fused)  # type: ignore[arg-type]
    _scenario(pair)
    for _ in range(4):
        try:
            pair.turn()
            pair.clock.advance(11)
            pair.beat()
        except Death:
            site.store.release_lease()
            site.store.close()
            pair.start(victim)
    fuse.armed = False
    pair.clock.advance(130)
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.files("a") == pair.files("b")
    for pool in ("a", "b"):
        assert pair.package_files(pool) == []
        for channel in (Channel.USERS, Channel.CONFERENCES):
            found = pair.channel(pool, channel)
            assert found.export.status is ExportStatus.FINAL, (pool, channel, found)
            assert (found.imports.parked, found.imports.quarantined, found.imports.foreign_writes) == (0, 0, 0)
        pair.stop(pool)
    shutil.rmtree(folder)
    return fuse.burnt


@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_death_at_some_port_calls(ready: Path, tmp_path: Path, victim: str, after: bool) -> None:
    """Dying at every 41st port call of a pool loses, doubles and leaves nothing."""
    at = 3
    while _run(ready, tmp_path / f"run-{at}", victim, at, after=after):
        at += 41
    assert at > 50, "the fuse never burnt: the sweep proves nothing"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_death_at_every_port_call(ready: Path, tmp_path: Path, victim: str, after: bool) -> None:
    """Dying before every single port call of a pool loses, doubles and leaves nothing; nor does dying after every seventh.

    Between the end of one call and the beginning of the next only scratch files are written, so most of the others are the same death.
    """
    at = 1
    while _run(ready, tmp_path / f"run-{at}", victim, at, after=after):
        at += 7 if after and not DENSE else 1
    assert at > 50, "the fuse never burnt: the sweep proves nothing"
