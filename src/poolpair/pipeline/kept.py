"""Versions of files that lie beside the tree, each under its digest. What lies there under a digest is believed only when it was read.

A file that was written to while it was set aside lies under a digest that is not its own; the next one takes a like name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from hashlib import sha256
from itertools import count
from typing import BinaryIO

from poolpair.store.tree import FileVanished, Source, Tree

CHUNK_BYTES = 1 << 20


def digest_of(opened: Callable[[], AbstractContextManager[BinaryIO]]) -> str | None:
    """Read a file; None if it is not there, or went away meanwhile."""
    digest = sha256()
    try:
        with opened() as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
    except FileVanished:
        return None
    return digest.hexdigest()


def find_kept(tree: Tree, digest: str) -> str | None:
    """The name in the spool of a file of this digest, None if there is none."""
    for name in _names(digest):
        found = digest_of(partial(tree.kept, name))
        if found in (None, digest):
            return name if found else None
    return None


def keep(tree: Tree, digest: str, content: Source, *, size: int, mtime_ns: int) -> None:
    """Put a version into the spool, unless it lies there."""
    for name in _names(digest):
        found = digest_of(partial(tree.kept, name))
        if found is None:
            tree.keep(name, content, size=size, mtime_ns=mtime_ns)
        if found in (None, digest):
            return


def _names(digest: str) -> Iterator[str]:
    """As `set_aside` gives them."""
    yield digest
    yield from (f"{digest}.{number}" for number in count(2))
