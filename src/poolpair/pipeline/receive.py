"""Receive: look at what stands in the own share and choose what to apply next. In: file names. Out: `Received`, or nothing.

A package that cannot be authenticated, or that was made for somebody else, is quarantined and never read further. One whose sequence
is not above the applied one is superseded: deleted and counted. Of several that follow the applied position the highest sequence
wins: it holds the newest state. Others wait. Opened manifests are remembered, so that polling costs one folder listing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.layout import PackageName, data_dir, parse_package_name
from poolpair.format.package import PackageReader
from poolpair.model import Channel, Fault, Manifest, RefusedPackage, Reign
from poolpair.pipeline.acknowledge import quarantine_package
from poolpair.pipeline.adopt import adopt
from poolpair.pipeline.site import Site, inbound_name
from poolpair.pipeline.standing import list_standing
from poolpair.protocol import still_to_come
from poolpair.share.port import FileVanished
from poolpair.state import Inbound
from poolpair.store.buckets import are_sound

NEW_PER_LOOK = 16
"""Files that were not opened before, or go away, in one look: whoever fills the share holds up neither words nor the other direction."""
REFUSED_KEPT = 32
"""Refused package ids kept for the cookie; the origin needs only the newest."""
MANIFESTS_KEPT = 256
STRAY_AFTER_S = 60.0
"""A package that leads nowhere is deleted after this long, if the partner has moved on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A package that may be applied now."""

    name: PackageName
    manifest: Manifest


def receive(site: Site, channel: Channel, waits: PoolpairError | None = None) -> Received | None:
    """Sort what stands in Data; returns the package to apply next. A package that must wait leaves a fault for status.

    `waits` is what waits besides: it is the fault if no package does.
    """
    inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
    candidates: list[Received] = []
    opened: list[Received] = []
    site.memory.crowded.discard(channel)
    held_back = {each.package_id for each in inbound.refused if each.code is Code.HELD}
    left = NEW_PER_LOOK
    for name in _in_order(site, channel, inbound):
        left -= name.name not in site.memory.manifests
        if left < 0:
            site.memory.crowded.add(channel)
            break
        if _is_superseded(inbound, name):
            inbound = _discard(site, channel, inbound, name)
            continue
        try:
            manifest = _manifest(site, channel, name)
            if manifest is None:
                continue
            if manifest.position.package_id in held_back:  # and somebody was killed before it was taken away
                _discard(site, channel, inbound, name)
                continue
            opened.append(Received(name=name, manifest=manifest))
            if manifest.follows == inbound.applied:
                _check_settings(site, manifest)
                candidates.append(opened[-1])
        except Refused as refused:
            waits = _turn_away(site, channel, name, refused) or waits
        except PoolpairError as error:
            waits = error
    if doubled := _doubled(inbound, opened):
        candidates = [received for received in candidates if received.name.stream not in doubled]
        site.memory.doubled |= {received.name.name for received in opened if received.name.stream in doubled}
        which = ", ".join(sorted(stream[:8] for stream in doubled))
        detail = f"two packages of one number stand here, of stream {which}: the partner's store was set back after it had sent one of them"
        waits = PoolpairError(Code.STORE_SET_BACK, detail, "decide at the partner: `poolpair setback show` there")
    _drop_strays(site, channel, inbound, opened)
    best = max(candidates, key=lambda received: _newness(inbound, received), default=None)
    if best is None:
        _note_fault(site, channel, inbound, waits)
    if best and inbound.held and inbound.held.position == best.manifest.position and not inbound.held.approved:
        return None
    return best


def _in_order(site: Site, channel: Channel, inbound: Inbound) -> list[PackageName]:
    """Everything that stands, in the order in which it is opened: what was already, then what is likely to go on from what is applied.

    Of these the next first and the newest after it, and so on from both ends: whoever makes up names may take any number.
    """
    stream = inbound.applied.stream if inbound.applied else ""
    found = [name for listed in site.own.list(data_dir(channel)) if (name := parse_package_name(listed.name))]
    known = [name for name in found if name.name in site.memory.manifests]
    fresh = [name for name in found if name.name not in site.memory.manifests]
    fresh.sort(key=lambda name: (name.stream != stream, name.sequence))
    likely = [name for name in fresh if name.stream == stream]
    ends = [pair for both in zip(likely, reversed(likely), strict=True) for pair in both]
    return list(dict.fromkeys((*known, *ends, *fresh)))


def _doubled(inbound: Inbound, opened: list[Received]) -> set[str]:
    """Streams in which a sequence number stands twice, which no store does that goes on from what it knew.

    Which of the two is of the lost future cannot be told, and it may be the only copy of what was accepted there: neither is applied.
    A stream that ended does not count any more: its operator has decided.
    """
    applied, numbers, found = inbound.applied, dict[tuple[str, int], str](), set[str]()
    coming = still_to_come(applied, (received.manifest for received in opened))
    for received in opened:
        position = received.manifest.position
        if position not in coming and (applied is None or position.stream != applied.stream):
            continue
        if numbers.setdefault((position.stream, position.sequence), position.package_id) != position.package_id:
            found.add(position.stream)
    return found


def _discard(site: Site, channel: Channel, inbound: Inbound, name: PackageName) -> Inbound:
    """Delete a package that will never be applied, and count it; one that stood twice under one number is kept in Quarantine."""
    memory = site.memory
    memory.manifests.pop(name.name, None)
    memory.strays.pop(name.name, None)
    if name.name in memory.doubled:
        memory.doubled.discard(name.name)
        why = "it stood twice under one number when the partner's store was set back"
        quarantine_package(site, channel, name.name, PoolpairError(Code.STORE_SET_BACK, why))
    elif site.own.remove(data_dir(channel), name.name):
        return _update(site, channel, lambda i: replace(i, superseded=i.superseded + 1))
    return inbound


def _newness(inbound: Inbound, received: Received) -> tuple[bool, int]:
    """The newest state is that of a new stream, since its origin makes nothing more in the old one; then the highest sequence."""
    applied = inbound.applied
    return applied is not None and received.name.stream != applied.stream, received.name.sequence


def _drop_strays(site: Site, channel: Channel, inbound: Inbound, opened: list[Received]) -> None:
    """Delete what leads nowhere from here, once the partner has moved on: it is left of a future that was lost with a store.

    Until a later package of the partner's is applied it is kept: it may be all that is left of what the partner had. A late listing may
    show a package before the one that it follows, hence the wait; should one have been good after all, its origin sends anew.
    """
    applied, now, strays = inbound.applied, site.clock.monotonic_s(), site.memory.strays
    if applied is None:
        return
    coming = still_to_come(applied, (received.manifest for received in opened))
    for received in opened:
        name = received.name.name
        if received.manifest.position in coming:
            strays.pop(name, None)
            continue
        since_s, then = strays.setdefault(name, (now, applied))
        if applied != then and now - since_s >= STRAY_AFTER_S:
            _discard(site, channel, inbound, received.name)


def _is_superseded(inbound: Inbound, name: PackageName) -> bool:
    applied = inbound.applied
    if applied is None:
        return False
    return name.stream in inbound.past_streams or (name.stream == applied.stream and name.sequence <= applied.sequence)


def _manifest(site: Site, channel: Channel, name: PackageName) -> Manifest | None:
    """Open a package far enough to authenticate its manifest; None if it went away meanwhile."""
    manifests = site.memory.manifests
    if name.name not in manifests:
        try:
            with site.own.open(data_dir(channel), name.name) as source:
                reader = PackageReader(
                    source, site.ring, reader_pool=site.pool, origin=site.partner, channel=channel, name=name
                )
                manifests[name.name] = reader.manifest
        except FileVanished:
            return None
        while len(manifests) > MANIFESTS_KEPT:
            manifests.pop(next(iter(manifests)))
    manifest = manifests[name.name]
    adopt(site, manifest.homes)
    _check_reigns(site, manifest)
    own = set(manifest.served) & set(site.served())
    if own:
        raise Refused(
            Code.FOREIGN_PACKAGE, f"it carries rows of {', '.join(sorted(own))}, which this pool serves itself"
        )
    if not are_sound(manifest.served, manifest.digests, manifest.buckets):
        raise Refused(Code.DAMAGED, "its manifest names digests or buckets that cannot be")
    return manifest


def _check_reigns(site: Site, manifest: Manifest) -> None:
    """A package is stale if a home whose rows it carries is in another reign here; one from a reign that we forgot waits for a decision."""
    for home in manifest.served:
        mine = site.serving(home)
        theirs = next((reign for reign in reversed(manifest.homes) if reign.home == home), Reign(home=home))
        if mine.stopped is not None:
            raise PoolpairError(mine.stopped.code, mine.stopped.detail)
        if theirs.reign_id != mine.present.reign_id:
            detail = f"it carries rows of {home} from epoch {theirs.epoch}, and here is epoch {mine.present.epoch}"
            raise Refused(Code.STALE, detail)
    if manifest.recovered is not None and manifest.recovered.home not in site.served():
        home = manifest.recovered.home
        raise Refused(Code.STALE, f"it brings what was written for {home}, which this pool does not serve")


def _check_settings(site: Site, manifest: Manifest) -> None:
    if manifest.settings != site.settings:
        detail = f"homes or profile differ: the partner's are {manifest.settings[:12]}, ours {site.settings[:12]}"
        raise PoolpairError(Code.SETTINGS, detail)


def _turn_away(site: Site, channel: Channel, name: PackageName, refused: Refused) -> PoolpairError | None:
    """Quarantine a package. What it holds of a reign that has ended is listed before; returns why that cannot be done yet."""
    if refused.code is Code.STALE:
        try:
            list_standing(site, channel, name)
        except FileVanished:
            return None
        except Refused as damaged:
            refused = damaged
        except PoolpairError as error:
            if error.code is not Code.SCHEMA:
                return error
            refused = Refused(Code.STALE, f"{refused.detail}; what it holds is not in the ledger: {error.detail}")
    refuse(site, channel, name, refused)
    return None


def refuse(site: Site, channel: Channel, name: PackageName, error: PoolpairError) -> None:
    """Quarantine a package and remember its id, if its name gave a believable one, so that the origin sends anew."""
    known = site.memory.manifests.get(name.name)
    quarantine_package(site, channel, name.name, error)
    package_id = known.position.package_id if known else name.short_id
    entry = RefusedPackage(package_id=package_id, code=error.code)
    _update(site, channel, lambda i: replace(i, refused=(*i.refused, entry)[-REFUSED_KEPT:]))


def _update(site: Site, channel: Channel, change: Callable[[Inbound], Inbound]) -> Inbound:
    with site.store.transaction() as tx:
        inbound = change(tx.load(Inbound, inbound_name(channel)) or Inbound())
        tx.save(inbound_name(channel), inbound)
    return inbound


def _note_fault(site: Site, channel: Channel, inbound: Inbound, error: PoolpairError | None) -> None:
    """Keep the reason why packages wait, from when it first held."""
    fault = site.fault(error) if error else None
    if _same(inbound.fault, fault):
        return
    _update(site, channel, lambda i: replace(i, fault=fault))


def _same(one: Fault | None, other: Fault | None) -> bool:
    return (one and (one.code, one.detail)) == (other and (other.code, other.detail))
