"""Sweeps: one scenario, and every port call of it goes wrong once, in every way, on every kind of store."""

from __future__ import annotations

import pytest

from poolpair.testing.stores import StoreKind
from poolpair.testing.sweep import WAYS, sweep

STRIDES = {StoreKind.MEMORY: 241, StoreKind.SQLITE: 499}
"""Every so manieth call in the quick tests; primes, so that the calls of a loop are met at different places."""


LONG_STRIDES = {StoreKind.MEMORY: 1, StoreKind.SQLITE: 7, StoreKind.POSTGRES: 499}


MOVES = ("there and back", "asked", "disaster")


def _assert_all_hold(
    kind: StoreKind,
    victim: str,
    way: str,
    *,
    first: int,
    stride: int,
    scenario: str = "edits",
    may_be_none: bool = False,
) -> None:
    swept = list(sweep(kind, victim, way, scenario=scenario, first=first, stride=stride))
    assert swept or may_be_none, "no call was met: the sweep proves nothing"
    for each in swept:
        assert each.outcome.violation is None, f"{way} at call {each.at}, {each.point} of {victim}:\n" + "\n".join(
            each.outcome.trace[-40:]
        )


@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "fails after"])
@pytest.mark.parametrize("kind", list(STRIDES))
def test_some_port_calls_go_wrong(kind: StoreKind, way: str, victim: str) -> None:
    """Whatever goes wrong at a call of one pool, nothing is lost or doubled and the pair comes to rest."""
    _assert_all_hold(kind, victim, way, first=list(WAYS).index(way) * 7 + (victim == "b") * 3, stride=STRIDES[kind])


@pytest.mark.parametrize("victim", ["a", "b"])
def test_calls_that_were_done_and_reported_failed(victim: str) -> None:
    """A file server may do what it says it could not do: half of the calls at which this can be are tried."""
    _assert_all_hold(StoreKind.MEMORY, victim, "fails after", first=victim == "b", stride=2)


@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("scenario", ["there and back", "disaster"])
def test_some_port_calls_go_wrong_while_a_home_moves(scenario: str, victim: str) -> None:
    """Over all steps of a handover there and back, and of a disaster, return and failback."""
    for number, way in enumerate(WAYS):
        first = number * 97 + (victim == "b") * 53
        _assert_all_hold(StoreKind.MEMORY, victim, way, scenario=scenario, first=first, stride=1013, may_be_none=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("scenario", MOVES)
@pytest.mark.parametrize("kind", [StoreKind.MEMORY, StoreKind.SQLITE])
def test_many_port_calls_go_wrong_while_a_home_moves(kind: StoreKind, scenario: str, way: str, victim: str) -> None:
    """Every so manieth: a prime, so that the calls of a loop are met at different places."""
    stride = {StoreKind.MEMORY: 7, StoreKind.SQLITE: 97}[kind]
    _assert_all_hold(kind, victim, way, scenario=scenario, first=0, stride=stride, may_be_none=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("kind", list(LONG_STRIDES))
def test_every_port_call_goes_wrong(kind: StoreKind, way: str, victim: str) -> None:
    """The whole sweep."""
    _assert_all_hold(kind, victim, way, first=0, stride=LONG_STRIDES[kind])
