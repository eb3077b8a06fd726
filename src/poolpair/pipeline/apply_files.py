"""Applies files: places what a package carries and removes what it deletes; what somebody changed here meanwhile is set aside first."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.package import PackageReader
from poolpair.pipeline.kept import CHUNK_BYTES, digest_of
from poolpair.pipeline.site import Site
from poolpair.store.port import Incoming
from poolpair.store.tree import Placing, Tree, TreeFile, text
from poolpair.store.values import ApplyPlan, CatalogueFile, PackedFile, as_on_disk

BATCH_BYTES = 64 << 20
"""So much is written, or `placed_together` files, before all of it is made durable and put in place."""


def in_the_way(site: Site, incoming: Incoming, plan: ApplyPlan) -> list[bytes]:
    """Files that the package deletes where it makes a folder of that name, or below a name that it gives to a file: they go first."""
    placed: set[bytes] = set()
    gone = [file.path for file in incoming.surplus_files(plan)]
    for packed in incoming.files():
        _check_owner(site, packed.file)
        if packed.file.present:
            placed.add(packed.file.path)
        else:
            gone.append(packed.file.path)
    folders = {folder for path in placed if gone for folder in _above(path)}
    return [path for path in gone if path in folders or not placed.isdisjoint(_above(path))]


def _above(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]


def place_files(site: Site, tree: Tree, reader: PackageReader, incoming: Incoming) -> Iterator[CatalogueFile]:
    """Place every file of the package; a file that was changed here is set aside first."""
    with ExitStack() as stack:
        members = Members(reader, stack)
        placing = stack.enter_context(tree.placing())
        batch = _Batch(site, tree, placing)
        for packed in incoming.files():
            site.memory.alive()
            _check_owner(site, packed.file)
            if not packed.file.present:
                continue
            content = members.part(packed)
            if here := _already_here(tree, packed.file):
                placing.stands(packed.file.path)
                yield as_on_disk(packed.file, here)
            else:
                batch.write(packed.file, content)
            content.drain()
            if batch.is_full():
                yield from batch.put()
        yield from batch.put()


def _already_here(tree: Tree, file: CatalogueFile) -> TreeFile | None:
    here = tree.stat(file.path)
    if here is not None and here.size == file.size and digest_of(partial(tree.open, file.path)) == file.sha256:
        return here
    return None


class _Batch:
    """Files of a package that are placed together."""

    def __init__(self, site: Site, tree: Tree, placing: Placing) -> None:
        self._site = site
        self._tree = tree
        self._placing = placing
        self._files: list[CatalogueFile] = []

    def write(self, file: CatalogueFile, content: Part) -> None:
        """Write a file beside its place."""
        self._placing.write(file.path, content, size=file.size, mtime_ns=file.mtime_ns, mode=file.mode)
        self._files.append(file)

    def is_full(self) -> bool:
        """Whether enough was written."""
        return (
            len(self._files) >= self._site.limits.placed_together
            or sum(file.size for file in self._files) >= BATCH_BYTES
        )

    def put(self) -> Iterator[CatalogueFile]:
        """Put all in place. What stands there is looked at last of all, when nothing is to be waited for any more."""
        if not self._files:
            return
        self._placing.sync()
        asides: dict[bytes, str] = {}
        for file in self._files:
            changed = _local_change(self._site, self._tree, file)
            if changed:
                asides[file.path] = changed
        placed = self._placing.put(asides)
        yield from (as_on_disk(file, found) for file, found in zip(self._files, placed, strict=True))
        self._files.clear()


class Members:
    """The members of files of a package, read from the first to the last."""

    def __init__(self, reader: PackageReader, stack: ExitStack) -> None:
        self._reader = reader
        self._opened = stack.enter_context(ExitStack())
        self._number = 0
        self._source: BinaryIO | io.BufferedReader | None = None
        self._offset = 0

    def part(self, packed: PackedFile) -> Part:
        """The bytes of a file, to be read before the next is asked for. Raises Refused(DAMAGED) if it has none."""
        if not packed.member:
            raise Refused(Code.DAMAGED, "a file in it has no place in it")
        name = f"files/{packed.member:04d}"
        if packed.member != self._number or self._source is None:
            self._opened.close()
            self._number, self._offset = packed.member, 0
            self._source = self._opened.enter_context(self._reader.open(name))
        _skip(self._source, packed.offset - self._offset)
        self._offset = packed.offset + packed.file.size
        return Part(self._source, packed.file, proved=self._is_alone(name, packed.file))

    def again(self, packed: PackedFile) -> Part:
        """The same bytes once more."""
        self._source = None
        return self.part(packed)

    def _is_alone(self, name: str, file: CatalogueFile) -> bool:
        """Whether a file is all of its member: its digest is that member's, which gives its last bytes only when it is right."""
        member = self._reader.member(name)
        return member is not None and (member.raw_bytes, member.sha256) == (file.size, file.sha256)


