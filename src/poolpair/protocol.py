"""The origin's decisions, without I/O: what a cookie means, and what to pack next.

A *fresh* cookie was written after a certain act of ours, which it proves by echoing a nonce that we wrote after that act. Only a
fresh cookie may show that something is missing; an acknowledgement needs no freshness, since what was applied stays applied
unless the store was set back, and that again only a fresh cookie can show.

Every mismatch has one cure, the rewind: go on from the position that the partner reports, with the next sequence number, one
package at a time. It is safe because a package carries the current state of changed groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from poolpair.comparing import Lookup, answered, first_buckets, minding_waiting
from poolpair.errors import Code
from poolpair.first_copy import in_flight_max, sliced
from poolpair.model import FORMAT_VERSION, BucketSet, Cookie, Fault, Manifest, Position
from poolpair.slice import Slice
from poolpair.state import Intent, Outbound, Proof, Seed, SeedPhase

QUICK_ROUNDS = 3
"""Rounds of a comparison that follow each other at once; later ones keep the pace of the channel."""

SHORT_ID_DIGITS = 8
"""How many digits of a package's id stand in its file name."""

QUICK_TRIES = 3
"""Packages sent again at once after others were lost or refused; then one per interval, lest two sides that cannot agree fill both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """After which acts of ours the cookie was written for certain."""

    after_acknowledgement: bool
    after_delivery: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What the next package shall carry besides the delta: digests of everything, or whole buckets."""

    digests: bool = False
    buckets: tuple[BucketSet, ...] = ()
    recovers: int = 0
    """The number of a recovery: what this pool had accepted before it heard of another reign."""
    slices: tuple[Slice, ...] = ()
    """Parts of tables for an empty target, and nothing else: no delta, so no token moves."""
    proof: Proof | None = None
    """With `digests`: of what changed since, and the delta goes back to it. None: of everything."""
    skips: bool = False
    """Instead of a delta that is larger than `package_max`: what it would have brought is found by the digests, and follows in parts."""


def hear(out: Outbound, cookie: Cookie, lookup: Lookup, fresh: Freshness, now_utc: str) -> Outbound:
    """Take in the partner's word on this channel."""
    applied = cookie.applied
    if _is_older_word(out, cookie) and not fresh.after_acknowledgement:
        return replace(out, replays=out.replays + 1)
    if out.stopped is not None:
        return replace(out, partner=cookie)
    if applied is not None and lookup(applied) is None and applied != out.root:
        if applied.stream in out.overruled and not fresh.after_acknowledgement:
            return replace(out, replays=out.replays + 1)
        detail = f"the partner applied package {applied.sequence} of stream {applied.stream[:8]}, which this store never made"
        return replace(out, partner=cookie, stopped=Fault(code=Code.STORE_SET_BACK, detail=detail, since_utc=now_utc))
    if fresh.after_delivery and _doubts_our_stream(out, cookie):
        detail = (
            "two packages of one number stand at the partner: this store was set back after it had sent one of them"
        )
        return replace(out, partner=cookie, stopped=Fault(code=Code.STORE_SET_BACK, detail=detail, since_utc=now_utc))
    if _is_behind(out, applied):
        if not fresh.after_acknowledgement:
            return replace(out, replays=out.replays + 1)
        return replace(
            rewound(out, applied, None),
            partner=cookie,
            curing=True,
            seed=_fresh_seed(out, "the partner's store was set back"),
        )
    out = replace(out, partner=cookie, heard=True, partner_store_id=cookie.store_id)
    out = _acknowledged(out, applied, lookup)
    out = _refused(out, cookie, now_utc)
    if out.stopped is not None:
        return out
    if _lost(out, cookie, lookup, fresh):
        out = replace(rewound(out, applied, lookup(applied) if applied else None), seed=_asked_again(out.seed))
    if cookie.doubts and out.seed is None and out.initialised:
        out = replace(out, seed=Seed(reason="the partner does not know whether its copy is whole"))
    out = minding_waiting(out, cookie)
    return answered(out, cookie, lookup, now_utc)


