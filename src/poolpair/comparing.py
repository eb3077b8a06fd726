"""How a comparison of both copies goes on: what one package carries of it, and when it waits. Pure, as all of `protocol`."""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import BucketSet, Cookie
from poolpair.state import Outbound, Seed, SeedPhase

BUCKETS_PER_PACKAGE = 1024
"""Differing buckets that one seed package carries, over all tables; the rest follows in further packages."""


def minding_waiting(out: Outbound, cookie: Cookie) -> Outbound:
    """While the partner lets tables wait a comparison stays open; it goes on as soon as one of them waits no more."""
    seed = out.seed
    if seed is None and cookie.waiting and out.initialised:
        return replace(out, seed=Seed(phase=SeedPhase.WAIT, reason="tables were not the same at both pools"))
    if seed is not None and seed.phase is SeedPhase.WAIT and (cookie.doubts or not cookie.waiting):
        return replace(out, seed=replace(seed, phase=SeedPhase.ASK, rounds=0))
    return out


def first_buckets(sets: tuple[BucketSet, ...]) -> tuple[tuple[BucketSet, ...], tuple[BucketSet, ...]]:
    """Split off what one package carries."""
    now: list[BucketSet] = []
    later: list[BucketSet] = []
    room = BUCKETS_PER_PACKAGE
    for buckets in sets:
        if room:
            now.append(replace(buckets, buckets=buckets.buckets[:room]))
        if len(buckets.buckets) > room:
            later.append(replace(buckets, buckets=buckets.buckets[room:]))
        room = max(0, room - len(buckets.buckets))
    return tuple(now), tuple(later)
