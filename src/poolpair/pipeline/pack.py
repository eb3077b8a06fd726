"""Pack: cut one consistent view of the store into a sealed package in the scratch folder. In: `Want`. Out: `Packed`.

The order makes it safe to die anywhere: the intent (position, what it follows, token) is durable before anybody else can see the package;
the token is drawn before the view is fixed, so the view holds everything up to it; files are read after the view is fixed, so a file
that a row describes is there unless it was not there at the origin either. A file that moved while it was read, is too large
or finds no room waits with the rows of its conference: those are logged again.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError
from poolpair.format.package import MemberWriter, PackageWriter
from poolpair.model import FORMAT_VERSION, Channel, Manifest, PackageKind, Position, TableDigests, new_id
from poolpair.pipeline.capture import CHUNK_BYTES
from poolpair.pipeline.intents import find_intent
from poolpair.pipeline.pack_files import FilePacking, LeftBehind
from poolpair.pipeline.packed import Packed
from poolpair.pipeline.site import (
    Counts,
    Site,
    counts_name,
    inbound_name,
    intent_name,
    outbound_name,
    recovery_name,
)
from poolpair.pipeline.spooled_files import pack_spooled
from poolpair.protocol import Want, rewound
from poolpair.state import Inbound, Intent, Outbound, Recovery, SeedPhase
from poolpair.store.port import Snapshot
from poolpair.store.values import CatalogueFile, Cut, Exported

ROWS_MEMBER = "rows/0000.0001"
LEVEL = 1
"""Of zstd. Rows as COPY text become no larger by it than by level 3, in half the time."""


def pack(site: Site, channel: Channel, wanted: Want) -> Packed:
    """Cut a package, or take the one that could not be delivered. Raises STORE_*, CAPTURE_BROKEN, SCRATCH."""
    site.store.check_capture()
    ready = site.memory.ready.pop(channel, None)
    if ready is not None and _still_fits(site, channel, ready, wanted):
        site.memory.ready[channel] = ready
        return ready
    packed = site.memory.ready[channel] = _cut(site, channel, wanted)
    return packed


def _still_fits(site: Site, channel: Channel, packed: Packed, wanted: Want) -> bool:
    """Whether a package cut earlier is still the next one: a share that is full for days must not cost an intent per try."""
    out, intent = site.store.read(Outbound, outbound_name(channel)), packed.intent
    return (
        out is not None
        and packed.asked == wanted
        and packed.path.is_file()
        and (out.stream, out.next_sequence) == (intent.position.stream, intent.position.sequence + 1)
        and (out.base, site.settings) == (intent.follows, intent.settings)
        and site.store.layout(channel) == intent.shapes
    )


def mind_reshaped(site: Site, channel: Channel) -> None:
    """When our tables have changed: give up what the partner cannot take, and ask again where tables wait to be the same as ours."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None:
        return
    if out.seed is not None and out.seed.phase is SeedPhase.WAIT and out.layout != site.store.layout(channel):
        _ask_again(site, channel)
    said = out.partner.fault if out.partner else None
    if not out.in_flight or said is None or said.code is not Code.SCHEMA:
        return
    with site.store.transaction() as tx:
        first = find_intent(tx, channel, out.in_flight[0])
        if first is not None and first.shapes != site.store.layout(channel):
            applied = out.partner.applied if out.partner else None
            found = find_intent(tx, channel, applied) if applied else None
            tx.save(outbound_name(channel), rewound(out, applied, found))


def _ask_again(site: Site, channel: Channel) -> None:
    with site.store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(channel))
        if out is not None and out.seed is not None and out.seed.phase is SeedPhase.WAIT:
            tx.save(outbound_name(channel), replace(out, seed=replace(out.seed, phase=SeedPhase.ASK, rounds=0)))


def _cut(site: Site, channel: Channel, wanted: Want) -> Packed:
    intent, since = _intend(site, channel, wanted)
    try:
        return _finish(site, channel, wanted, intent, since)
    except PoolpairError:
        # Never finished, so nobody can have it: a disk that stays full must not cost an intent per try.
        with suppress(PoolpairError), site.store.transaction() as tx:
            tx.delete(intent_name(channel, intent.position))
        raise


