"""Sweeps: one scenario, and every port call of it goes wrong once, in every way, on every kind of store."""

from __future__ import annotations

import pytest

from poolpair.testing.stores import StoreKind
from poolpair.testing.sweep import WAYS
from tests.swept import DENSE, assert_all_hold

STRIDES = {StoreKind.MEMORY: 241, StoreKind.SQLITE: 397}
"""Every so manieth call in the quick tests; primes, so that the calls of a loop are met at different places."""


LONG_STRIDES = {StoreKind.MEMORY: 1, StoreKind.SQLITE: 7 if DENSE else 13, StoreKind.POSTGRES: 199}
"""In memory every call; on a real store a run cannot be branched off, and takes seconds. Deaths at every call of one: `test_crashes`."""

FEW = 5
"""There are some twenty calls at which what was done may be reported as failed."""


@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "fails after"])
@pytest.mark.parametrize("kind", list(STRIDES))
def test_some_port_calls_go_wrong(kind: StoreKind, way: str, victim: str) -> None:
    """Whatever goes wrong at a call of one pool, nothing is lost or doubled and the pair comes to rest."""
    assert_all_hold(kind, victim, way, first=list(WAYS).index(way) * 7 + (victim == "b") * 3, stride=STRIDES[kind])


@pytest.mark.parametrize("victim", ["a", "b"])
def test_calls_that_were_done_and_reported_failed(victim: str) -> None:
    """A file server may do what it says it could not do: half of the calls at which this can be are tried."""
    assert_all_hold(StoreKind.MEMORY, victim, "fails after", first=victim == "b", stride=2)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", ["a", "b"])
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("kind", list(LONG_STRIDES))
def test_every_port_call_goes_wrong(kind: StoreKind, way: str, victim: str) -> None:
    """The whole sweep; where calls are left out, others in each way."""
    stride = min(LONG_STRIDES[kind], FEW) if way == "fails after" else LONG_STRIDES[kind]
    assert_all_hold(kind, victim, way, first=(list(WAYS).index(way) * 4 + (victim == "b") * 2) % stride, stride=stride)