def _check_owner(site: Site, file: CatalogueFile) -> None:
    """A file, and the deletion of one, must belong to whom the package says, and to the partner."""
    owner = site.file_home(file.path)
    if owner is None or owner.home != file.home or owner.home in site.served():
        raise Refused(Code.FOREIGN_PACKAGE, "it carries a file that the profile does not give to the partner")


def _local_change(site: Site, tree: Tree, file: CatalogueFile) -> str:
    """The digest of what somebody wrote here in the meantime, which is never overwritten; "" if nobody did."""
    here = tree.stat(file.path)
    if here is None:
        return ""
    with site.store.transaction() as tx:
        known = tx.file(file.path)
    ours = known if known is not None and known.present and not known.foreign else None
    if ours is not None and ours.rests(here):
        return ""
    digest = digest_of(partial(tree.open, file.path))
    if digest is None or digest == file.sha256 or (ours is not None and digest == ours.sha256):
        return ""
    return digest


def _skip(source: BinaryIO | io.BufferedReader, count: int) -> None:
    while count > 0:
        chunk = source.read(min(CHUNK_BYTES, count))
        if not chunk:
            raise Refused(Code.DAMAGED, "a file in it lies beyond its member")
        count -= len(chunk)


class Part(io.RawIOBase):
    """The next bytes of a member as a file of their own. Its end is read only if they are what the list says: else Refused(DAMAGED).

    `proved`: whoever gives them digests them already, and holds the last ones back if they are not what the list says.
    """

    def __init__(self, source: BinaryIO | io.BufferedReader, file: CatalogueFile, *, proved: bool = False) -> None:
        super().__init__()
        self._source = source
        self._left = file.size
        self._wanted = file.sha256
        self._digest = None if proved else sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._source.read(wanted) if wanted else b""
        if wanted and not chunk:
            raise Refused(Code.DAMAGED, "a file in it lies beyond its member")
        self._left -= len(chunk)
        if self._digest is None:
            return chunk
        self._digest.update(chunk)
        if not chunk and size and self._digest.hexdigest() != self._wanted:
            raise Refused(Code.DAMAGED, "a file in it is not what its list says")
        return chunk

    def drain(self) -> None:
        """Read to the end."""
        while self.read(CHUNK_BYTES):
            pass


def finish_deletions(site: Site) -> PoolpairError | None:
    """Remove files whose deletion was applied; one that somebody changed or made here, before or since, is set aside.

    One that cannot be removed now stays pending and keeps up no other; returns what is to be said of those.
    """
    if site.tree is None:
        return None
    done: list[bytes] = []
    failed: list[tuple[bytes, PoolpairError]] = []
    for file in site.store.pending_deletions():
        try:
            _finish(site, site.tree, file)
        except PoolpairError as error:
            failed.append((file.path, error))
        else:
            done.append(file.path)
    site.store.finish_deletions(done)
    site.memory.undeleted = ""
    if not failed:
        return None
    path, first = failed[0]
    more = f"; {len(failed) - 1} more" if len(failed) > 1 else ""
    site.memory.undeleted = f"{text(path)} was deleted, and is still here: {first.detail}{more}"
    return PoolpairError(first.code, site.memory.undeleted)


def _finish(site: Site, tree: Tree, file: CatalogueFile) -> None:
    here = tree.stat(file.path)
    if here is None:
        return
    ours = not file.foreign and replace(file, present=True).rests(here)
    digest = file.sha256 if ours else digest_of(partial(tree.open, file.path))
    if ours or (not file.foreign and digest == file.sha256):
        tree.remove(file.path)
    elif digest is not None and file.home not in site.served():
        tree.set_aside(file.path, digest)  # where its users are served since, it is theirs
