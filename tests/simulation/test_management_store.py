"""The pair of a management store in the simulator: a single channel, which leads, and no files; the same faults, moves and checkers."""

from __future__ import annotations

import os
import subprocess
import sys


def test_histories_of_a_management_store() -> None:
    """Failovers one after the other, stores set back, holders that return: one holds it at any time, and nothing is lost unseen."""
    done = subprocess.run(
        [sys.executable, "-m", "poolpair.testing", "seeds", "1", "16"],
        env={**os.environ, "POOLPAIR_SIMULATE": "management-store"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "16 seeds" in done.stdout
    used = dict(each.rsplit(" ", 1) for each in done.stdout.partition("checks: ")[2].splitlines()[0].split(", "))
    held = ("one_pool_serves_per_epoch", "a_home_is_handed_to_an_equal_copy", "every_accepted_write_is_accounted_for")
    assert all(int(used[name]) > 0 for name in held)