def _finish(site: Site, channel: Channel, wanted: Want, intent: Intent, since: int) -> Packed:
    path = site.scratch_file(f"out-{channel}-package")
    rows = site.scratch_file(f"out-{channel}-rows")
    carries, written = wanted, None
    try:
        while written is None:
            rows.unlink(missing_ok=True)
            with path.open("wb") as sink:
                written = _write(site, channel, carries, intent, since, sink, rows)
            if written is None:  # on a proof that does not hold any more, or a delta that is too large
                carries = Want(digests=True, skips=not carries.proof)
        package_bytes = path.stat().st_size
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"cannot write a package to {site.scratch}: {error.strerror}") from error
    finally:
        rows.unlink(missing_ok=True)
    manifest, behind, definition = written
    groups = manifest.groups + manifest.files
    intent = replace(intent, package_bytes=package_bytes, groups=groups, definition=definition)
    with site.store.transaction() as tx:
        tx.save(intent_name(channel, intent.position), intent)
        counts = tx.load(Counts, counts_name(channel)) or Counts()
        if channel is Channel.CONFERENCES:
            compared = bool(carries.digests or carries.buckets)
            tx.postpone(channel, behind.conferences, site.served(), whole=compared)
            tx.save(counts_name(channel), behind.counted(counts))
    return Packed(path=path, intent=intent, manifest=manifest, wanted=carries, asked=wanted)


def _intend(site: Site, channel: Channel, wanted: Want) -> tuple[Intent, int]:
    """Draw token and position. They are durable when the finished intent is, which is before anybody can see the package."""
    now = site.clock.monotonic_s()
    with site.store.transaction(lazily=True) as tx:
        out = tx.load(Outbound, outbound_name(channel))
        assert out is not None
        token = (
            out.base_token
        )  # spooled groups and slices are no news of our homes: the delta goes on from where it stands
        if not (wanted.recovers or wanted.slices):
            token = tx.advance()
        intent = Intent(
            position=Position(out.stream, out.next_sequence, new_id()),
            follows=out.base,
            token=token,
            kind=_kind(wanted),
            settings=site.settings,
            shapes=site.store.layout(channel),
            captured_s=site.memory.captured_s.get(channel, now),
            boot_id=site.clock.boot_id(),
        )
        tx.save(intent_name(channel, intent.position), intent)
        tx.save(outbound_name(channel), replace(out, next_sequence=out.next_sequence + 1))
        recovery = tx.load(Recovery, recovery_name(channel, wanted.recovers)) if wanted.recovers else None
        if recovery is not None:
            tx.save(recovery_name(channel, recovery.number), replace(recovery, position=intent.position))
    return intent, out.base_token


def _kind(wanted: Want) -> PackageKind:
    if wanted.recovers:
        return PackageKind.RECOVERED
    return PackageKind.SEED if wanted.buckets else PackageKind.DELTA


def _write(
    site: Site, channel: Channel, wanted: Want, intent: Intent, since: int, sink: BinaryIO, rows: Path
) -> tuple[Manifest, LeftBehind, str] | None:
    """Write the package; None if its delta turns out to be larger than `package_max`, or tables have changed since the proof."""
    writer = PackageWriter(
        sink, site.ring, channel=channel, origin=site.pool, target=site.partner, position=intent.position, level=LEVEL
    )
    heard = (
        site.store.read(Inbound, inbound_name(channel)) or Inbound()
    ).applied  # before the view, which holds at least that
    if wanted.recovers:
        return _write_recovered(site, channel, wanted, intent, writer, rows, heard)
    served, whole = site.served(), wanted.skips or wanted.slices
    buckets = tuple(each for each in wanted.buckets if each.home in served)
    since = wanted.proof.token if wanted.proof else since
    cut = Cut(channel=channel, served=served, since=None if whole else since, buckets=buckets, slices=wanted.slices)
    with site.store.snapshot(rows) as view:
        waits: frozenset[str] = frozenset()
        if channel is Channel.CONFERENCES:
            waits = view.too_large(cut.served, site.limits.conference_max_bytes) | site.memory.unreadable
        files = FilePacking(site, writer, view, cut, waits)
        view.list_files(files.run())  # first of all: only then is it known which conferences stay behind
        digests = _digests(view, wanted, cut, files.left_behind)
        definition = defined(site, view) if wanted.digests else ""
        exported = view.export(cut, files.left_behind)
    outdated = wanted.proof is not None and wanted.proof.definition != definition
    if outdated or (not (whole or wanted.buckets) and rows.stat().st_size > site.limits.package_max_bytes):
        return None
    _add_rows(writer, rows)
    manifest = _manifest(site, channel, intent, cut, exported)
    overrule, reread = _of_seed(site, channel)
    manifest = replace(
        manifest,
        digests=digests,
        since=wanted.proof.position if wanted.proof else None,
        compares=wanted.digests,
        skips=wanted.skips,
        fills=bool(wanted.slices),
        reread=wanted.digests and reread,
        hands=site.handing() if wanted.digests and channel is site.lead else (),
        heard=heard,
        files=files.count,
        file_bytes=files.bytes,
        keep_replaced=overrule,
        left_behind=tuple(sorted(files.left_behind)),
    )
    return writer.finish(manifest), files.behind(), definition


