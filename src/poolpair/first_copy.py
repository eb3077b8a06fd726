"""The beginning of a first copy, decided without I/O: onto a target that has nothing, whole tables are sent before anything is compared.

Slices are cut one after the other, each in a view of its own, and several are on their way at once. They move no token: the delta that
goes with the comparison afterwards begins where capture began, so what was written meanwhile is in it; what is wrong all the same, the
comparison finds. So nothing depends on a slice, and one that is lost is not sent again.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.slice import Slice
from poolpair.state import Outbound, Seed, SeedPhase

SLICES_IN_FLIGHT = 3
"""The target applies one while the origin cuts the next."""


def may_copy(out: Outbound) -> bool:
    """Whether a first copy is due, onto nothing: then whole tables are sent before anything is compared."""
    seed, partner = out.seed, out.partner
    untouched = not (out.initialised or out.acknowledged or out.in_flight or out.rewinds or out.stopped)
    begins = seed is not None and seed.phase is SeedPhase.ASK and not seed.rounds and not seed.overrule
    return untouched and begins and partner is not None and partner.vacant and partner.applied is None


def copying(out: Outbound, slices: tuple[Slice, ...]) -> Outbound:
    """Begin a first copy with these slices; without any the comparison finds all there is to send."""
    return replace(out, seed=replace(out.seed, phase=SeedPhase.COPY, slices=slices)) if out.seed and slices else out


def in_flight_max(out: Outbound, window: int) -> int:
    """How many packages may be on their way."""
    if out.seed and out.seed.phase is SeedPhase.COPY:
        return min(window, SLICES_IN_FLIGHT)
    return 1 if out.one_at_a_time or out.seed else window


def sliced(seed: Seed, sent: tuple[Slice, ...]) -> Seed:
    """These slices were delivered; after the last one both copies are compared."""
    left = seed.slices[len(sent) :]
    return replace(seed, slices=left, phase=SeedPhase.COPY if left else SeedPhase.ASK)
