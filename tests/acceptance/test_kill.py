"""`kill -9` at varied moments while the application writes: nothing is lost, nothing is doubled, and both pools find each other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from poolpair.lab.compare import doubled
from poolpair.lab.crash import write_crowd
from poolpair.lab.pool import NotSeen, Pool, wait_for
from poolpair.lab.steps import wait_equal, wait_final

Pools = tuple[Pool, Pool]
SEED = 20131023
MOMENT_S = 4.0
LOOK_S = 0.0005


class Application:
    """Prosody at A: all the time it replaces buddy lists, each in one transaction, as its writer does."""

    def __init__(self, pool: Pool, dice: random.Random) -> None:
        self._pool = pool
        self._dice = dice
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.writes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.02):
            group = ("a.example", f"writer-{self._dice.randrange(40)}", "roster")
            rows = [(*group, f"contact-{n}", "json", f'"{self.writes}"') for n in range(self._dice.randrange(6))]
            with self._pool.sql() as connection:
                connection.execute("DELETE FROM prosody WHERE host = ? AND user = ? AND store = ?", group)
                connection.executemany("INSERT INTO prosody VALUES (?, ?, ?, ?, ?, ?)", rows)
            self.writes += 1


def moments(a: Pool, b: Pool, dice: random.Random) -> list[tuple[str, Pool, Callable[[], object]]]:
    """What to wait for, and whom to kill then."""

    def lies(pool: Pool, name: str) -> Callable[[], object]:
        return lambda: list(pool.scratch.glob(f"{name}.*"))

    def grown(path: Path) -> Callable[[], bool]:
        before = path.stat().st_size if path.exists() else 0
        return lambda: bool(list(b.scratch.glob("in-users-rows.*"))) and path.exists() and path.stat().st_size != before

    def later() -> Callable[[], bool]:
        until = time.monotonic() + dice.uniform(0.02, 0.5)
        return lambda: time.monotonic() >= until

    chosen: list[tuple[str, Pool, Callable[[], object]]] = [
        ("the package stands at B", b, lambda: b.packages("PresenceFocus")),
        ("B unpacks", b, lies(b, "in-users-rows")),
        ("B's log grows", b, grown(b.wal)),
        ("the package left B's share", b, lambda: not b.packages("PresenceFocus")),
        ("B at a drawn moment", b, later()),
        ("A exports", a, lies(a, "out-users-rows")),
        ("A seals", a, lies(a, "out-users-package")),
        ("A writes into B's Temp", a, lambda: list((b.share / "Temp").glob("a-*.part"))),
        ("A delivered", a, lambda: b.packages("PresenceFocus")),
        ("A at a drawn moment", a, later()),
    ]
    dice.shuffle(chosen)
    return chosen


def test_kill_9_at_any_moment_loses_and_doubles_nothing(worn: Pools) -> None:
    """Ten kills before, while and after packing, delivering and applying; then both pools are equal and in FinalState."""
    a, b = worn
    dice = random.Random(SEED)
    seen: dict[str, bool] = {}
    with Application(a, dice) as application:
        for number, (what, victim, look) in enumerate(moments(a, b, dice)):
            write_crowd(a, f"crowd{number}", users=60, contacts=20)
            try:
                wait_for(what, look, MOMENT_S, poll_s=LOOK_S)
                seen[what] = True
            except NotSeen:
                seen[what] = False  # too short to be met this time; the kill comes anyway, at another moment
            victim.kill()
            victim.start()
    assert application.writes > 50
    assert sum(seen.values()) >= 7, seen
    found = wait_equal(a, b)
    assert found.rows > 12_000
    wait_final(a, b)
    for pool in worn:
        assert doubled(pool) == 0
        for channel in pool.status()["channels"]:
            imports = channel["imports"]
            assert (imports["parked"], imports["held"], imports["foreign_writes"], imports["quarantined"]) == (
                0,
                0,
                0,
                0,
            )
            assert channel["export"]["status"] == "FinalState"
        assert not pool.packages()