def _doubts_our_stream(out: Outbound, cookie: Cookie) -> bool:
    """The partner found a number of the present stream twice; what it says of an older one was decided already."""
    fault = cookie.fault
    return fault is not None and fault.code is Code.STORE_SET_BACK and out.stream[:8] in fault.detail


def _is_older_word(out: Outbound, cookie: Cookie) -> bool:
    """The cookie was written before one that was believed already, by the writer's own count."""
    last = out.partner
    return last is not None and last.store_id == cookie.store_id and cookie.serial < last.serial


def _is_behind(out: Outbound, applied: Position | None) -> bool:
    """The word is older than what was acknowledged; except while that very set back is being cured."""
    acknowledged = out.acknowledged
    if acknowledged is None or applied == acknowledged or (out.curing and applied == out.root):
        return False
    if applied is None:
        return True
    if applied.stream == acknowledged.stream:
        return applied.sequence < acknowledged.sequence
    return applied.stream != out.stream


def _acknowledged(out: Outbound, applied: Position | None, lookup: Lookup) -> Outbound:
    if applied is None or applied == out.acknowledged or (out.curing and applied == out.root):
        return out
    intent = lookup(applied)
    if intent is None or applied.stream != out.stream:
        return out
    if out.base is None or out.base.stream != applied.stream or out.base.sequence < applied.sequence:
        # A crash between the delivery and its record: the partner knows more than we noted.
        out = replace(out, base=applied, base_token=max(out.base_token, intent.token))
    return replace(
        out,
        acknowledged=applied,
        acknowledged_token=max(out.acknowledged_token, intent.token),
        in_flight=tuple(position for position in out.in_flight if position.sequence > applied.sequence),
        one_at_a_time=False,
        in_vain=0,
        curing=False,
        root=applied,
    )


def _refused(out: Outbound, cookie: Cookie, now_utc: str) -> Outbound:
    """A package refused by the partner's operator stops the channel: sending the same again would only ask again."""
    in_flight = {position.package_id: position for position in out.in_flight}
    for refused in cookie.refused:
        if refused.code is Code.HELD and refused.package_id in in_flight:
            detail = f"the partner's operator refused package {in_flight[refused.package_id].sequence} because of its deletions"
            return replace(out, stopped=Fault(code=Code.REFUSED_BY_PARTNER, detail=detail, since_utc=now_utc))
    return out


def _lost(out: Outbound, cookie: Cookie, lookup: Lookup, fresh: Freshness) -> bool:
    """The package that must come next was refused, does not follow what was applied, or is neither applied nor standing."""
    if not out.in_flight:
        return False
    # Where not even the manifest could be read, the partner knows of the id only what stands in the file's name.
    refused = tuple(each.package_id for each in cookie.refused if len(each.package_id) >= SHORT_ID_DIGITS)
    if any(position.package_id.startswith(refused) for position in out.in_flight):
        return True
    if fresh.after_delivery and _is_misread(cookie):
        return True
    following = lookup(out.in_flight[0])
    if following is not None and following.follows != cookie.applied:
        return True
    return fresh.after_delivery and out.in_flight[0].sequence not in cookie.standing


def still_to_come(applied: Position | None, manifests: Iterable[Manifest]) -> frozenset[Position]:
    """The target's view: which of the packages that stand may still be applied, one after another, from the applied position on."""
    waiting, reached, found = list(manifests), {applied}, set[Position]()
    while ready := [manifest for manifest in waiting if manifest.follows in reached]:
        waiting = [manifest for manifest in waiting if manifest.follows not in reached]
        found |= {manifest.position for manifest in ready}
        reached |= found
    return frozenset(found)


def _is_misread(cookie: Cookie) -> bool:
    """The partner waits for a newer release, though it reads what we write: the package's clear header was damaged on its way."""
    fault = cookie.fault
    return fault is not None and fault.code is Code.NEWER_FORMAT and cookie.reads_format >= FORMAT_VERSION


