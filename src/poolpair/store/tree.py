"""The tree port: the application's own files, and its adapter for a local directory.

Names are bytes. Only regular files count; links and devices are skipped and counted. A file is placed through a temporary name beside
it, so a reader sees the old or the new file, whole. Nothing outside the root is ever touched: paths with `..`, empty or absolute
components are refused, and no component may be a link.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from poolpair.errors import Code, PoolpairError, Refused

CHUNK_BYTES = 1 << 20
TEMP_PREFIX = b".poolpair-"
MODE_MASK = 0o640
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileVanished(Exception):
    """The file was there and is gone, or is no regular file any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """A regular file as a scan saw it. `path` is relative, with "/" between components."""

    path: bytes
    size: int
    mtime_ns: int
    inode: int
    mode: int


class Source(Protocol):
    """Where placed bytes come from."""

    def read(self, size: int = -1, /) -> bytes: ...


class Tree(Protocol):
    """A tree of regular files. Raises TREE if the root is not there or not readable."""

    skipped: int

    def scan(self, wanted: Callable[[bytes], bool]) -> Iterator[TreeFile]:
        """Every wanted regular file, folder by folder, in order of names."""
        ...

    def hint(self) -> object:
        """A token that changes when a file came, went or was replaced in any folder; only a hint."""
        ...

    def open(self, path: bytes) -> BinaryIO:
        """Open for reading; the caller closes. Raises FileVanished."""
        ...

    def stat(self, path: bytes) -> TreeFile | None:
        """One file as it is now."""
        ...

    def place(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int) -> TreeFile:
        """Write a file whole, with its time; folders are made as needed."""
        ...

    def remove(self, path: bytes) -> bool:
        """Delete a file; False if it was gone."""
        ...

    def set_aside(self, path: bytes, name: str) -> None:
        """Move a file out of the tree into the spool."""
        ...


def safe_path(path: bytes) -> tuple[bytes, ...]:
    """Split a relative path. Raises Refused(MISNAMED) for one that could leave the root."""
    parts = tuple(path.split(b"/"))
    if any(part in {b"", b".", b".."} or b"\0" in part or len(part) > 255 for part in parts) or len(path) > 4096:
        raise Refused(Code.MISNAMED, "a path does not stay inside the tree")
    return parts


