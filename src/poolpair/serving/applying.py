"""The step of a takeover that applies what stands: the passes do that, and it waits for them.

Whatever still stands when the users are served can only be listed in the ledger. So this goes on once a pass has read everything that
stands, and waits as long as passes get on. What keeps them from it (a share, a disk, a lock) may be over in a moment; but whoever takes
over because a site is gone must not wait for a share that is gone with it.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.cycle import PASSING
from poolpair.model import Channel
from poolpair.moves import Plan
from poolpair.pipeline.site import Site, inbound_name
from poolpair.serving.stepping import go, next_step, stepping, wait
from poolpair.state import Inbound

PATIENCE_S = 30.0
"""So long in which nothing more was applied, and the step goes on without what could not be read."""


def apply_what_stands(site: Site, plan: Plan) -> bool:
    """Wait while the pass before this has left something that the next one may apply. Raises STORE_*, LEASE."""
    inbounds = {channel: site.store.read(Inbound, inbound_name(channel)) or Inbound() for channel in site.channels}
    left = {channel: _left(site, channel, inbound) for channel, inbound in inbounds.items()}
    why = "; ".join(f"{channel}: {words}" for channel, words in left.items() if words)
    if why and not _is_out_of_patience(site, plan, sum(inbound.applied_packages for inbound in inbounds.values())):
        return wait(site, plan, why)
    with stepping(site, plan) as tx:
        go(tx, replace(plan, not_read=why), next_step(site, plan))
    site.memory.applying.pop(plan.plan_id, None)
    return True


def _left(site: Site, channel: Channel, inbound: Inbound) -> str:
    """Why the last pass has not applied everything that stands; empty if it has, as far as it ever can be."""
    if channel in site.memory.unfinished:
        return site.memory.unfinished[channel]
    fault = inbound.fault
    if fault is None or fault.code not in PASSING or fault.detail == site.memory.undeleted:
        return ""  # no package waits for a deletion
    return f"{fault.code}: {fault.detail}"


def _is_out_of_patience(site: Site, plan: Plan, applied: int) -> bool:
    now_s = site.clock.monotonic_s()
    since_s, before = site.memory.applying.get(plan.plan_id, (now_s, applied))
    site.memory.applying[plan.plan_id] = (since_s if applied == before else now_s, applied)
    return applied == before and now_s - since_s >= PATIENCE_S
