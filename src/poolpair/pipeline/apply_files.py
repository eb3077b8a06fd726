"""Applies files: places what a package carries and removes what it deletes; what somebody changed here meanwhile is set aside first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from typing import BinaryIO

from poolpair.errors import Code, Refused
from poolpair.format.package import PackageReader
from poolpair.pipeline.capture import CHUNK_BYTES
from poolpair.pipeline.site import Site
from poolpair.store.port import Incoming
from poolpair.store.tree import FileVanished, Tree
from poolpair.store.values import CatalogueFile, PackedFile, as_on_disk


def place_files(site: Site, tree: Tree, reader: PackageReader, incoming: Incoming) -> Iterator[CatalogueFile]:
    """Place every file of the package; a file that was changed here is set aside first."""
    with ExitStack() as stack:
        member, source, offset = 0, None, 0
        for packed in incoming.files():
            _check_owner(site, packed.file)
            if not packed.file.present:
                _spare_local_change(site, tree, packed.file)
                continue
            if packed.member != member or source is None:
                member, offset = packed.member, 0
                source = stack.enter_context(reader.open(f"files/{member:04d}"))
            _skip(source, packed.offset - offset)
            offset = packed.offset + packed.file.size
            yield _place_one(site, tree, packed, source)


def _check_owner(site: Site, file: CatalogueFile) -> None:
    """A file, and the deletion of one, must belong to whom the package says, and to the partner."""
    owner = site.file_home(file.path)
    if owner is None or owner.home != file.home or owner.home in site.served():
        raise Refused(Code.FOREIGN_PACKAGE, "it carries a file that the profile does not give to the partner")


def _place_one(site: Site, tree: Tree, packed: PackedFile, source: BinaryIO | io.BufferedReader) -> CatalogueFile:
    file = packed.file
    content = _Part(source, file.size)
    here = tree.stat(file.path)
    if here is not None and here.size == file.size and _digest(tree, file.path) == file.sha256:
        content.drain()
        placed = here
    else:
        _spare_local_change(site, tree, file)
        placed = tree.place(file.path, content, size=file.size, mtime_ns=file.mtime_ns, mode=file.mode)
    if content.digest.hexdigest() != file.sha256:
        raise Refused(Code.DAMAGED, "a file in it is not what its list says")
    return as_on_disk(file, placed)


def _spare_local_change(site: Site, tree: Tree, file: CatalogueFile) -> None:
    """What somebody wrote here in the meantime is moved aside, never overwritten."""
    here = tree.stat(file.path)
    if here is None:
        return
    with site.store.transaction() as tx:
        known = tx.file(file.path)
    ours = known if known is not None and known.present and not known.foreign else None
    if ours is not None and ours.rests(here):
        return
    digest = _digest(tree, file.path)
    if digest is None or digest == file.sha256 or (ours is not None and digest == ours.sha256):
        return
    tree.set_aside(file.path, f"{digest[:16]}-{here.mtime_ns}")


def _digest(tree: Tree, path: bytes) -> str | None:
    """Read a file; None if it went away meanwhile."""
    digest = sha256()
    try:
        with tree.open(path) as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
    except FileVanished:
        return None
    return digest.hexdigest()


def _skip(source: BinaryIO | io.BufferedReader, count: int) -> None:
    while count > 0:
        chunk = source.read(min(CHUNK_BYTES, count))
        if not chunk:
            raise Refused(Code.DAMAGED, "a file in it lies beyond its member")
        count -= len(chunk)


class _Part(io.RawIOBase):
    """The next `size` bytes of a member as a file of their own, digested as they pass."""

    def __init__(self, source: BinaryIO | io.BufferedReader, size: int) -> None:
        super().__init__()
        self._source = source
        self._left = size
        self.digest = sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._source.read(wanted) if wanted else b""
        if wanted and not chunk:
            raise Refused(Code.DAMAGED, "a file in it lies beyond its member")
        self._left -= len(chunk)
        self.digest.update(chunk)
        return chunk

    def drain(self) -> None:
        while self.read(CHUNK_BYTES):
            pass


def finish_deletions(site: Site) -> None:
    """Remove files whose deletion was applied; one that somebody changed or made here, before or since, is set aside."""
    if site.tree is None:
        return
    files = site.store.pending_deletions()
    for file in files:
        here = site.tree.stat(file.path)
        if here is None:
            continue
        ours = not file.foreign and replace(file, present=True).rests(here)
        if ours or (not file.foreign and _digest(site.tree, file.path) == file.sha256):
            site.tree.remove(file.path)
        else:
            site.tree.set_aside(file.path, f"deleted-{here.mtime_ns}-{here.inode}")
    site.store.finish_deletions(file.path for file in files)
