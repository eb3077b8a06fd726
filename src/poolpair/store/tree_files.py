"""How the tree's files are reached in a directory: folder by folder without following links, and with errors in our words."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from poolpair.errors import Code, PoolpairError, Refused

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 20
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_NO_SYNC = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EROFS})


class FileVanished(Exception):
    """The file was there and is gone, or is no regular file any more."""


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
        if error.errno not in _GONE:
            raise tree_error(error, f"enter folder {text(part)} of the tree") from error
        if not make:
            raise FileVanished from error
        raise PoolpairError(
            Code.TREE, f"{text(part)} in the tree is a link or no folder: nothing is placed below it"
        ) from error


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
    if left:
        raise Refused(Code.DAMAGED, f"a file to be placed is not {size} bytes long, as its list says")


def write_all(sink: io.FileIO, data: bytes) -> None:
    """Write every byte, however little is taken at once."""
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]


def sync_folder(at: int) -> None:
    """Make what changed in a folder durable, where the file system can."""
    try:
        os.fsync(at)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def move_to_spool(name: bytes, at: int, spool: Path, wanted: str) -> None:
    """Move a regular file into the spool under a free name. Raises FileVanished; SCRATCH if the spool does not take it."""
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = _free(spool, wanted)
        if not stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise FileVanished
        try:
            os.rename(name, target, src_dir_fd=at)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_to_spool(name, at, target)
        fd = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_folder(fd)
        finally:
            os.close(fd)
        sync_folder(at)
    except FileNotFoundError as error:
        raise FileVanished from error
    except OSError as error:
        raise tree_error(error, f"set {text(name)} aside in {spool}", Code.SCRATCH) from error


def _free(spool: Path, wanted: str) -> Path:
    """A name that nothing in the spool has: what was set aside is never overwritten."""
    target, number = spool / wanted, 1
    while os.path.lexists(target):
        number += 1
        target = spool / f"{wanted}.{number}"
    return target


def _copy_to_spool(name: bytes, at: int, target: Path) -> None:
    """Copy to another disk, then delete, unless the file changed meanwhile."""
    with open_regular(name, at, f"read {text(name)}") as source:
        before = os.fstat(source.fileno())
        try:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as sink:
                while chunk := source.read(CHUNK_BYTES):
                    write_all(sink, chunk)
                os.utime(fd, ns=(before.st_mtime_ns, before.st_mtime_ns))
                os.fsync(fd)
            after = os.stat(name, dir_fd=at, follow_symlinks=False)
            if (after.st_ino, after.st_mtime_ns, after.st_size) != (before.st_ino, before.st_mtime_ns, before.st_size):
                raise PoolpairError(Code.TREE, f"{text(name)} is being written while it is set aside")
        except BaseException:  # whatever ended it: no half copy stays, and the file itself was not touched
            with suppress(OSError):
                target.unlink()
            raise
    os.unlink(name, dir_fd=at)


def text(name: bytes) -> str:
    """A name for people: nothing in it steers a terminal."""
    return "".join(char if char.isprintable() else "?" for char in name.decode("utf-8", "replace")) or "the top folder"
