"""Packs changed files: streams each into the package and says where it lies, or leaves its conference behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import BinaryIO, Self

from poolpair.format.package import MemberWriter, PackageWriter
from poolpair.pipeline.kept import CHUNK_BYTES
from poolpair.pipeline.site import Counts, Site
from poolpair.store.port import Snapshot
from poolpair.store.tree import FileVanished
from poolpair.store.values import CatalogueFile, Cut, PackedFile

FILES_MEMBER_BYTES = 64 << 20
"""A member of files is closed after this many bytes; the next file begins another."""
ALONE_BYTES = 1 << 20
"""A file from here on has a member of its own, whose digest is the file's: it is digested once."""
ALONE_MAX = 50_000
"""Members; half of what a package may have."""
COUNTED_MAX = 1000
"""Conferences left behind that are kept by name."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """The conferences that a package leaves behind."""

    conferences: frozenset[str] = frozenset()
    no_room: int = 0
    """Those of them for which the package was only too full."""

    def counted(self, counts: Counts) -> Counts:
        """Count them.

        What has room in the next package need not wait for the interval, as long as each package leaves fewer: a conference that
        no package has room for would else be tried without end.
        """
        goes_on = self.no_room > 0 and (not counts.no_room or self.no_room < counts.no_room)
        named = tuple(sorted(self.conferences))[:COUNTED_MAX]
        return replace(counts, left_behind=named, no_room=self.no_room, goes_on=goes_on)


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
        self._no_room: set[str] = set()

    @property
    def count(self) -> int:
        """Files packed, deletions too."""
        return self._members.count

    @property
    def bytes(self) -> int:
        """What they hold together."""
        return self._members.bytes

    def behind(self) -> LeftBehind:
        """What stays behind, known when everything is packed."""
        return LeftBehind(conferences=frozenset(self.left_behind), no_room=len(self._no_room))

    def run(self) -> Iterator[PackedFile]:
        """Pack every file that may go and say where it lies; the rest goes to `left_behind`."""
        tree = self._site.tree
        if tree is None:
            return
        with self._members:
            for file in self._view.changed_files(self._cut):
                self._site.memory.alive()
                if not file.present:
                    yield self._members.add_deletion(file)
                elif file.conference in self.left_behind:
                    continue  # and stays so
                elif self.bytes + file.size > self._site.limits.package_max_bytes:
                    self.left_behind.add(file.conference)
                    self._no_room.add(file.conference)
                elif packed := self._members.add(file, partial(tree.open, file.path)):
                    yield packed
                else:  # it changed since the scan; the next sees it
                    self.left_behind.add(file.conference)
