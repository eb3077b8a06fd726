"""How long a service waits between two looks."""

from __future__ import annotations

import pytest

from poolpair.pacing import (
    BUSY_WAIT_S,
    FAULT_WAIT_S,
    IDLE_WAIT_MAX_S,
    LISTEN_S,
    LISTEN_SHARE,
    PATIENCE,
    VAIN_LOOK_SHARE,
    Pace,
    listen_every,
)

LOOK_S = 0.3


@pytest.fixture
def pace() -> Pace:
    """Of a service that just moved something."""
    made = Pace()
    assert made.after(moved=True, whole=True, took_s=LOOK_S, faulty=False) == BUSY_WAIT_S
    return made


def test_the_wait_doubles_while_nothing_happens(pace: Pace) -> None:
    """Looks at the hints only: from one to the next twice as long, and never longer than the largest wait."""
    waits = [pace.after(moved=False, whole=False, took_s=0.001, faulty=False) for _ in range(10)]
    assert waits[:3] == [2 * BUSY_WAIT_S, 4 * BUSY_WAIT_S, 8 * BUSY_WAIT_S]
    assert waits[-1] == IDLE_WAIT_MAX_S


def test_the_look_that_follows_a_package_costs_no_wait(pace: Pace) -> None:
    """Whatever moved is followed by a whole look, mostly in vain: the next package does not wait for its length."""
    assert pace.after(moved=False, whole=True, took_s=LOOK_S, faulty=False) == 2 * BUSY_WAIT_S
    assert pace.after(moved=True, whole=True, took_s=LOOK_S, faulty=False) == BUSY_WAIT_S


def test_whole_looks_in_vain_take_a_part_of_a_core(pace: Pace) -> None:
    """One after the other, whatever lies between them: from then on the service rests longer than it looks, until something moves."""
    for _ in range(PATIENCE - 1):
        assert pace.after(moved=False, whole=True, took_s=LOOK_S, faulty=False) <= IDLE_WAIT_MAX_S
        assert pace.after(moved=False, whole=False, took_s=LOOK_S, faulty=False) <= IDLE_WAIT_MAX_S
    for _ in range(3):
        assert pace.after(moved=False, whole=True, took_s=LOOK_S, faulty=False) == VAIN_LOOK_SHARE * LOOK_S
    assert pace.after(moved=True, whole=True, took_s=LOOK_S, faulty=False) == BUSY_WAIT_S
    assert pace.after(moved=False, whole=True, took_s=LOOK_S, faulty=False) == 2 * BUSY_WAIT_S


def test_a_fault_is_tried_again_after_a_while(pace: Pace) -> None:
    """Also if something else moved."""
    assert pace.after(moved=True, whole=True, took_s=LOOK_S, faulty=True) == FAULT_WAIT_S


def test_a_slow_share_is_asked_less_often() -> None:
    """The questions take a small part of the time."""
    assert listen_every(0) == LISTEN_S
    assert listen_every(0.1) == LISTEN_SHARE * 0.1