def _digests(view: Snapshot, wanted: Want, cut: Cut, left_behind: AbstractSet[str]) -> tuple[TableDigests, ...]:
    if not wanted.digests:
        return ()
    return view.changed_digests(cut) if wanted.proof else view.digests(cut.channel, cut.served, None, left_behind)


def defined(site: Site, view: Snapshot) -> str:
    """What must not have changed between a comparison and a handover that stands on it."""
    return f"{site.settings} {view.definition()}"


def _write_recovered(
    site: Site,
    channel: Channel,
    wanted: Want,
    intent: Intent,
    writer: PackageWriter,
    rows: Path,
    heard: Position | None,
) -> tuple[Manifest, LeftBehind, str]:
    """Write what was spooled, and nothing else."""
    recovery = site.store.read(Recovery, recovery_name(channel, wanted.recovers))
    assert recovery is not None, "a recovery is forgotten only when it has arrived"
    spooled: tuple[CatalogueFile, ...] = ()
    if recovery.files:
        with site.store.transaction() as tx:
            spooled = tx.file_spool.files(recovery.number)
    with site.store.snapshot(rows) as view:
        packed = tuple(pack_spooled(site.tree, writer, spooled))
        view.list_files(packed)
        exported = view.export_spool(recovery.number, channel)
    _add_rows(writer, rows)
    manifest = _manifest(site, channel, intent, Cut(channel=channel, served=(), since=None), exported)
    file_bytes = sum(each.file.size for each in packed if each.member)
    manifest = replace(manifest, files=len(packed), file_bytes=file_bytes)
    return writer.finish(replace(manifest, recovered=recovery.brings, heard=heard)), LeftBehind(), ""


def _add_rows(writer: PackageWriter, rows: Path) -> None:
    with writer.member(ROWS_MEMBER) as member, rows.open("rb") as source:
        _copy(source, member)


def _of_seed(site: Site, channel: Channel) -> tuple[bool, bool]:
    """Whether the comparison that runs overrules the partner, and whether the partner is to read its files again: once is enough."""
    out = site.store.read(Outbound, outbound_name(channel))
    seed = out.seed if out else None
    return bool(seed and seed.overrule), bool(seed and seed.reread and not seed.rounds)


def _manifest(site: Site, channel: Channel, intent: Intent, cut: Cut, exported: Exported) -> Manifest:
    return Manifest(
        channel=channel,
        origin=site.pool,
        target=site.partner,
        position=intent.position,
        follows=intent.follows,
        kind=intent.kind,
        store_id=site.store.identity().store_id,
        settings=site.settings,
        homes=site.reigns(),
        served=cut.served,
        tables=exported.tables,
        groups=exported.groups,
        rows=exported.rows,
        sequences=exported.sequences,
        buckets=cut.buckets,
        reply_format=FORMAT_VERSION,
        cut_utc=site.clock.utc_iso(),
        echo=site.memory.looked.get(channel, ""),
    )


def _copy(source: BinaryIO, sink: MemberWriter) -> None:
    while chunk := source.read(CHUNK_BYTES):
        sink.write(chunk)
