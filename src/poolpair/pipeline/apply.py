"""Apply: bring rows and files of one received package into the store, in one transaction with the new position.

In: `Received`. Out: the new `Inbound`, or nothing if the package waits. Order: every member is read to its end and authenticated; files
are placed (their digests recorded first, so that a crash makes no echo); rows, catalogue and position commit together; then
deleted files leave the disk (one in the way of a placed one before that) and the package leaves the share. Killed anywhere, the next
run goes on or does it again.

A package without `digests` clears nothing; one with them is answered by `compare` before anything else is applied.
"""

from __future__ import annotations

from dataclasses import replace
from os import SEEK_END
from pathlib import Path

from poolpair.changed import WaitingTable
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.layout import data_dir
from poolpair.format.package import PackageReader
from poolpair.model import Channel, Manifest, PackageKind, Reign
from poolpair.pipeline.apply_files import finish_deletions, in_the_way, place_files
from poolpair.pipeline.compare import compare
from poolpair.pipeline.pack import ROWS_MEMBER
from poolpair.pipeline.reach import reaching
from poolpair.pipeline.receive import Received, refuse
from poolpair.pipeline.recovery import close_recoveries, keep_ledger
from poolpair.pipeline.site import Site, inbound_name, owed_name
from poolpair.pipeline.take_back import take_back
from poolpair.pipeline.unpack import extract_rows
from poolpair.reigns import was_ever_moved
from poolpair.share.port import FileVanished
from poolpair.state import Held, Inbound, Owed, Proof
from poolpair.store.port import Transaction
from poolpair.store.values import (
    Applied,
    ApplyPlan,
    CatalogueFile,
    MassDelete,
)

PAST_STREAMS_KEPT = 16


def apply(site: Site, channel: Channel, received: Received) -> bool:
    """Apply a package; False if it waits (for an operator or the application) or was refused. Raises STORE_*, SCHEMA, TREE, SCRATCH."""
    compare(site, channel)
    brings = received.manifest.recovered
    if (
        brings is not None
        and (received.manifest.groups or received.manifest.files)
        and not site.lets_go(brings.home, channel)
    ):
        return False
    proved = site.memory.proved.pop(channel, None)
    rows = site.scratch_file(f"in-{channel}-rows")
    try:
        with site.own.open(data_dir(channel), received.name.name) as source:
            reader = PackageReader(
                source, site.ring, reader_pool=site.pool, origin=site.partner, channel=channel, name=received.name
            )
            if reader.manifest != received.manifest:
                raise Refused(Code.DAMAGED, "the package changed after it was first read")
            size_bytes = source.seek(0, SEEK_END)
            reader.authenticate(but=ROWS_MEMBER)  # the digest of each file is proved before it gets its name
            extract_rows(site, reader, rows)  # which reads that one to its end
            done = _apply_open(site, channel, reader, rows, proved)
    except FileVanished:
        return False
    except Refused as refused:
        refuse(site, channel, received.name, refused)
        return False
    finally:
        rows.unlink(missing_ok=True)
    if done:
        site.memory.traffic.received_bytes[channel] += size_bytes
        if channel is Channel.CONFERENCES:
            finish_deletions(site)  # what it cannot do waits, and the next pass says so
        site.own.remove(data_dir(channel), received.name.name)
        site.memory.manifests.pop(received.name.name, None)
        compare(site, channel)
    return done


def _apply_open(site: Site, channel: Channel, reader: PackageReader, rows: Path, proved: Proof | None) -> bool:
    manifest = reader.manifest
    if manifest.kind is PackageKind.RECOVERED:
        guard = _plan(site, channel, manifest)
        return take_back(site, channel, reader, rows, guard, lambda tx, applied: _record(site, tx, manifest, applied))
    if manifest.keep_replaced and channel is site.lead:
        keep_ledger(site, manifest)
    plan = _plan(site, channel, manifest)
    with site.store.incoming(rows, channel, manifest.tables) as incoming:
        placed: list[CatalogueFile] = []
        if manifest.files != sum(1 for _ in incoming.files()):
            # Else a list of deletions could pass by the look at whose files they are.
            raise Refused(Code.DAMAGED, "its list of files is not as long as its manifest says")
        if site.tree is not None and manifest.files:
            if tripped := incoming.check(plan):
                return _hold(site, channel, manifest, tripped)
            first = in_the_way(site, incoming, plan)
            incoming.mark_placing(first)
            if first:
                finish_deletions(site)
            placed = list(place_files(site, site.tree, reader, incoming))
        elif manifest.files:
            raise PoolpairError(Code.TREE, "the partner sends files, but `files` is not set in this pool's file")
        outcome = incoming.apply(plan, placed, lambda tx, applied: _record(site, tx, manifest, applied))
    if isinstance(outcome, MassDelete):
        return _hold(site, channel, manifest, outcome)
    if proved is not None and _adds_only(manifest, outcome):
        site.memory.proved[channel] = proved
    return True


def _adds_only(manifest: Manifest, applied: Applied) -> bool:
    """Whether nothing can have changed but the groups of a delta, all of which its origin has logged."""
    delta = manifest.kind is PackageKind.DELTA and not (manifest.buckets or manifest.skips or manifest.fills)
    return delta and applied.alone and not (applied.parked or applied.waiting)


