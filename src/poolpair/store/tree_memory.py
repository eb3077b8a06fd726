"""A tree in memory, for tests and the simulator. Folders exist as far as files need them; inodes and times are counted."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.store.tree import MODE_MASK, FileVanished, Placing, Source, TreeFile
from poolpair.store.tree_names import check_spool_name, safe_path

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Stored:
    data: bytes
    file: TreeFile


class MemoryTree:
    """Implements `store.tree.Tree`."""

    def __init__(self, now_s: Callable[[], float] = lambda: 0.0) -> None:
        self.skipped = 0
        self.odd: set[bytes] = set()
        """Paths at which a link or device stands."""
        self.spooled: dict[str, bytes] = {}
        """What was set aside."""
        self.missing = False
        """The root is not there."""
        self._files: dict[bytes, _Stored] = {}
        self._now_s = now_s
        self._changes = 0

    def write(self, path: bytes, data: bytes, *, mtime_ns: int | None = None, mode: int = 0o640) -> TreeFile:
        """Write a file as the application does."""
        self._check_free(safe_path(path))
        self._changes += 1
        when = int(self._now_s() * 1e9) if mtime_ns is None else mtime_ns
        file = TreeFile(
            path=path, size=len(data), mtime_ns=when, inode=self._changes, mode=mode, ctime_ns=self._changes
        )
        self._files[path] = _Stored(data, file)
        self.odd.discard(path)
        return file

    def content(self, path: bytes) -> bytes | None:
        """What a file holds, None if there is none."""
        stored = self._files.get(path)
        return stored.data if stored else None

    def paths(self) -> tuple[bytes, ...]:
        """Every file, in order."""
        return tuple(sorted(self._files))

    def _check_root(self) -> None:
        if self.missing:
            raise PoolpairError(Code.TREE, "the tree in memory is not there")

    def _check_free(self, parts: tuple[bytes, ...]) -> None:
        """A file needs folders above it, and no folder in its place."""
        self._check_root()
        path = b"/".join(parts)
        above = {b"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if above & (self._files.keys() | self.odd) or any(other.startswith(path + b"/") for other in self._files):
            raise PoolpairError(Code.TREE, "a link, file or folder stands in the way")

    def scan(self, wanted: Callable[[bytes], bool]) -> Iterator[TreeFile]:
        """Walk as a directory is walked."""
        self._check_root()
        self.skipped = len(self.odd)
        for path in sorted(self._files, key=_walk_order):
            if path in self._files and wanted(path):
                yield self._files[path].file

    def hint(self) -> object:
        """Count changes."""
        return self._changes

    def now_ns(self) -> int:
        """Each change is one tick."""
        return self._changes + 1

    @contextmanager
    def open(self, path: bytes) -> Iterator[BinaryIO]:
        """Open for reading."""
        self._check_root()
        safe_path(path)
        if path not in self._files:
            raise FileVanished
        with io.BytesIO(self._files[path].data) as source:
            yield source

    def stat(self, path: bytes) -> TreeFile | None:
        """Look at one file."""
        self._check_root()
        safe_path(path)
        stored = self._files.get(path)
        return stored.file if stored else None

    def is_odd(self, path: bytes) -> bool:
        """Look at what was put there, or above it."""
        self._check_root()
        parts = safe_path(path)
        return any(b"/".join(parts[:depth]) in self.odd for depth in range(1, len(parts) + 1))

    @contextmanager
    def placing(self) -> Iterator[Placing]:
        """Hold back until it is put."""
        yield _Placing(self)

    def place(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int, aside: str = "") -> TreeFile:
        """Write a file whole."""
        if aside:
            check_spool_name(aside)
        with self.placing() as placing:
            placing.write(path, content, size=size, mtime_ns=mtime_ns, mode=mode)
            return placing.put({path: aside})[0]

    def check_free(self, path: bytes) -> None:
        """Raise TREE if no file can stand there, Refused(MISNAMED) for what is no path."""
        self._check_free(safe_path(path))

    def put(self, path: bytes, data: bytes, mtime_ns: int, mode: int, aside: str) -> TreeFile:
        """Replace a file, which is spared before."""
        self.check_free(path)
        if aside and path in self._files:
            self._spare(path, aside)
        return self.write(path, data, mtime_ns=mtime_ns, mode=mode & MODE_MASK)

    def remove(self, path: bytes) -> bool:
        """Delete a file."""
        self._check_root()
        safe_path(path)
        if self._files.pop(path, None) is None:
            return False
        self._changes += 1
        return True

    def set_aside(self, path: bytes, name: str) -> None:
        """Move into `spooled`."""
        self._check_root()
        check_spool_name(name)
        if path in self._files:
            self._spare(path, name)
            self.remove(path)

    def _spare(self, path: bytes, name: str) -> None:
        free, number = name, 1
        while free in self.spooled:
            number += 1
            free = f"{name}.{number}"
        self.spooled[free] = self._files[path].data

    def keep(self, name: str, content: Source, *, size: int, mtime_ns: int) -> None:
        """Write into `spooled`."""
        check_spool_name(name)
        if name not in self.spooled:
            self.spooled[name] = _read_exactly(content, size)

    @contextmanager
    def kept(self, name: str) -> Iterator[BinaryIO]:
        """Open what lies in `spooled`."""
        check_spool_name(name)
        if name not in self.spooled:
            raise FileVanished
        with io.BytesIO(self.spooled[name]) as source:
            yield source


@dataclass(frozen=True, slots=True)
class _Placing:
    """Implements `store.tree.Placing`."""

    tree: MemoryTree
    written: dict[bytes, tuple[bytes, int, int]] = field(default_factory=dict)

    def write(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int) -> None:
        """Hold it back."""
        self.tree.check_free(path)
        if path in self.written:
            raise Refused(Code.DAMAGED, "a path is to be placed twice")
        self.written[path] = (_read_exactly(content, size), mtime_ns, mode)

    def sync(self) -> None:
        """Memory is as durable as it gets."""

    def stands(self, path: bytes) -> None:
        """As durable as that."""

    def put(self, asides: Mapping[bytes, str]) -> tuple[TreeFile, ...]:
        """One after the other."""
        placed = tuple(self.tree.put(path, *what, asides.get(path, "")) for path, what in self.written.items())
        self.written.clear()
        return placed


def _read_exactly(content: Source, size: int) -> bytes:
    data = b"".join(iter(lambda: content.read(_CHUNK_BYTES), b""))
    if len(data) != size:
        raise Refused(Code.DAMAGED, f"a file to be placed is not {size} bytes long, as its list says")
    return data


def _walk_order(path: bytes) -> tuple[tuple[bool, bytes], ...]:
    """Files of a folder come before the folders below it."""
    *folders, name = path.split(b"/")
    return (*((True, folder) for folder in folders), (False, name))
