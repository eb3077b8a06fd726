"""Packs changed files: streams each into the package and says where it lies, or leaves its conference behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256

from poolpair.format.package import MemberWriter, PackageWriter
from poolpair.pipeline.capture import CHUNK_BYTES
from poolpair.pipeline.site import Site
from poolpair.store.port import Snapshot
from poolpair.store.tree import FileVanished, Tree
from poolpair.store.values import CatalogueFile, Cut, PackedFile

FILES_MEMBER_BYTES = 64 << 20
"""A member of files is closed after this many bytes; the next file begins another."""


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
