"""How a comparison of both copies goes on: what its answer means, what one package carries, when it waits. Pure, as all of `protocol`.

A comparison that `keeps` leaves a proof if everything was equal. One `on_proof` is of what changed since then alone. Its answer is either
that all is equal, or that this cannot be said: then, as whenever the proof is gone, everything is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from poolpair.model import BucketSet, Cookie, Position
from poolpair.state import Intent, Outbound, Proof, Seed, SeedPhase, VerifyResult

Lookup = Callable[[Position], Intent | None]

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


def answered(out: Outbound, cookie: Cookie, lookup: Lookup, now_utc: str) -> Outbound:
    """Go on with a comparison when the partner answered it."""
    seed, answer = out.seed, cookie.answer
    if seed is None:
        return out
    if seed.phase is SeedPhase.SEND and not seed.to_send and not out.in_flight:
        return replace(out, seed=replace(seed, phase=SeedPhase.ASK))
    awaited = seed.asked if seed.phase is SeedPhase.AWAIT else None
    if answer is None or awaited is None or answer.package_id != awaited.package_id:
        return out
    if answer.unproved:
        return replace(out, seed=replace(seed, phase=SeedPhase.ASK, asked=None, on_proof=False), proof=None)
    found = sum(len(buckets.buckets) for buckets in answer.differs)
    if found and seed.repair:
        again = replace(
            seed, phase=SeedPhase.SEND, to_send=answer.differs, rounds=seed.rounds + 1, asked=None, on_proof=False
        )
        return replace(out, seed=again, proof=None)
    if cookie.doubts:  # not yet, when this was compared
        return replace(out, seed=replace(seed, phase=SeedPhase.ASK, asked=None, on_proof=False))
    found += len(cookie.waiting)
    result = VerifyResult(
        at_utc=now_utc, equal=not found, differing_buckets=found, repaired=seed.sent > 0, reason=seed.reason
    )
    if cookie.waiting and seed.repair:
        return replace(out, seed=replace(seed, phase=SeedPhase.WAIT, asked=None), last_verify=result, proof=None)
    proof = _proof(awaited, lookup(awaited)) if seed.keeps and not found else None
    return replace(out, seed=None, initialised=out.initialised or not found, last_verify=result, proof=proof)


def _proof(position: Position, intent: Intent | None) -> Proof | None:
    return Proof(position=position, token=intent.token, definition=intent.definition) if intent else None


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
