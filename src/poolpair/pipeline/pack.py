"""Pack: cut one consistent view of the store into a sealed package in the scratch folder. In: `Want`. Out: `Packed`.

The order makes it safe to die anywhere: the intent (position, what it follows, token) is durable before anybody else can see the package;
the token is drawn before the view is fixed, so the view holds everything up to it; files are read after the view is fixed, so a file
that a row describes is there unless it was not there at the origin either. A file that moved while it was read, is too large
or finds no room waits with the rows of its conference: those are logged again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError
from poolpair.format.package import MemberWriter, PackageWriter
from poolpair.model import FORMAT_VERSION, Channel, Manifest, PackageKind, Position, new_id
from poolpair.pipeline.capture import CHUNK_BYTES
from poolpair.pipeline.intents import find_intent, shapes_digest
from poolpair.pipeline.pack_files import FilePacking
from poolpair.pipeline.packed import Packed
from poolpair.pipeline.site import Counts, Site, counts_name, intent_name, outbound_name
from poolpair.protocol import Want, rewound
from poolpair.state import Intent, Outbound
from poolpair.store.values import Cut, Exported

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
        and shapes_digest(site.store.shapes(channel)) == intent.shapes
    )


def give_up_reshaped(site: Site, channel: Channel) -> None:
    """Rewind when the partner cannot take what stands because our tables have changed since: only a new package can fit."""
    out = site.store.read(Outbound, outbound_name(channel))
    said = out.partner.fault if out and out.partner else None
    if out is None or not out.in_flight or said is None or said.code is not Code.SCHEMA:
        return
    with site.store.transaction() as tx:
        first = find_intent(tx, channel, out.in_flight[0])
        if first is not None and first.shapes != shapes_digest(site.store.shapes(channel)):
            applied = out.partner.applied if out.partner else None
            found = find_intent(tx, channel, applied) if applied else None
            tx.save(outbound_name(channel), rewound(out, applied, found))


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
            if written is None:
                carries = Want(digests=True, skips=True)
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"cannot write a package to {site.scratch}: {error.strerror}") from error
    finally:
        rows.unlink(missing_ok=True)
    manifest, left_behind = written
    intent = replace(intent, package_bytes=path.stat().st_size, groups=manifest.groups + manifest.files)
    with site.store.transaction() as tx:
        tx.save(intent_name(channel, intent.position), intent)
        counts = tx.load(Counts, counts_name(channel)) or Counts()
        if channel is Channel.CONFERENCES:
            compared = bool(carries.digests or carries.buckets)
            tx.postpone(channel, left_behind, site.served(), whole=compared)
            tx.save(counts_name(channel), replace(counts, left_behind=tuple(sorted(left_behind))[:1000]))
    return Packed(path=path, intent=intent, manifest=manifest, wanted=carries, asked=wanted)


def _intend(site: Site, channel: Channel, wanted: Want) -> tuple[Intent, int]:
    """Draw token and position. They are durable when the finished intent is, which is before anybody can see the package."""
    now = site.clock.monotonic_s()
    with site.store.transaction(lazily=True) as tx:
        out = tx.load(Outbound, outbound_name(channel))
        assert out is not None
        token = out.base_token if wanted.slices else tx.advance()
        intent = Intent(
            position=Position(out.stream, out.next_sequence, new_id()),
            follows=out.base,
            token=token,
            kind=PackageKind.SEED if wanted.buckets else PackageKind.DELTA,
            settings=site.settings,
            shapes=shapes_digest(site.store.shapes(channel)),
            captured_s=site.memory.captured_s.get(channel, now),
            boot_id=site.clock.boot_id(),
        )
        tx.save(intent_name(channel, intent.position), intent)
        tx.save(outbound_name(channel), replace(out, next_sequence=out.next_sequence + 1))
    return intent, out.base_token


def _write(
    site: Site, channel: Channel, wanted: Want, intent: Intent, since: int, sink: BinaryIO, rows: Path
) -> tuple[Manifest, frozenset[str]] | None:
    """Write the package; None if its delta turns out to be larger than `package_max`."""
    writer = PackageWriter(
        sink, site.ring, channel=channel, origin=site.pool, target=site.partner, position=intent.position, level=LEVEL
    )
    whole = wanted.skips or wanted.slices
    cut = Cut(
        channel=channel,
        served=site.served(),
        since=None if whole else since,
        buckets=wanted.buckets,
        slices=wanted.slices,
    )
    with site.store.snapshot(rows) as view:
        waits: frozenset[str] = frozenset()
        if channel is Channel.CONFERENCES:
            waits = view.too_large(cut.served, site.limits.conference_max_bytes) | site.memory.unreadable
        files = FilePacking(site, writer, view, cut, waits)
        view.list_files(files.run())  # first of all: only then is it known which conferences stay behind
        digests = view.digests(channel, cut.served, None, files.left_behind) if wanted.digests else ()
        exported = view.export(cut, files.left_behind)
    if not (whole or wanted.buckets) and rows.stat().st_size > site.limits.package_max_bytes:
        return None
    with writer.member(ROWS_MEMBER) as member, rows.open("rb") as source:
        _copy(source, member)
    manifest = _manifest(site, channel, intent, cut, exported)
    overrule, reread = _of_seed(site, channel)
    manifest = replace(
        manifest,
        digests=digests,
        skips=wanted.skips,
        fills=bool(wanted.slices),
        reread=wanted.digests and reread,
        files=files.count,
        file_bytes=files.bytes,
        keep_replaced=overrule,
        left_behind=tuple(sorted(files.left_behind)),
    )
    return writer.finish(manifest), frozenset(files.left_behind)


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
    )


def _copy(source: BinaryIO, sink: MemberWriter) -> None:
    while chunk := source.read(CHUNK_BYTES):
        sink.write(chunk)
