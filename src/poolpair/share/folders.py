"""Folders below one root, opened so that no link leads out of them; files written whole; the system's errors in our words."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.share.port import CHUNK_BYTES, TEMP, FileVanished, safe_component, safe_folder, split_path

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
AGAIN_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ENTER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
BUFFER_BYTES = 1024 * 1024
GONE = frozenset({errno.ENOENT, errno.ESTALE})
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What a file system without hard links answers."""


def share_error(error: OSError, action: str) -> PoolpairError:
    """Say what the system said; `action` goes on after "this account may not ..."."""
    number = error.errno
    if number in {errno.EACCES, errno.EPERM}:
        return PoolpairError(Code.SHARE_DENIED, f"this account may not {action}")
    if number in {errno.ENOSPC, errno.EDQUOT}:
        lacks = "no space is left" if number == errno.ENOSPC else "the quota is used up"
        return PoolpairError(Code.SHARE_FULL, f"{lacks}: could not {action}")
    if number == errno.EROFS:
        return PoolpairError(Code.SHARE_READ_ONLY, f"it is mounted read-only: could not {action}")
    if number == errno.ENOENT:
        return PoolpairError(Code.SHARE_MISSING, f"it is not there: could not {action}")
    return PoolpairError(Code.SHARE_FAILED, f"{error.strerror or error}: could not {action}")