def _plan(site: Site, channel: Channel, manifest: Manifest) -> ApplyPlan:
    inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
    held = inbound.held
    return ApplyPlan(
        channel=channel,
        package_id=manifest.position.package_id,
        served=manifest.served,
        buckets=manifest.buckets,
        guard_fraction=site.limits.guard_fraction,
        guard_groups=site.limits.guard_groups,
        parked_max=site.limits.parked_max,
        approved=bool(held and held.approved and held.position == manifest.position),
        left_behind=manifest.left_behind,
        keep_replaced=manifest.keep_replaced,
        fills=manifest.fills,
        digests=manifest.since is not None,
        unsettled=() if manifest.keep_replaced else _unsettled(inbound, manifest),
        now_utc=site.clock.utc_iso(),
    )


def _unsettled(inbound: Inbound, manifest: Manifest) -> tuple[str, ...]:
    """Homes whose copy here was never whole. What stands here of them is no copy yet, so that its origin lacks it says nothing."""
    if inbound.settled is None and inbound.applied is not None:  # an older release began this copy, and did not say
        return ()
    return tuple(home for home in manifest.served if home not in (inbound.settled or ()))


def _settled(inbound: Inbound, manifest: Manifest) -> tuple[str, ...] | None:
    if inbound.settled is None and inbound.applied is not None:
        return None
    held = inbound.held
    let = held is not None and held.first and held.approved and held.position == manifest.position
    return tuple(sorted({*(inbound.settled or ()), *(manifest.served if let else ())}))


def _record(site: Site, tx: Transaction, manifest: Manifest, applied: Applied) -> None:
    """Write position and counts in the transaction that applies the rows."""
    name = inbound_name(manifest.channel)
    inbound = tx.load(Inbound, name) or Inbound()
    before = inbound.applied
    assert manifest.follows == before, "a package was applied onto a position that it does not follow"
    past = inbound.past_streams
    if before is not None and before.stream != manifest.position.stream:
        past = (*past, before.stream)[-PAST_STREAMS_KEPT:]
    fresh = replace(
        inbound,
        applied=manifest.position,
        complete=_still_complete(inbound, manifest),
        settled=_settled(inbound, manifest),
        past_streams=past,
        held=None,
        fault=None,
        applied_packages=inbound.applied_packages + 1,
        applied_groups=inbound.applied_groups + applied.groups,
        applied_rows=inbound.applied_rows + applied.rows,
        applied_utc=site.clock.utc_iso(),
        partner_homes=manifest.homes,
        sequences=inbound.sequences
        | {name: max(number, inbound.sequences.get(name, 0)) for name, number in manifest.sequences.items()},
    )
    fresh = reaching(site, fresh, manifest)
    if applied.waiting or inbound.waiting:
        fresh = _with_waiting(site, fresh, applied.waiting, manifest)
    tx.save(name, fresh)
    if manifest.digests or manifest.compares:
        tx.save(
            owed_name(manifest.channel),
            Owed(
                package_id=manifest.position.package_id,
                digests=manifest.digests,
                left_behind=manifest.left_behind,
                reread=manifest.reread,
                hands=_handed(manifest),
                since=manifest.since,
                changed=applied.changed,
                tables=manifest.tables,
            ),
        )
    if manifest.heard is not None and was_ever_moved(site.serving(home) for home in site.homes):
        close_recoveries(tx, manifest.channel, manifest.heard)


def _handed(manifest: Manifest) -> tuple[Reign, ...]:
    """The reigns that this package would end, as its origin knows them."""
    present = {reign.home: reign for reign in manifest.homes}
    return tuple(present[home] for home in manifest.hands if home in present)


def _with_waiting(site: Site, inbound: Inbound, waiting: tuple[WaitingTable, ...], manifest: Manifest) -> Inbound:
    """What waits makes the copy incomplete; what waited and does not any more is made up for by a comparison."""
    site.memory.nothing_waits.discard(manifest.channel)
    back = {table.number for table in inbound.waiting} - {table.number for table in waiting}
    return replace(
        inbound,
        waiting=waiting,
        layout=site.store.layout(manifest.channel) if waiting else "",
        doubts=inbound.doubts or bool(back),
        complete=tuple(home for home in inbound.complete if home not in manifest.served),
    )


def look_at_waiting(site: Site, channel: Channel) -> None:
    """When tables of ours have changed, those that wait may be the partner's now: a comparison tells, and makes up for what was missed."""
    if channel in site.memory.nothing_waits:
        return
    inbound = site.store.read(Inbound, inbound_name(channel))
    if inbound is None or not inbound.waiting:
        site.memory.nothing_waits.add(channel)
        return
    if inbound.layout == site.store.layout(channel):
        return
    with site.store.transaction() as tx:
        inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
        tx.save(inbound_name(channel), replace(inbound, waiting=(), layout="", doubts=True))


def _still_complete(inbound: Inbound, manifest: Manifest) -> tuple[str, ...]:
    """The first package of all, or of a new stream, begins a copy, and one that skips its delta leaves a gap."""
    if inbound.applied is None or inbound.applied.stream != manifest.position.stream:
        return ()
    return tuple(home for home in inbound.complete if not (manifest.skips and home in manifest.served))


def _hold(site: Site, channel: Channel, manifest: Manifest, found: MassDelete) -> bool:
    held = Held(
        position=manifest.position,
        table=found.table,
        deletes=found.deletes,
        of=found.of,
        first=found.first,
        since_utc=site.clock.utc_iso(),
    )
    with site.store.transaction() as tx:
        inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
        tx.save(inbound_name(channel), replace(inbound, held=held))
    return False
