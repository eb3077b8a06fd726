"""The tree port: the application's own files, and its adapter for a local directory.

Names are bytes. Only regular files count; links and devices are skipped and counted. A file is placed through a temporary
name beside it, so a reader sees the old or the new file, whole. Nothing outside the root is ever touched: paths with `..`,
empty or absolute components are refused, and no component below the root may be a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from poolpair.errors import PoolpairError
from poolpair.store.tree_files import (
    FileVanished,
    Source,
    TreeFile,
    clock_of,
    entered,
    leads_to_odd,
    open_regular,
    subfolders,
    sync_folder,
    text,
    tree_error,
    tree_file,
)
from poolpair.store.tree_names import TEMP_PREFIX, check_spool_name, safe_path
from poolpair.store.tree_placing import MODE_MASK, DirectoryPlacing, Placing
from poolpair.store.tree_spool import keep_in_spool, move_to_spool, open_in_spool

__all__ = ["MODE_MASK", "DirectoryTree", "FileVanished", "Placing", "Source", "Tree", "TreeFile", "safe_path", "text"]


class Tree(Protocol):
    """A tree of regular files. Raises TREE if the root, a folder or a file is not there or not to be read or written."""

    skipped: int
    """Links and devices that the last scan passed over: wanted by name, or links, which may hide a whole folder."""

    def scan(self, wanted: Callable[[bytes], bool]) -> Iterator[TreeFile]:
        """Every wanted regular file: those of a folder in order of names, then what lies below it."""
        ...

    def hint(self) -> object:
        """A token that changes when a file came, went or was replaced in any folder; only a hint, and it never raises."""
        ...

    def now_ns(self) -> int:
        """What is written from now on gets no earlier `ctime_ns`, by the file system's own clock; 0 if nothing tells. Never raises."""
        ...

    def open(self, path: bytes) -> AbstractContextManager[BinaryIO]:
        """Open for reading. Raises FileVanished, also while reading."""
        ...

    def stat(self, path: bytes) -> TreeFile | None:
        """One file as it is now; None if there is no regular file."""
        ...

    def is_odd(self, path: bytes) -> bool:
        """Whether something that is neither file nor folder, a link or a device, stands there or in the place of a folder above it."""
        ...

    def placing(self) -> AbstractContextManager[Placing]:
        """Place several files. At no moment is there no file in the place of an old one."""
        ...

    def place(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int, aside: str = "") -> TreeFile:
        """Place one file, as `placing` does. What it replaces lies in the spool before, under `aside` or a like name, if that is given."""
        ...

    def remove(self, path: bytes) -> bool:
        """Delete a file; False if there was none. Empty folders stay."""
        ...

    def set_aside(self, path: bytes, name: str) -> None:
        """Move a file out of the tree into the spool, under a like name if that is taken; nothing if it is gone."""
        ...

    def keep(self, name: str, content: Source, *, size: int, mtime_ns: int) -> None:
        """Write a file into the spool, whole and durably; nothing if one of that name lies there.

        Raises SCRATCH, or Refused(DAMAGED) if `content` is not `size` bytes.
        """
        ...

    def kept(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open what lies in the spool under this name. Raises FileVanished."""
        ...


class DirectoryTree:
    """A tree in a local directory; `spool` takes what is set aside."""

    def __init__(self, root: Path, spool: Path) -> None:
        self._root = os.fsencode(root)
        self._spool = spool
        self.skipped = 0
        self._known: dict[bytes, tuple[tuple[int, int], tuple[bytes, ...]]] = {}

    @contextmanager
    def _doing(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise tree_error(error, action) from error

    def _open_root(self) -> int:
        with self._doing(f"open {os.fsdecode(self._root)}"):
            return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def scan(self, wanted: Callable[[bytes], bool]) -> Iterator[TreeFile]:
        """Walk the tree; a folder that vanishes meanwhile is passed over, one that cannot be read is an error.

        The root stays open, so that an unmount half-way cannot make the rest look deleted.
        """
        root = self._open_root()
        try:
            self.skipped, self._known = 0, {}
            folders: list[bytes] = [b""]
            while folders:
                folder = folders.pop()
                files, below = self._look(root, folder, wanted)
                yield from files
                folders += reversed(below)
        finally:
            os.close(root)

    def _look(self, root: int, folder: bytes, wanted: Callable[[bytes], bool]) -> tuple[list[TreeFile], list[bytes]]:
        """List one folder: its wanted files, and the folders below it."""
        files: list[TreeFile] = []
        below: list[bytes] = []
        try:
            parts = folder.split(b"/") if folder else []
            with self._doing(f"list {text(folder)}"), entered(root, parts) as at, os.scandir(at) as entries:
                for name, entry in sorted((os.fsencode(entry.name), entry) for entry in entries):
                    path = folder + b"/" + name if folder else name
                    if name.startswith(TEMP_PREFIX) or path == b"lost+found":  # that one is the file system's own
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        below.append(path)
                    elif not entry.is_file(follow_symlinks=False):
                        self.skipped += entry.is_symlink() or wanted(path)
                    elif wanted(path):
                        with suppress(FileNotFoundError):
                            files.append(tree_file(path, entry.stat(follow_symlinks=False)))
        except FileVanished:
            return [], []
        return files, below

    def hint(self) -> object:
        """Times of all folders. Only folders whose time changed are listed again."""
        fresh: dict[bytes, tuple[tuple[int, int], tuple[bytes, ...]]] = {}
        folders: list[bytes] = [b""]
        while folders:
            folder = folders.pop()
            with suppress(OSError, PoolpairError):
                place = os.path.join(self._root, folder)
                found = os.stat(place, follow_symlinks=not folder)
                mark = (found.st_ino, found.st_mtime_ns)
                known = self._known.get(folder)
                below = known[1] if known is not None and known[0] == mark else subfolders(place, folder)
                fresh[folder] = (mark, below)
                folders += below
        self._known = fresh
        return tuple((folder, mark) for folder, (mark, _) in fresh.items())

    def now_ns(self) -> int:
        """Ask where the spool lies, if that is the same file system: what is made in the tree changes the hint."""
        with suppress(OSError):
            beside, root = os.fsencode(self._spool.parent), os.stat(self._root)
            return clock_of(beside if os.stat(beside).st_dev == root.st_dev else self._root)
        return 0

    @contextmanager
    def open(self, path: bytes) -> Iterator[BinaryIO]:
        """Open without following links."""
        with self._folder(path) as (at, name):
            source = open_regular(name, at, f"read {text(path)}")
        with source:
            yield source

    def stat(self, path: bytes) -> TreeFile | None:
        """Look at one file."""
        try:
            with self._folder(path) as (at, name), self._doing(f"look at {text(path)}"):
                return self._regular(path, name, at)
        except FileVanished:
            return None

    def is_odd(self, path: bytes) -> bool:
        """Look at every step of the way, following none."""
        parts, root = safe_path(path), self._open_root()
        try:
            with self._doing(f"look at {text(path)}"):
                return leads_to_odd(root, parts)
        finally:
            os.close(root)

    @staticmethod
    def _regular(path: bytes, name: bytes, at: int) -> TreeFile | None:
        try:
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return tree_file(path, found) if stat.S_ISREG(found.st_mode) else None

    @contextmanager
    def placing(self) -> Iterator[Placing]:
        """Write beside, make durable, rename over."""
        placing = DirectoryPlacing(self._spool, lambda path: self._folder(path, make=True))
        try:
            yield placing
        finally:
            placing.close()

    def place(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int, aside: str = "") -> TreeFile:
        """Write beside, make durable, rename over."""
        if aside:
            check_spool_name(aside)
        with self.placing() as placing:
            placing.write(path, content, size=size, mtime_ns=mtime_ns, mode=mode)
            placing.sync()
            return placing.put({path: aside})[0]

    def remove(self, path: bytes) -> bool:
        """Delete one regular file."""
        try:
            with self._folder(path) as (at, name), self._doing(f"delete {text(path)}"):
                if self._regular(path, name, at) is None:
                    return False
                os.unlink(name, dir_fd=at)
                sync_folder(at)
        except FileVanished:
            return False
        return True

    def set_aside(self, path: bytes, name: str) -> None:
        """Move into the spool, across disks too."""
        check_spool_name(name)
        with suppress(FileVanished), self._folder(path) as (at, own):
            move_to_spool(own, at, self._spool, name)

    def keep(self, name: str, content: Source, *, size: int, mtime_ns: int) -> None:
        """Write beside, make durable, rename."""
        check_spool_name(name)
        keep_in_spool(self._spool, name, content, size, mtime_ns)

    def kept(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file in the spool."""
        check_spool_name(name)
        return open_in_spool(self._spool, name)

    @contextmanager
    def _folder(self, path: bytes, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """Open the folder of a path; yields it and the file's name."""
        parts = safe_path(path)
        root = self._open_root()
        try:
            with entered(root, parts[:-1], make=make) as at:
                yield at, parts[-1]
        finally:
            os.close(root)