def rewound(out: Outbound, applied: Position | None, intent: Intent | None) -> Outbound:
    """Go on from what the partner has. Where the log was pruned beyond it, only a seed closes the gap; the caller sees to it."""
    token = max(out.acknowledged_token, intent.token if intent else 0)
    return replace(
        out,
        base=applied,
        base_token=token,
        root=applied,
        in_flight=(),
        one_at_a_time=True,
        rewinds=out.rewinds + 1,
        in_vain=out.in_vain + 1,
    )


def _fresh_seed(out: Outbound, reason: str) -> Seed:
    return Seed(
        reason=out.seed.reason if out.seed and out.seed.repair else reason,
        overrule=bool(out.seed and out.seed.overrule),
    )


def _asked_again(seed: Seed | None) -> Seed | None:
    return replace(seed, phase=SeedPhase.ASK, asked=None, to_send=(), slices=()) if seed else None


def want(out: Outbound, *, pending: int, due: bool, window: int, recovery: int = 0) -> Want | None:
    """Decide what to pack now; None for nothing. `recovery` waits to be handed in, if it is not 0."""
    if out.stopped is not None or out.paused is not None or not out.heard:
        return None
    if out.in_vain > QUICK_TRIES and not due:
        return None
    if len(out.in_flight) >= in_flight_max(out, window):
        return None
    if recovery:
        return Want(recovers=recovery)
    seed = out.seed
    if seed and seed.phase is SeedPhase.COPY:
        return Want(slices=seed.slices[:1])
    asking = seed is not None and (seed.phase is SeedPhase.ASK or _asked_in_vain(out, seed))
    if seed and asking and (due or seed.rounds < QUICK_ROUNDS):
        return Want(digests=True, proof=out.proof if seed.on_proof else None)
    if seed and seed.phase is SeedPhase.SEND and seed.to_send:
        return Want(buckets=first_buckets(seed.to_send)[0])
    return Want() if pending and due else None


def _asked_in_vain(out: Outbound, seed: Seed) -> bool:
    """The package that asked is neither on its way nor applied: it was given up when the operator refused it."""
    asked, acknowledged = seed.asked, out.acknowledged
    if seed.phase is not SeedPhase.AWAIT or asked is None or asked in out.in_flight:
        return False
    return acknowledged is None or acknowledged.stream != asked.stream or acknowledged.sequence < asked.sequence


def compare_anew(out: Outbound, reason: str) -> Outbound:
    """Give up what is in flight and compare both copies: what was captured until now may not be all, or not the right rows."""
    seed = Seed(reason=reason, overrule=bool(out.seed and out.seed.overrule))
    return replace(
        out,
        base=out.acknowledged or out.root,
        base_token=out.acknowledged_token,
        in_flight=(),
        one_at_a_time=True,
        seed=seed,
    )


def packed(out: Outbound, wanted: Want, intent: Intent) -> Outbound:
    """The package was delivered: it is in flight, and the next one follows it."""
    seed = out.seed
    if wanted.skips:
        reason = seed.reason if seed and seed.repair else "the backlog is larger than package_max"
        seed = Seed(reason=reason, phase=SeedPhase.AWAIT, asked=intent.position, overrule=bool(seed and seed.overrule))
    elif seed and wanted.slices:
        seed = sliced(seed, wanted.slices)
    elif seed and wanted.digests:
        seed = replace(seed, phase=SeedPhase.AWAIT, asked=intent.position)
    elif seed and wanted.buckets:
        carried, later = first_buckets(seed.to_send)
        seed = replace(seed, to_send=later, sent=seed.sent + sum(len(buckets.buckets) for buckets in carried))
    return replace(
        out,
        base=intent.position,
        base_token=intent.token,
        in_flight=(*out.in_flight, intent.position),
        seed=seed,
        settings=intent.settings,
        layout=intent.shapes,
    )
