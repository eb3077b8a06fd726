"""Sweeps over all steps by which a home moves: there and back, asked for at the other side, after a disaster."""

from __future__ import annotations

import pytest

from poolpair.testing.stores import StoreKind
from poolpair.testing.sweep import WAYS
from tests.swept import DENSE, assert_all_hold

MOVES = ("there and back", "asked", "disaster")
STRIDES = {StoreKind.MEMORY: 7, StoreKind.SQLITE: 97} if DENSE else {StoreKind.MEMORY: 199, StoreKind.SQLITE: 997}
"""Primes, so that the calls of a loop are met at different places. There are 2,000 to 4,000 calls of each pool."""


@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("scenario", ["there and back", "disaster"])
def test_some_port_calls_go_wrong_while_a_home_moves(scenario: str, victim: str) -> None:
    """Over all steps of a handover there and back, and of a disaster, return and failback."""
    for number, way in enumerate(WAYS):
        first = number * 97 + (victim == "b") * 53
        assert_all_hold(StoreKind.MEMORY, victim, way, scenario=scenario, first=first, stride=1013, may_be_none=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("scenario", MOVES)
@pytest.mark.parametrize("kind", list(STRIDES))
def test_many_port_calls_go_wrong_while_a_home_moves(kind: StoreKind, scenario: str, way: str, victim: str) -> None:
    """Others in each way, and at each pool."""
    first = (list(WAYS).index(way) * 20 + (victim == "b") * 10) % STRIDES[kind]
    assert_all_hold(kind, victim, way, scenario=scenario, first=first, stride=STRIDES[kind], may_be_none=True)
