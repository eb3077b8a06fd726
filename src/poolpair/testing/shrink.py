"""Makes a failing history short: leaves out steps, then trips, as long as the same checker still fails.

First halves, then quarters and so on of the steps are left out (delta debugging), then each single step, then each trip of each step. Every
try runs the whole history anew with the same ids, so what remains fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from poolpair.testing.steps import History


def shrink(history: History, fails: Callable[[History], bool], *, tries_max: int = 2000) -> History:
    """A short history for which `fails` still holds."""
    budget = _Budget(fails, tries_max)
    before: History = ()
    while history != before and budget.left:
        before = history
        history = _without_steps(history, budget)
        history = _without_trips(history, budget)
    return history


class _Budget:
    """Counts tries; once they are used up every try fails to fail, which ends the search."""

    def __init__(self, fails: Callable[[History], bool], left: int) -> None:
        self._fails = fails
        self.left = left

    def fails(self, history: History) -> bool:
        if not self.left:
            return False
        self.left -= 1
        return self._fails(history)


def _without_steps(history: History, budget: _Budget) -> History:
    size = max(1, len(history) // 2)
    while size:
        at = 0
        while at < len(history):
            shorter = history[:at] + history[at + size :]
            if budget.fails(shorter):
                history = shorter
            else:
                at += size
        size //= 2
    return history


def _without_trips(history: History, budget: _Budget) -> History:
    for place, step in enumerate(history):
        for trip in step.trips:
            kept = tuple(each for each in history[place].trips if each is not trip)
            shorter = (*history[:place], replace(history[place], trips=kept), *history[place + 1 :])
            if budget.fails(shorter):
                history = shorter
    return history
