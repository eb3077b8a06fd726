"""The spool of a tree: a folder beside it for files that somebody may want back. Nothing in it is ever overwritten or swept.

What is kept for the ledger, or was set aside, lies under the digest of what it holds: so it is found again, and twice the same is one file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError
from poolpair.store.tree_files import (
    CHUNK_BYTES,
    FileVanished,
    Source,
    copy_exactly,
    open_regular,
    sync_folder,
    text,
    tree_error,
    write_all,
)

TEMP_PREFIX = ".poolpair-"
NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
"""The spool lies on another disk, or on one that has no hard links, or the file is another user's: it is copied."""


def keep_in_spool(spool: Path, name: str, content: Source, size: int, mtime_ns: int) -> None:
    """Write a file into the spool, if none of that name is there. Raises SCRATCH, Refused(DAMAGED)."""
    target, temp = spool / name, spool / f"{TEMP_PREFIX}{name}"
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.lexists(target):
            return
        try:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as sink:
                copy_exactly(content, sink, size)
                os.utime(fd, ns=(mtime_ns, mtime_ns))
                os.fsync(fd)
            os.rename(temp, target)
        except BaseException:  # whatever ended it: no half copy stays
            with suppress(OSError):
                temp.unlink()
            raise
        _sync(spool)
    except OSError as error:
        raise tree_error(error, f"keep a file in {spool}", Code.SCRATCH) from error


@contextmanager
def open_in_spool(spool: Path, name: str) -> Iterator[BinaryIO]:
    """Open what was kept or set aside under this name. Raises FileVanished."""
    try:
        at = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise FileVanished from error
    except OSError as error:
        raise tree_error(error, f"open {spool}", Code.SCRATCH) from error
    try:
        with open_regular(os.fsencode(name), at, f"read {name} in {spool}") as source:
            yield source
    finally:
        os.close(at)


def _sync(spool: Path) -> None:
    fd = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_folder(fd)
    finally:
        os.close(fd)


def move_to_spool(name: bytes, at: int, spool: Path, wanted: str) -> None:
    """Move a regular file into the spool under a free name. Raises FileVanished; SCRATCH if the spool does not take it."""
    with _setting_aside(name, at, spool, wanted) as target:
        try:
            os.rename(name, target, src_dir_fd=at)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_to_spool(name, at, target)
            _sync(spool)  # a power cut must not find it in neither
            os.unlink(name, dir_fd=at)
        _sync(spool)
        sync_folder(at)


def spare_in_spool(name: bytes, at: int, spool: Path, wanted: str) -> None:
    """Let a regular file lie in the spool too, before it is replaced; nothing if there is none. Raises SCRATCH."""
    with suppress(FileVanished), _setting_aside(name, at, spool, wanted) as target:
        try:
            os.link(name, target, src_dir_fd=at, follow_symlinks=False)  # whoever has it open writes into what is kept
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _copy_to_spool(name, at, target)


@contextmanager
def _setting_aside(name: bytes, at: int, spool: Path, wanted: str) -> Iterator[Path]:
    """Yields a free name in the spool, which is durable at the end."""
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = _free(spool, wanted)
        if not stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise FileVanished
        yield target
        _sync(spool)
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
    """Copy to another disk, unless the file changed meanwhile."""
    with open_regular(name, at, f"read {text(name)}") as source:
        before = os.fstat(source.fileno())
        temp = target.with_name(f"{TEMP_PREFIX}{target.name}")  # a name in the spool is never that of a half copy
        try:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as sink:
                while chunk := source.read(CHUNK_BYTES):
                    write_all(sink, chunk)
                os.utime(fd, ns=(before.st_mtime_ns, before.st_mtime_ns))
                os.fsync(fd)
            after = os.stat(name, dir_fd=at, follow_symlinks=False)
            if (after.st_ino, after.st_mtime_ns, after.st_size) != (before.st_ino, before.st_mtime_ns, before.st_size):
                raise PoolpairError(Code.TREE, f"{text(name)} is being written while it is set aside")
            os.rename(temp, target)
        except BaseException:  # whatever ended it: no half copy stays, and the file itself was not touched
            with suppress(OSError):
                temp.unlink()
            raise