class Folders:
    """The folders of one share. `whose` is "own" or "partner's" and stands in every message."""

    def __init__(self, root: Path, whose: str) -> None:
        self._root = root
        self._whose = whose

    def words(self, folder: str) -> str:
        """A folder as messages name it."""
        return f"{folder or 'the top folder'} of the {self._whose} share {self._root}"

    @contextmanager
    def doing(self, verb: str, folder: str) -> Iterator[None]:
        """Turn the system's errors into ours: this account may not `verb` `folder` of ... share ..."""
        try:
            yield
        except OSError as error:
            raise share_error(error, f"{verb} {self.words(folder)}") from error

    @contextmanager
    def entered(self, folder: str) -> Iterator[int]:
        """Open a folder for working in it; that takes only the permission to enter it.

        Raises SHARE_MISSING if it or one above it is absent, SHARE_FAILED if one of them is a link.
        """
        # The root may be a link or an automount: "/." makes the system resolve it.
        fd = self._step(f"{self._root}/.", _ENTER_FLAGS, None, "")
        entered = ""
        try:
            for part in safe_folder(folder):
                entered = f"{entered}/{part}" if entered else part
                below = self._step(part, _ENTER_FLAGS | os.O_NOFOLLOW, fd, entered)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def _step(self, name: str, flags: int, above: int | None, folder: str) -> int:
        with self.doing("enter", folder):
            try:
                return os.open(name, flags, dir_fd=above)
            except FileNotFoundError as error:
                raise PoolpairError(Code.SHARE_MISSING, f"{self.words(folder)} is not there") from error
            except NotADirectoryError as error:
                raise PoolpairError(Code.SHARE_FAILED, f"{self.words(folder)} is a link or no folder") from error

    def stat_folder(self, folder: str) -> os.stat_result:
        """Look at a folder by its path. Only for hints: a link on the way is followed."""
        safe_folder(folder)
        return os.stat(f"{self._root}/{folder}")

    @contextmanager
    def opened(self, folder: str, name: str) -> Iterator[BinaryIO]:
        """Open a regular file. Raises FileVanished, Refused(MISNAMED); later errors of reading come in our words too."""
        safe_component(name)
        verb = f"read {name} in"
        with self.entered(folder) as at, self.doing(verb, folder):
            try:
                fd = os.open(name, READ_FLAGS, dir_fd=at)
            except OSError as error:
                if error.errno in GONE:
                    raise FileVanished(name) from error
                if error.errno in {errno.ELOOP, errno.ENXIO}:
                    raise Refused(Code.MISNAMED, f"{name} is a link or no regular file") from error
                raise
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Refused(Code.MISNAMED, f"{name} is no regular file")
        with io.BufferedReader(_Reader(fd, f"{verb} {self.words(folder)}"), BUFFER_BYTES) as source:
            yield source

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Read a whole small file, None if it is absent. Raises Refused(LIMIT)."""
        folder, name = split_path(path)
        try:
            with self.opened(folder, name) as source:
                data = source.read(limit_bytes + 1)
        except FileVanished:
            return None
        if len(data) > limit_bytes:
            raise Refused(Code.LIMIT, f"{path} is larger than {limit_bytes} bytes")
        return data

    @contextmanager
    def temp_file(
        self, temp_name: str, source: BinaryIO | bytes, *, durable: bool = True, begins: int = 0
    ) -> Iterator[tuple[int, int]]:
        """Write a file in Temp; yields that folder and the size. Unless renamed meanwhile it goes afterwards.

        What an earlier `bring` brought, to `begins`, is gone on with, and stays if this fails.
        """
        safe_component(temp_name)
        with self.entered(TEMP) as at:
            with self.doing("create files in", TEMP):
                fd = _open_again(temp_name, at, begins) if begins else None
                begins = begins if fd is not None else 0
                fd = fd if fd is not None else _create(temp_name, at)
            is_done = False
            try:
                with self.doing("write files in", TEMP), os.fdopen(fd, "wb", buffering=0) as sink:
                    size = begins + sum(_write_all(sink, chunk) for chunk in chunks(source, begins))
                    if durable:
                        os.fsync(fd)
                yield at, size
                is_done = True
            finally:
                if is_done or not begins:
                    with suppress(OSError):
                        os.unlink(temp_name, dir_fd=at)

    def bring(self, temp_name: str, source: BinaryIO, begins: int, limit_bytes: int) -> int:
        """Write a piece of a file in Temp; returns where it ends, 0 if what came before it is not there."""
        safe_component(temp_name)
        with self.entered(TEMP) as at, self.doing("create files in", TEMP):
            fd = _open_again(temp_name, at, begins) if begins else _create(temp_name, at)
        if fd is None:
            return 0
        with self.doing("write files in", TEMP), os.fdopen(fd, "wb", buffering=0) as sink:
            ends = begins + sum(_write_all(sink, chunk) for chunk in chunks(source, begins, limit_bytes))
            with suppress(OSError):  # the disk may begin: the sync at the end waits less
                os.posix_fadvise(fd, begins, ends - begins, os.POSIX_FADV_DONTNEED)
        return ends

    def replace(self, folder: str, name: str, data: bytes, temp_name: str, *, durable: bool = True) -> None:
        """Write a small file through Temp over the old one."""
        safe_component(name)
        with self.entered(folder) as goal, self.temp_file(temp_name, data, durable=durable) as (at, _):
            with self.doing("put files into", folder):
                os.rename(temp_name, name, src_dir_fd=at, dst_dir_fd=goal)
            if durable:
                sync_folder(goal)

    def free_bytes(self) -> int:
        """Space left for this account."""
        with self.entered("") as at, self.doing("look at", ""):
            found = os.fstatvfs(at)
        return found.f_bavail * found.f_frsize


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
            if error.errno in GONE:
                raise FileVanished(self._action) from error
            raise share_error(error, self._action) from error

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with self._reading():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._reading():
            return super().readall()


def _create(name: str, at: int) -> int:
    try:
        return os.open(name, CREATE_FLAGS, 0o640, dir_fd=at)
    except FileExistsError:  # left by an earlier try of the same file, or planted: never written through
        os.unlink(name, dir_fd=at)
        return os.open(name, CREATE_FLAGS, 0o640, dir_fd=at)


def _open_again(name: str, at: int, begins: int) -> int | None:
    """A file that an earlier `bring` left, cut where it ended; None if it is not there like that, or has another name elsewhere."""
    try:
        fd = os.open(name, AGAIN_FLAGS, dir_fd=at)
    except OSError:
        return None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size < begins:
        os.close(fd)
        return None
    os.ftruncate(fd, begins)
    os.lseek(fd, begins, os.SEEK_SET)
    return fd


def chunks(source: BinaryIO | bytes, begins: int = 0, limit_bytes: int | None = None) -> Iterator[bytes]:
    """Read the source from `begins` on, so many bytes at most; its errors are ours, not the share's."""
    if isinstance(source, bytes):
        yield source
        return
    left = limit_bytes
    try:
        if begins or source.tell():
            source.seek(begins)
        while chunk := source.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES)):
            yield chunk
            left = None if left is None else left - len(chunk)
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"what is to be delivered cannot be read: {error.strerror}") from error


def _write_all(sink: io.FileIO, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]
    return len(data)


def sync_folder(at: int) -> None:
    """Make a rename durable, where the account may and the file system can."""
    with suppress(OSError):
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def regular_size(name: str, at: int) -> int | None:
    """Size of a regular file, -1 for anything else of that name, None if there is nothing."""
    try:
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else -1
