"""Pack: cut one consistent view of the store into a sealed package in the scratch folder. In: `Want`. Out: `Packed`.

The order makes it safe to die anywhere: the intent (position, what it follows, token) is durable before the first byte is written;
the token is drawn before the view is fixed, so the view holds everything up to it; files are read after the view is fixed, so a file
that a row describes is there unless it was not there at the origin either. A file that moved while it was read, is too large
or finds no room waits with the rows of its conference: those are logged again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError
from poolpair.format.package import MemberWriter, PackageWriter
from poolpair.model import FORMAT_VERSION, Channel, Manifest, PackageKind, Position, new_id
from poolpair.pipeline.capture import CHUNK_BYTES
from poolpair.pipeline.intents import find_intent, shapes_digest
from poolpair.pipeline.packed import Packed
from poolpair.pipeline.site import Counts, Site, counts_name, intent_name, outbound_name
from poolpair.protocol import Want, rewound
from poolpair.state import Intent, Outbound
from poolpair.store.port import Snapshot
from poolpair.store.tree import FileVanished, Tree
from poolpair.store.values import CatalogueFile, Cut, Exported, PackedFile

ROWS_MEMBER = "rows/0000.0001"
FILES_MEMBER_BYTES = 64 << 20
"""A member of files is closed after this many bytes; the next file begins another."""


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
        and packed.wanted == wanted
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
    path = site.scratch / f"out-{channel}.zip"
    rows = site.scratch / f"out-{channel}.rows"
    try:
        rows.unlink(missing_ok=True)
        with path.open("wb") as sink:
            manifest, left_behind = _write(site, channel, wanted, intent, since, sink, rows)
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"cannot write a package to {site.scratch}: {error.strerror}") from error
    finally:
        rows.unlink(missing_ok=True)
    intent = replace(intent, package_bytes=path.stat().st_size, groups=manifest.groups + manifest.files)
    with site.store.transaction() as tx:
        tx.save(intent_name(channel, intent.position), intent)
        counts = tx.load(Counts, counts_name(channel)) or Counts()
        if channel is Channel.CONFERENCES:
            compared = bool(wanted.digests or wanted.buckets)
            tx.postpone(channel, left_behind, site.served(), whole=compared)
            tx.save(counts_name(channel), replace(counts, left_behind=tuple(sorted(left_behind))[:1000]))
    return Packed(path=path, intent=intent, manifest=manifest, wanted=wanted)


def _intend(site: Site, channel: Channel, wanted: Want) -> tuple[Intent, int]:
    """Draw token and position and make both durable."""
    now = site.clock.monotonic_s()
    with site.store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(channel))
        assert out is not None
        token = tx.advance()
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
) -> tuple[Manifest, frozenset[str]]:
    writer = PackageWriter(
        sink, site.ring, channel=channel, origin=site.pool, target=site.partner, position=intent.position
    )
    cut = Cut(channel=channel, served=site.served(), since=since, buckets=wanted.buckets)
    with site.store.snapshot(rows) as view:
        too_large = view.too_large(cut.served, site.limits.conference_max_bytes)
        waits = too_large | site.memory.unreadable if channel is Channel.CONFERENCES else frozenset()
        files = FilePacking(site, writer, view, cut, waits)
        view.list_files(files.run())  # first of all: only then is it known which conferences stay behind
        digests = view.digests(channel, cut.served, None, files.left_behind) if wanted.digests else ()
        exported = view.export(cut, files.left_behind)
    with writer.member(ROWS_MEMBER) as member, rows.open("rb") as source:
        _copy(source, member)
    manifest = _manifest(site, channel, intent, cut, exported)
    overrule = _overrules(site, channel)
    manifest = replace(
        manifest,
        digests=digests,
        files=files.count,
        file_bytes=files.bytes,
        keep_replaced=overrule,
        left_behind=tuple(sorted(files.left_behind)),
    )
    return writer.finish(manifest), frozenset(files.left_behind)


def _overrules(site: Site, channel: Channel) -> bool:
    out = site.store.read(Outbound, outbound_name(channel))
    return bool(out and out.seed and out.seed.overrule)


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


class FilePacking:
    """Streams changed files into the package, one after another in members of about 64 MiB."""

    def __init__(
        self, site: Site, writer: PackageWriter, view: Snapshot, cut: Cut, left_behind: frozenset[str]
    ) -> None:
        self._site = site
        self._writer = writer
        self._view = view
        self._cut = cut
        self._stack = ExitStack()
        self._member: MemberWriter | None = None
        self._number = 0
        self.left_behind: set[str] = set(left_behind)
        self.count = 0
        self.bytes = 0

    def run(self) -> Iterator[PackedFile]:
        """Pack every file that may go and say where it lies; the rest goes to `left_behind`."""
        tree = self._site.tree
        if tree is None:
            return
        with self._stack:
            for file in self._view.changed_files(self._cut):
                if not file.present:
                    self.count += 1
                    yield PackedFile(file=file, member=0, offset=0)
                elif self._fits(file) and (packed := self._pack(tree, file)):
                    self.count += 1
                    self.bytes += file.size
                    yield packed
                else:
                    self.left_behind.add(file.conference)

    def _fits(self, file: CatalogueFile) -> bool:
        """Say whether the package has room; a conference that was left behind stays so."""
        return file.conference not in self.left_behind and self.bytes + file.size <= self._site.limits.package_max_bytes

    def _pack(self, tree: Tree, file: CatalogueFile) -> PackedFile | None:
        if self._member is None or self._member.raw_bytes >= FILES_MEMBER_BYTES:
            self._stack.close()
            self._number += 1
            self._member = self._stack.enter_context(self._writer.member(f"files/{self._number:04d}"))
        member, offset = self._member, self._member.raw_bytes
        digest = sha256()
        try:
            with tree.open(file.path) as source:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    member.write(chunk)
        except FileVanished:
            return None
        if member.raw_bytes - offset != file.size or digest.hexdigest() != file.sha256:
            return None  # it changed since the scan; the next scan sees it. What was written lies unused in the member.
        return PackedFile(file=file, member=self._number, offset=offset)


def _copy(source: BinaryIO, sink: MemberWriter) -> None:
    while chunk := source.read(CHUNK_BYTES):
        sink.write(chunk)
