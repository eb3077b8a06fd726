"""Files of a drill: copied from the tree to a scratch tree, each held against the digest that the catalogue has of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from poolpair.errors import Refused
from poolpair.model import BucketSet, Channel
from poolpair.pipeline.site import Site
from poolpair.store.tree import FileVanished, Tree, text
from poolpair.store.values import CatalogueFile, Cut, as_on_disk

NAMED_MAX = 5
"""So many of the files that are not what they should be are named."""
TREE_TABLE = 0
"""The number of the tree of files among tables."""
BATCH = 500


@dataclass(slots=True)
class CopiedFiles:
    """How many files were copied, their bytes, and which are not what the catalogue says of them."""

    count: int = 0
    copied_bytes: int = 0
    wrong: list[str] = field(default_factory=list)


class _Hashed:
    """Reads a file and digests what was read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        chunk = self._source.read(size)
        self.sha256.update(chunk)
        return chunk


def copy_files(site: Site, scratch: Site, tell: Callable[[str], None]) -> CopiedFiles:
    """Copy every file that the scratch store's catalogue knows. One that changed here since the store was copied is copied as it is now."""
    done = CopiedFiles()
    if site.tree is None or scratch.tree is None:
        return done
    batch: list[CatalogueFile] = []
    for entry in _catalogue(scratch):
        copied = _copy(site.tree, scratch.tree, entry, done)
        if copied is not None:
            batch.append(copied)
        elif not _has_moved_on(site, entry):
            done.wrong.append(text(entry.path))
        if len(batch) == BATCH:
            _note(scratch, batch)
            tell(f"{done.count} files copied")
    _note(scratch, batch)
    return done


def _catalogue(scratch: Site) -> Iterator[CatalogueFile]:
    whole = tuple(BucketSet(home=home, table=TREE_TABLE, of=1, buckets=(0,)) for home in scratch.homes)
    cut = Cut(channel=Channel.CONFERENCES, served=scratch.homes, since=None, buckets=whole)
    with scratch.store.snapshot() as view:
        yield from (entry for entry in view.changed_files(cut) if entry.present)


def _copy(tree: Tree, target: Tree, entry: CatalogueFile, done: CopiedFiles) -> CatalogueFile | None:
    """The entry as it lies in the scratch tree; None if what was found is not what the catalogue says, or nothing."""
    try:
        with tree.open(entry.path) as source:
            hashed = _Hashed(source)
            placed = target.place(entry.path, hashed, size=entry.size, mtime_ns=entry.mtime_ns, mode=entry.mode)
    except (FileVanished, Refused):
        return None
    done.count, done.copied_bytes = done.count + 1, done.copied_bytes + entry.size
    return as_on_disk(entry, placed) if hashed.sha256.hexdigest() == entry.sha256 else None


def _has_moved_on(site: Site, entry: CatalogueFile) -> bool:
    """Whether this pool's catalogue knows by now that the file is another one, or gone."""
    with site.store.transaction() as tx:
        now = tx.file(entry.path)
    return now is None or (now.present, now.sha256) != (entry.present, entry.sha256)


def _note(scratch: Site, batch: list[CatalogueFile]) -> None:
    """Let the catalogue know where the copies lie, or the next look at the tree would read each of them again."""
    if batch:
        with scratch.store.transaction() as tx:
            tx.touch_files(batch)
        batch.clear()
