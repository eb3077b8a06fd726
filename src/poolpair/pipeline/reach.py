"""Reach: up to which moment everything that the partner accepted is applied here, told by this pool's own clock alone.

Both words go by nonces. A package echoes a nonce of ours that its origin had seen before it looked what is to be packed: whatever was
accepted until we wrote that nonce is in it, or in one that it follows. A cookie that says `sent` adds: up to that package there is nothing
else. Of files it is what the origin's last look at its tree had found. Nothing of it decides anything: it is for people, who must know
what a disaster costs.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import Channel, Cookie, Manifest, PackageKind, Position
from poolpair.pipeline.site import NONCES_KEPT, Claim, Site, inbound_name, outbound_name
from poolpair.state import Inbound, Outbound, Reached
from poolpair.store.port import Transaction
from poolpair.store.tree import Tree


def mark_of(position: Position) -> int:
    """A package in few bytes: its sequence, and enough of its stream to tell it from one that began after a set back."""
    return position.sequence << 16 | int(position.stream[:4], 16)


def look_at_tree(site: Site, tree: Tree) -> object:
    """Read the tree's hint, and remember it for `sent`: the heartbeat, which says that, touches no tree. One that hangs would keep it."""
    number = next(site.memory.order)
    hint = tree.hint()
    site.memory.tree_seen = (number, hint)
    return hint


def notice(site: Site, nonce: str) -> None:
    """The partner's newest nonce is to be echoed; when it was first known tells which looks at the tree came after it was written."""
    memory = site.memory
    memory.noticed.setdefault(nonce, next(memory.order))
    while len(memory.noticed) > NONCES_KEPT:
        memory.noticed.popitem(last=False)
    memory.echo = nonce


def sent(site: Site, echo: str) -> tuple[int, ...]:
    """Per channel the newest package, if nothing waits that is in none and was accepted before the partner wrote `echo`; else 0."""
    return tuple(_sent(site, channel, echo) for channel in site.channels)


def _sent(site: Site, channel: Channel, echo: str) -> int:
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None or out.base is None or out.stopped is not None:
        return 0
    # What this store accepted before it was set back is not here to be sent.
    if out.seed is not None and out.seed.overrule:
        return 0
    if channel is Channel.CONFERENCES and site.tree is not None and not _is_tree_known(site, echo):
        return 0
    return 0 if site.store.pending(channel, out.base_token) else mark_of(out.base)


def _is_tree_known(site: Site, echo: str) -> bool:
    """Whether the log tells of every file that was there when the partner wrote `echo`: the tree was looked at after that was known."""
    memory = site.memory
    if memory.unreadable or memory.restless:  # files of which no log tells
        return False
    number, hint = memory.tree_seen
    return hint == memory.tree_hint and memory.noticed.get(echo, number) < number


def note_claims(site: Site, tx: Transaction, cookie: Cookie) -> None:
    """Take in what a believed cookie says is sent; what is applied already is reached at once."""
    written_s = site.memory.written.get(cookie.echo)
    if written_s is None:
        return
    for channel, mark in zip(site.channels, cookie.sent, strict=False):
        if mark:
            site.memory.claims[channel] = Claim(mark, written_s)
            inbound = tx.load(Inbound, inbound_name(channel))
            after = _claimed(site, channel, inbound) if inbound is not None else None
            if after is not None and after != inbound:
                tx.save(inbound_name(channel), after)


def reaching(site: Site, inbound: Inbound, manifest: Manifest) -> Inbound:
    """The same after this package was applied."""
    written_s = site.memory.written.get(manifest.echo)
    lacks = manifest.fills or manifest.skips or manifest.left_behind
    carries_all = manifest.kind is not PackageKind.RECOVERED and not lacks
    if carries_all and written_s is not None:
        inbound = _reached(site, inbound, written_s)
    return _claimed(site, manifest.channel, inbound, later=carries_all)


def _claimed(site: Site, channel: Channel, inbound: Inbound, *, later: bool = False) -> Inbound:
    """After a rewind a `later` package holds what the named one did only if it carries a delta: one that recovers something does not."""
    claim, applied = site.memory.claims.get(channel), inbound.applied
    if claim is None or applied is None:
        return inbound
    mark = mark_of(applied)
    newer = later and mark & 0xFFFF == claim.mark & 0xFFFF and mark > claim.mark
    return _reached(site, inbound, claim.written_s) if newer or mark == claim.mark else inbound


def _reached(site: Site, inbound: Inbound, at_s: float) -> Inbound:
    boot_id, before = site.clock.boot_id(), inbound.reached
    if before is not None and before.boot_id == boot_id and before.at_s >= at_s:
        return inbound
    return replace(inbound, reached=Reached(boot_id=boot_id, at_s=at_s))


def reach_age_s(site: Site, inbound: Inbound) -> float | None:
    """How long ago that moment was, in seconds; None if it is not known, as after a restart of this machine."""
    reached = inbound.reached
    if reached is None or reached.boot_id != site.clock.boot_id():
        return None
    return max(0.0, site.clock.monotonic_s() - reached.at_s)
