"""Packs changed files: streams each into the package and says where it lies, or leaves its conference behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import BinaryIO, Self

from poolpair.format.package import MemberWriter, PackageWriter
from poolpair.pipeline.kept import CHUNK_BYTES
from poolpair.pipeline.site import Site
from poolpair.store.port import Snapshot
from poolpair.store.tree import FileVanished
from poolpair.store.values import CatalogueFile, Cut, PackedFile

FILES_MEMBER_BYTES = 64 << 20
"""A member of files is closed after this many bytes; the next file begins another."""
ALONE_BYTES = 1 << 20
"""A file from here on has a member of its own, whose digest is the file's: it is digested once."""
ALONE_MAX = 50_000
"""Members; half of what a package may have."""


class FileMembers:
    """Streams files into members of the package; a context, which ends before any other member is begun."""

    def __init__(self, writer: PackageWriter) -> None:
        self._writer = writer
        self._stack = ExitStack()
        self._member: MemberWriter | None = None
        self._number = 0
        self.count = 0
        self.bytes = 0

    def add(self, file: CatalogueFile, opened: Callable[[], AbstractContextManager[BinaryIO]]) -> PackedFile | None:
        """Pack a file that is there; None if what can be read is not what the list says. That lies unused in the member then."""
        alone = file.size >= ALONE_BYTES and self._number < ALONE_MAX
        member = self._member
        if member is None or alone or member.raw_bytes >= FILES_MEMBER_BYTES:
            member = self._begin()
        offset = member.raw_bytes
        digest = None if alone else sha256()
        if alone:
            self._member = None  # the next file begins another
        try:
            with opened() as source:
                while chunk := source.read(CHUNK_BYTES):
                    if digest is not None:
                        digest.update(chunk)
                    member.write(chunk)
        except FileVanished:
            return None
        found = digest.hexdigest() if digest is not None else member.sha256
        if member.raw_bytes - offset != file.size or found != file.sha256:
            return None
        self.count += 1
        self.bytes += file.size
        return PackedFile(file=file, member=self._number, offset=offset)

    def _begin(self) -> MemberWriter:
        self._stack.close()
        self._number += 1
        self._member = self._stack.enter_context(self._writer.member(f"files/{self._number:04d}"))
        return self._member

    def add_deletion(self, file: CatalogueFile) -> PackedFile:
        """Pack the absence of a file."""
        self.count += 1
        return PackedFile(file=file, member=0, offset=0)

    def add_lost(self, file: CatalogueFile) -> PackedFile:
        """Name a file of which nothing is left: it has no member."""
        self.count += 1
        return PackedFile(file=file, member=0, offset=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class FilePacking:
    """Packs the changed files of a cut that may go, and tells which conferences stay behind."""

    def __init__(
        self, site: Site, writer: PackageWriter, view: Snapshot, cut: Cut, left_behind: frozenset[str]
    ) -> None:
        self._site = site
        self._members = FileMembers(writer)
        self._view = view
        self._cut = cut
        self.left_behind: set[str] = set(left_behind)

    @property
    def count(self) -> int:
        """Files packed, deletions too."""
        return self._members.count

    @property
    def bytes(self) -> int:
        """What they hold together."""
        return self._members.bytes

    def run(self) -> Iterator[PackedFile]:
        """Pack every file that may go and say where it lies; the rest goes to `left_behind`."""
        tree = self._site.tree
        if tree is None:
            return
        with self._members:
            for file in self._view.changed_files(self._cut):
                if not file.present:
                    yield self._members.add_deletion(file)
                # One that changed since the scan is seen by the next.
                elif self._fits(file) and (packed := self._members.add(file, partial(tree.open, file.path))):
                    yield packed
                else:
                    self.left_behind.add(file.conference)

    def _fits(self, file: CatalogueFile) -> bool:
        """Say whether the package has room; a conference that was left behind stays so."""
        return file.conference not in self.left_behind and self.bytes + file.size <= self._site.limits.package_max_bytes
