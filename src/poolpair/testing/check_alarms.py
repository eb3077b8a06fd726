"""The checker of alarms: nobody is called to decide, and no copy is compared, because of something that did not happen."""

from __future__ import annotations

from poolpair.errors import Code
from poolpair.testing.facts import Lines, Violation, serving_of
from poolpair.testing.schema import POOLS
from poolpair.testing.world import World


def alarms_are_true(world: World, found: Lines) -> Violation | None:
    """A store is taken for set back only if it was: the origin's own, or the partner's."""
    for line in found:
        if not world.truth.is_news("alarms_are_true", line.name, line.out):
            continue
        out = line.out
        stopped = out.stopped is not None and out.stopped.code is Code.STORE_SET_BACK
        applied = line.inbound.applied
        # A package of the lost future may still come, and be applied, after the operator began a new stream.
        streams = {out.stream, applied.stream if applied else out.stream}
        forgot = {reign_id for home in POOLS for reign_id in serving_of(line.sent, home).forgot}
        # What the partner learns late, of a reign that this store lost, is another thing to decide about.
        if stopped and not streams & world.truth.forked and not forgot & world.truth.forgotten_reigns:
            return Violation("alarms_are_true", f"{line.name}: the origin was never set back: {out.stopped}")
        if out.curing and line.target.name not in world.truth.fell_back_s:
            return Violation("alarms_are_true", f"{line.name}: the target is being cured, and was never set back")
    return None
