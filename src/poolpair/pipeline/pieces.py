"""Pieces: a large package goes out piece by piece, so that other channels get their turn, a cap is kept, and a cut costs little.

A piece is as large as what goes through in about half a second. Where an earlier piece is not there any more the package begins anew;
where that happens again and again it goes out as a whole.
"""

from __future__ import annotations

from math import inf
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.pipeline.packed import Flow, Packed
from poolpair.pipeline.site import Site

PIECE_S = 0.5
GROWS = 4
BURST_S = 1.0
"""What was not sent for a while may be made up for, but no more than this."""
ANEW_MAX = 3
SPARE_BYTES = 256 * 1024
"""A large package is not begun where it would leave less: words need room as well."""


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
    if flow.temp_name != packed.temp_name(site.pool):
        give_up(site, channel)
        flow.temp_name, flow.anew, flow.whole = packed.temp_name(site.pool), 0, whole
    limit = int(min(flow.piece_bytes, max(flow.balance_bytes, site.limits.piece_min_bytes)))
    if whole - flow.brought <= limit or flow.anew >= ANEW_MAX:
        return flow.brought
    if not flow.brought and site.other.free_bytes() < whole + SPARE_BYTES:
        where = "could not write files in Temp of the partner's share"
        raise PoolpairError(Code.SHARE_FULL, f"no space is left for a package of {whole:,} bytes: {where}")
    began_s = site.clock.monotonic_s()
    ends = site.other.bring(source, flow.temp_name, flow.brought, limit)
    if ends < flow.brought + limit and ends > flow.brought:
        site.memory.ready.pop(channel, None)
        raise PoolpairError(Code.SCRATCH, f"the package in {site.scratch} is shorter than it was")
    if ends <= flow.brought:
        flow.anew, flow.brought = flow.anew + 1, 0
        return None
    _adapt(site, flow, ends - flow.brought, site.clock.monotonic_s() - began_s)
    flow.balance_bytes -= ends - flow.brought
    flow.brought = ends
    return None


def any_waits(site: Site) -> bool:
    """Whether any channel's package waits for the clock."""
    return any(flow.waits for flow in site.memory.flows.values())


def is_begun(site: Site, channel: Channel) -> bool:
    """Whether a package is on its way in pieces: the rest of it is due, whatever the interval says."""
    return bool(_flow(site, channel).brought)


def give_up(site: Site, channel: Channel) -> None:
    """What was brought is of no use any more, or fills the partner's disk."""
    flow = _flow(site, channel)
    if flow.brought:
        site.other.forget(flow.temp_name)
    flow.temp_name, flow.brought = "", 0


def sent(site: Site, channel: Channel, packed: Packed) -> None:
    """The package was delivered."""
    flow = _flow(site, channel)
    flow.balance_bytes -= packed.intent.package_bytes - flow.brought
    flow.temp_name, flow.brought = "", 0


def _adapt(site: Site, flow: Flow, size: int, took_s: float) -> None:
    fits = size * PIECE_S / took_s if took_s > 0 else inf
    grown = min(fits, GROWS * flow.piece_bytes)
    flow.piece_bytes = int(max(site.limits.piece_min_bytes, min(grown, site.limits.piece_max_bytes)))


def _flow(site: Site, channel: Channel) -> Flow:
    flows = site.memory.flows
    if channel not in flows:
        flows[channel] = Flow(site.limits.piece_min_bytes)
    return flows[channel]