class DirectoryTree:
    """A tree in a local directory; `spool` takes what is set aside."""

    def __init__(self, root: Path, spool: Path) -> None:
        self._root = os.fsencode(root)
        self._spool = spool
        self.skipped = 0
        self._folders: list[bytes] = []

    def scan(self, wanted: Callable[[bytes], bool]) -> Iterator[TreeFile]:
        """Walk the tree; a folder that vanishes meanwhile is passed over, one that cannot be read is an error."""
        self._check_root()
        self.skipped, folders = 0, [b""]
        seen: list[bytes] = []
        while folders:
            folder = folders.pop()
            seen.append(folder)
            below = []
            for entry in self._entries(folder):
                path = folder + b"/" + entry.name if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    below.append(path)
                elif not entry.is_file(follow_symlinks=False):
                    self.skipped += wanted(path)
                elif not entry.name.startswith(TEMP_PREFIX) and wanted(path):
                    with suppress(FileNotFoundError):
                        yield _tree_file(path, entry.stat(follow_symlinks=False))
            folders.extend(reversed(below))
        self._folders = seen

    def _entries(self, folder: bytes) -> list[os.DirEntry[bytes]]:
        try:
            with os.scandir(os.path.join(self._root, folder) if folder else self._root) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PoolpairError(Code.TREE, f"{os.fsdecode(self._root)}: {error.strerror}") from error

    def _check_root(self) -> None:
        try:
            if not stat.S_ISDIR(os.stat(self._root).st_mode):
                raise PoolpairError(Code.TREE, f"{os.fsdecode(self._root)} is not a folder")
        except OSError as error:
            raise PoolpairError(Code.TREE, f"{os.fsdecode(self._root)}: {error.strerror}") from error

    def hint(self) -> object:
        """Times of the folders that the last scan saw."""
        marks = []
        for folder in self._folders or [b""]:
            try:
                found = os.stat(os.path.join(self._root, folder) if folder else self._root)
                marks.append((found.st_mtime_ns, found.st_ino))
            except OSError:
                marks.append((0, 0))
        return tuple(marks)

    def open(self, path: bytes) -> BinaryIO:
        """Open without following links."""
        with self._folder(path) as (folder, name):
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            except OSError as error:
                raise _vanished(error, self._root) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileVanished
        return os.fdopen(fd, "rb")

    def stat(self, path: bytes) -> TreeFile | None:
        """Look at one file."""
        try:
            with self._folder(path) as (folder, name):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileVanished, FileNotFoundError):
            return None
        except OSError as error:
            raise PoolpairError(Code.TREE, f"{os.fsdecode(path)}: {error.strerror}") from error
        return _tree_file(path, found) if stat.S_ISREG(found.st_mode) else None

    def place(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int) -> TreeFile:
        """Write beside, make durable, rename over."""
        temp = TEMP_PREFIX + secrets.token_hex(8).encode()
        try:
            with self._folder(path, make=True) as (folder, name):
                try:
                    self._write(folder, temp, content, mtime_ns, mode)
                    os.rename(temp, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:  # whatever ended it: clean up, then let it pass
                    with suppress(OSError):
                        os.unlink(temp, dir_fd=folder)
                    raise
                os.fsync(folder)
                return _tree_file(path, os.stat(name, dir_fd=folder, follow_symlinks=False))
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            words = "no space is left" if full else str(error.strerror)
            raise PoolpairError(Code.TREE, f"cannot place {os.fsdecode(path)}: {words}") from error

    @staticmethod
    def _write(folder: int, temp: bytes, content: Source, mtime_ns: int, mode: int) -> None:
        owner = os.fstat(folder)
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(fd, "wb") as sink:
            while chunk := content.read(CHUNK_BYTES):
                sink.write(chunk)
            sink.flush()
            with suppress(PermissionError):
                os.fchown(fd, owner.st_uid, owner.st_gid)
            os.fchmod(fd, mode & MODE_MASK)
            os.utime(fd, ns=(mtime_ns, mtime_ns))
            os.fsync(fd)

    def remove(self, path: bytes) -> bool:
        """Delete one file."""
        try:
            with self._folder(path) as (folder, name):
                os.unlink(name, dir_fd=folder)
        except (FileVanished, FileNotFoundError):
            return False
        except OSError as error:
            raise PoolpairError(Code.TREE, f"cannot remove {os.fsdecode(path)}: {error.strerror}") from error
        return True

    def set_aside(self, path: bytes, name: str) -> None:
        """Copy into the spool, durably, then delete: the spool may lie on another disk."""
        try:
            self._spool.mkdir(mode=0o700, exist_ok=True)
            target = self._spool / name
            with self.open(path) as source, target.open("wb") as sink:
                while chunk := source.read(CHUNK_BYTES):
                    sink.write(chunk)
                sink.flush()
                os.fsync(sink.fileno())
        except FileVanished:
            return
        except OSError as error:
            raise PoolpairError(Code.SCRATCH, f"cannot keep a file in {self._spool}: {error.strerror}") from error
        self.remove(path)

    @contextmanager
    def _folder(self, path: bytes, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """Open the folder of a path, component by component, following no link."""
        parts = safe_path(path)
        try:
            fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise PoolpairError(Code.TREE, f"{os.fsdecode(self._root)}: {error.strerror}") from error
        try:
            for part in parts[:-1]:
                try:
                    below = os.open(part, _FOLDER_FLAGS, dir_fd=fd)
                except FileNotFoundError:
                    if not make:
                        raise FileVanished from None
                    owner = os.fstat(fd)
                    os.mkdir(part, 0o750, dir_fd=fd)
                    with suppress(PermissionError):
                        os.chown(part, owner.st_uid, owner.st_gid, dir_fd=fd, follow_symlinks=False)
                    below = os.open(part, _FOLDER_FLAGS, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd, parts[-1]
        finally:
            os.close(fd)


def _tree_file(path: bytes, found: os.stat_result) -> TreeFile:
    return TreeFile(
        path=path, size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino, mode=stat.S_IMODE(found.st_mode)
    )


def _vanished(error: OSError, root: bytes) -> Exception:
    if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        return FileVanished()
    return PoolpairError(Code.TREE, f"{os.fsdecode(root)}: {error.strerror}")
