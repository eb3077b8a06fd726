"""How the tree's files are reached in a directory: folder by folder without following links, and with errors in our words."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.store.tree_names import TEMP_PREFIX

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 20
WRITE_BACK_BYTES = 8 << 20
"""The disk is let begin after so much of a file."""
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_GONE = _NO_FOLDER | {errno.ESTALE}
"""A file whose handle is stale was replaced or deleted; of a folder that says nothing, and its files must not look deleted."""
_NO_SYNC = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EROFS})


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
    ctime_ns: int = 0
    """Changes with every write, also one that puts size and time back."""


class Source(Protocol):
    """Where placed bytes come from."""

    def read(self, size: int = -1, /) -> bytes: ...


def tree_error(error: OSError, action: str, code: Code = Code.TREE) -> PoolpairError:
    """Say what the system said; `action` goes on after "this account may not ..."."""
    number = error.errno
    if number in {errno.EACCES, errno.EPERM}:
        return PoolpairError(code, f"this account may not {action}", hint="grant the permission that the message names")
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return PoolpairError(
            code, f"no space is left: could not {action}", hint="free space there; poolpair goes on by itself"
        )
    return PoolpairError(code, f"{error.strerror or error}: could not {action}")


@contextmanager
def entered(root: int, parts: Sequence[bytes], *, make: bool = False) -> Iterator[int]:
    """Open the folder below `root`, which stays open, too.

    Raises FileVanished if there is no such folder; with `make` it is made, or TREE says what stands in its way.
    """
    at = os.dup(root)
    try:
        for part in parts:
            below = _enter(part, at, make=make)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _enter(part: bytes, at: int, *, make: bool) -> int:
    try:
        if make:
            _make(part, at)
        return os.open(part, FOLDER_FLAGS, dir_fd=at)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise tree_error(error, f"enter folder {text(part)} of the tree") from error
        if not make:
            raise FileVanished from error
        raise PoolpairError(
            Code.TREE, f"{text(part)} in the tree is a link or no folder: nothing is placed below it"
        ) from error


def leads_to_odd(root: int, parts: Sequence[bytes]) -> bool:
    """Whether a link or device stands at the end of a way below `root`, or at an earlier step of it. Raises OSError, TREE."""
    for depth, name in enumerate(parts):
        try:
            with entered(root, parts[:depth]) as at:
                mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return False
        except FileVanished:
            return True  # it was a folder a moment ago: a later look tells
        if not stat.S_ISDIR(mode):
            return not stat.S_ISREG(mode)
    return False


def _make(part: bytes, at: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(part, 0o750, dir_fd=at)
        owner = os.fstat(at)
        with suppress(PermissionError):
            os.chown(part, owner.st_uid, owner.st_gid, dir_fd=at, follow_symlinks=False)
        sync_folder(at)


def open_regular(name: bytes, at: int, action: str) -> BinaryIO:
    """Open a regular file; later errors of reading come in our words too."""
    try:
        fd = os.open(name, _READ_FLAGS, dir_fd=at)
    except OSError as error:
        if error.errno in _GONE:
            raise FileVanished from error
        raise tree_error(error, action) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileVanished
    return io.BufferedReader(_Reader(fd, action), CHUNK_BYTES)


class _Reader(io.FileIO):
    """A file whose errors of reading come in our words."""

    def __init__(self, fd: int, action: str) -> None:
        super().__init__(fd, "rb")
        self._action = action

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _GONE:
                raise FileVanished from error
            raise tree_error(error, self._action) from error

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with self._reading():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._reading():
            return super().readall()


def copy_exactly(content: Source, sink: io.FileIO, size: int) -> None:
    """Copy to the end of `content`. Raises Refused(DAMAGED) unless that is `size` bytes."""
    left = size
    begun = done = 0
    while True:
        try:
            chunk = content.read(CHUNK_BYTES)
        except OSError as error:
            raise tree_error(error, "read what is to be placed", Code.SCRATCH) from error
        if not chunk:
            break
        left -= len(chunk)
        if left < 0:
            break
        write_all(sink, chunk)
        done += len(chunk)
        if done - begun >= WRITE_BACK_BYTES:
            begin_writing_back(sink.fileno(), begun, done - begun)
            begun = done
    if left:
        raise Refused(Code.DAMAGED, f"a file to be placed is not {size} bytes long, as its list says")


def write_all(sink: io.FileIO, data: bytes) -> None:
    """Write every byte, however little is taken at once."""
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]


def begin_writing_back(fd: int, begins: int = 0, size: int = 0) -> None:
    """Let the system write these bytes (to the end for 0) to the disk from now on: a sync that comes later waits less. Only a hint."""
    with suppress(OSError):
        os.posix_fadvise(fd, begins, size, os.POSIX_FADV_DONTNEED)


def sync_folder(at: int) -> None:
    """Make what changed in a folder durable, where the file system can."""
    try:
        os.fsync(at)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def subfolders(place: bytes, folder: bytes) -> tuple[bytes, ...]:
    """The folders in one folder, in order, by their paths in the tree."""
    with os.scandir(place) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return tuple(folder + b"/" + name if folder else name for name in names)


def tree_file(path: bytes, found: os.stat_result) -> TreeFile:
    """What the system says of a file."""
    return TreeFile(
        path=path,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        inode=found.st_ino,
        mode=stat.S_IMODE(found.st_mode),
        ctime_ns=found.st_ctime_ns,
    )


def clock_of(folder: bytes) -> int:
    """The time that the file system of a folder stamps on what is written to it now. Raises OSError."""
    fd, probe = tempfile.mkstemp(prefix=TEMP_PREFIX, dir=folder)
    try:
        return os.fstat(fd).st_ctime_ns
    finally:
        os.close(fd)
        os.unlink(probe)


def text(name: bytes) -> str:
    """A name for people: nothing in it steers a terminal."""
    return "".join(char if char.isprintable() else "?" for char in name.decode("utf-8", "replace")) or "the top folder"
