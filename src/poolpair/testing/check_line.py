"""Checkers of the line: watermarks, the log, packages in the share, and who counts as a stranger."""

from __future__ import annotations

from poolpair.errors import Code
from poolpair.format.layout import data_dir, parse_package_name
from poolpair.model import Channel, Position
from poolpair.pipeline.site import Counts, counts_name, inbound_name, intent_name, outbound_name
from poolpair.share.port import QUARANTINE, REASON_SUFFIX
from poolpair.state import Inbound, Intent, Outbound
from poolpair.testing.facts import Lines, Violation, serving_of
from poolpair.testing.schema import CHANNELS, POOLS, other
from poolpair.testing.view import channel_of_group
from poolpair.testing.world import Pool, World


def watermarks_are_in_order(world: World, found: Lines) -> Violation | None:
    """Acknowledged <= applied <= packed and delivered <= packed, by the documents of both stores."""
    for line in found:
        if not world.truth.is_news("watermarks_are_in_order", line.name, line.out, line.inbound):
            continue
        out, stream = line.out, line.out.stream
        packed = out.next_sequence - 1
        acknowledged = out.acknowledged.sequence if out.acknowledged else 0
        applied = line.inbound.applied.sequence if line.inbound.applied and line.inbound.applied.stream == stream else 0
        delivered = max((position.sequence for position in out.in_flight), default=acknowledged)
        if not line.is_settled(world):
            continue
        if not (acknowledged <= applied <= packed and acknowledged <= delivered <= packed):
            story = (
                f"{line.name}: acknowledged {acknowledged}, applied {applied}, delivered {delivered}, packed {packed}"
            )
            return Violation("watermarks_are_in_order", story)
    return None


def log_is_bounded(world: World, found: Lines) -> Violation | None:
    """What was acknowledged has left the log, but for what a handover under way may have to compare."""
    for line in found:
        if not world.truth.is_news("log_is_bounded", line.name, line.sent):
            continue
        token = line.out.prunable_token
        if any(line.channel in serving_of(line.sent, home).open for home in POOLS):
            continue  # the log tells what was changed in a reign that the partner has not answered for
        stale = [
            group for group, gen in line.sent.log.items() if channel_of_group(group) is line.channel and gen <= token
        ]
        if stale:
            return Violation("log_is_bounded", f"{line.name}: {stale[0]} is logged although {token} is acknowledged")
    return None


def foreign_writes_are_real(world: World, _found: Lines) -> Violation | None:
    """Nobody is accused of writing into the partner's rows or files where nobody did: an apply is never taken for that."""
    for pool in world.pools.values():
        view = pool.database.view()
        if pool.name in world.truth.tampered or not world.truth.is_news("foreign_writes_are_real", pool.name, view):
            continue
        for channel in CHANNELS:
            counts = view.document(Counts, counts_name(channel))
            if channel is Channel.CONFERENCES and any(len(serving_of(view, home).known) > 1 for home in POOLS):
                continue  # a file may be written while its home moves: nothing refuses that
            if counts and counts.foreign_writes:
                return Violation("foreign_writes_are_real", f"{pool.name} counts {counts.foreign_writes} on {channel}")
    return None


def packages_leave_only_when_done(world: World, _found: Lines) -> Violation | None:
    """A package leaves Data when it was applied or is superseded, or lies in Quarantine, or the operator refused it."""
    for pool in world.pools.values():
        now = {(folder, name) for folder in map(data_dir, CHANNELS) for name in pool.share.tree[folder]}
        gone = world.truth.standing[pool.name] - now
        world.truth.standing[pool.name] = now
        for folder, name in sorted(gone):
            world.truth.used["packages_leave_only_when_done"] += 1
            if not _is_done(world, pool, folder, name):
                return Violation(
                    "packages_leave_only_when_done", f"{name} left the share of {pool.name} without a reason"
                )
    return None


HONEST = (Code.STORE_SET_BACK, Code.STALE)
"""Why a package may be refused that is whole and was meant to be applied."""


def honest_packages_are_not_refused(world: World, _found: Lines) -> Violation | None:
    """What lies in Quarantine was not put there whole by its origin: unless it stood twice under one number, or its reign has ended."""
    for pool in world.pools.values():
        folder = pool.share.tree[QUARANTINE]
        for name in sorted(folder.keys() - world.truth.quarantined[pool.name]):
            world.truth.quarantined[pool.name].add(name)
            world.truth.used["honest_packages_are_not_refused"] += 1
            reason = folder.get(name + REASON_SUFFIX)
            whole = next(
                (data for (to, sent), data in world.truth.delivered.items() if to == pool.name and name.endswith(sent)),
                None,
            )
            if reason and whole == folder[name].data and not any(code.encode() in reason.data for code in HONEST):
                return Violation(
                    "honest_packages_are_not_refused", f"{name} came whole to {pool.name}: {reason.data.decode()}"
                )
    return None


def _is_done(world: World, pool: Pool, folder: str, name: str) -> bool:
    parsed = parse_package_name(name)
    if parsed is None or any(kept.endswith(name[-100:]) for kept in pool.share.tree[QUARANTINE]):
        return True
    channel = next(each for each in CHANNELS if data_dir(each) == folder)
    inbound = pool.database.view().document(Inbound, inbound_name(channel)) or Inbound()
    applied = inbound.applied
    if any(refused.package_id[:8] == parsed.short_id for refused in inbound.refused):
        return True
    out = world.pools[other(pool.name)].database.view().document(Outbound, outbound_name(channel))
    if out is None or parsed.stream in world.truth.forked or parsed.stream != out.stream:
        return True  # of a future that was lost with its store
    name = intent_name(channel, Position(parsed.stream, parsed.sequence, ""))
    intent = world.pools[other(pool.name)].database.view().document(Intent, name)
    standing = {each[1].split("-")[-1][:8] for each in world.truth.standing[pool.name]}
    if intent is None or (
        intent.follows != applied and intent.follows and intent.follows.package_id[:8] not in standing
    ):
        return True  # behind a gap: its origin hears of that, and sends anew
    return applied is not None and (
        parsed.stream in inbound.past_streams
        or (parsed.stream == applied.stream and parsed.sequence <= applied.sequence)
    )
