"""The simulator on the real PostgreSQL store: the same steps, faults and checkers; slower, so fewer."""

from __future__ import annotations

import pytest

from poolpair.testing.regressions import Run
from poolpair.testing.report import failure
from poolpair.testing.simulation import Outcome, play
from poolpair.testing.stores import StoreKind


def _holds(seed: int, steps: int) -> Outcome:
    run = Run.drawn(seed, steps, StoreKind.POSTGRES)
    outcome = play(run.history, seed, run.kind)
    if outcome.violation:
        pytest.fail("\n".join(failure(run, outcome)))
    return outcome


@pytest.mark.parametrize("seed", [9, pytest.param(6, marks=pytest.mark.long)])
def test_a_short_history_holds_every_guarantee(seed: int) -> None:
    """In every run a backup put back, a rival service and a kill; beside it a clone, refused rows and a bulk of writes."""
    _holds(seed, 40)


@pytest.mark.parametrize("seed", [13, *(pytest.param(seed, marks=pytest.mark.long) for seed in (31, 65, 67, 79))])
def test_a_short_history_in_which_a_home_is_taken_over(seed: int) -> None:
    """The pool that was taken over returns and hands in what it had; in the first, packages that stood are listed before."""
    assert _holds(seed, 40).checks["recovered"]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, 16))
def test_longer_histories_hold_every_guarantee(seed: int) -> None:
    """Whatever happens in them, both pools end equal and no checker objects."""
    _holds(seed, 120)
