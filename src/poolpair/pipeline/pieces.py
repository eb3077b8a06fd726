"""Pieces: a large package goes out piece by piece, so that other channels get their turn, a cap is kept, and a cut costs little.

A piece is as large as what goes through in about half a second. Where an earlier piece is not there any more the package begins anew;
where that happens again and again it goes out as a whole.
"""

from __future__ import annotations

from math import inf
from typing import BinaryIO

from poolpair.model import Channel
from poolpair.pipeline.packed import Flow, Packed
from poolpair.pipeline.site import Site

PIECE_S = 0.5
GROWS = 4
BURST_S = 1.0
"""What was not sent for a while may be made up for, but no more than this."""
ANEW_MAX = 3


def may_send(site: Site, channel: Channel) -> bool:
    """Whether the cap lets something go out now."""
    flow, now = _flow(site, channel), site.clock.monotonic_s()
    rate = site.bandwidth.bytes_per_s(channel, site.clock.utc_iso())
    if rate is None:
        flow.balance_bytes = inf
    else:
        flow.balance_bytes = min(rate * BURST_S, flow.balance_bytes + rate * max(0.0, now - flow.at_s))
    flow.at_s = now
    return flow.balance_bytes > 0


def note_wait(site: Site, channel: Channel, *, waits: bool) -> None:
    """Whether something waits for the clock alone; the service looks again although nobody gives a sign."""
    _flow(site, channel).waits = waits


def bring(site: Site, channel: Channel, packed: Packed, source: BinaryIO) -> int | None:
    """Bring the next piece. Returns how much stands there if the rest may follow at once, None if it is for another time."""
    flow, whole = _flow(site, channel), packed.intent.package_bytes
    if flow.package_id != packed.intent.position.package_id:
        flow.package_id, flow.brought, flow.anew, flow.whole = packed.intent.position.package_id, 0, 0, whole
    limit = int(min(flow.piece_bytes, max(flow.balance_bytes, site.limits.piece_min_bytes)))
    if whole - flow.brought <= limit or flow.anew >= ANEW_MAX:
        return flow.brought
    began_s = site.clock.monotonic_s()
    ends = site.other.bring(source, packed.temp_name(site.pool), flow.brought, limit)
    if ends <= flow.brought:
        flow.anew, flow.brought = flow.anew + 1, 0
        return None
    _adapt(site, flow, ends - flow.brought, site.clock.monotonic_s() - began_s)
    flow.balance_bytes -= ends - flow.brought
    flow.anew, flow.brought = (0 if flow.brought else flow.anew), ends
    return None


def sent(site: Site, channel: Channel, packed: Packed) -> None:
    """The package was delivered."""
    flow = _flow(site, channel)
    flow.balance_bytes -= packed.intent.package_bytes - flow.brought
    flow.package_id, flow.brought = "", 0


def _adapt(site: Site, flow: Flow, size: int, took_s: float) -> None:
    fits = size * PIECE_S / took_s if took_s > 0 else inf
    grown = min(fits, GROWS * flow.piece_bytes)
    flow.piece_bytes = int(max(site.limits.piece_min_bytes, min(grown, site.limits.piece_max_bytes)))


def _flow(site: Site, channel: Channel) -> Flow:
    flows = site.memory.flows
    if channel not in flows:
        flows[channel] = Flow(site.limits.piece_min_bytes)
    return flows[channel]
