"""Placing files in a directory, many at a time: written beside, made durable together, renamed over, then their folders made durable.

A file system commits once for all files that are synced at the same moment, but once for each if they come one after the other:
with small files that is most of the time. No file gets its name before it is durable itself.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from poolpair.errors import Code, Refused
from poolpair.store.tree_files import (
    FOLDER_FLAGS,
    Source,
    TreeFile,
    begin_writing_back,
    copy_exactly,
    sync_folder,
    text,
    tree_error,
    tree_file,
)
from poolpair.store.tree_names import TEMP_PREFIX
from poolpair.store.tree_spool import spare_in_spool

MODE_MASK = 0o640
SYNCED_AT_ONCE = 8
_TEMP_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

EnterFolder = Callable[[bytes], AbstractContextManager[tuple[int, bytes]]]
"""Opens, and makes, the folder of a path; yields it and the file's name."""


class Placing(Protocol):
    """Files that are written beside where they are to stand, and then put there together. What was not put is gone at the end."""

    def write(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int) -> None:
        """Write a file whole under another name, with its time, the folder's owner and at most `MODE_MASK`; folders are made.

        Raises Refused(DAMAGED), and the old file stands, if `content` is not `size` bytes, or the path was written already.
        """
        ...

    def sync(self) -> None:
        """Make durable what was written."""
        ...

    def stands(self, path: bytes) -> None:
        """Make the name of a file durable that is in its place: whoever put it there may have been killed before that."""
        ...

    def put(self, asides: Mapping[bytes, str]) -> tuple[TreeFile, ...]:
        """Give everything written, which was synced, its own name, in that order and durably. Whoever reads sees the old or the new file.

        A folder in the place of a file makes way if it holds nothing but empty folders; else raises TREE.

        What a file replaces lies in the spool before, under `asides[path]` or a like name, if that is given.
        """
        ...


@dataclass(slots=True)
class _Written:
    """A file under its temporary name."""

    path: bytes
    name: bytes
    temp: bytes
    at: int
    """The folder, open."""
    fd: int


@dataclass(slots=True)
class DirectoryPlacing:
    """Implements `Placing`."""

    spool: Path
    enter: EnterFolder
    written: dict[bytes, _Written] = field(default_factory=dict)
    """By path, in the order of writing."""
    durable: set[bytes] = field(default_factory=set)
    """Folders in which `stands` made every name durable."""

    def write(self, path: bytes, content: Source, *, size: int, mtime_ns: int, mode: int) -> None:
        """Write beside."""
        if path in self.written:
            raise Refused(Code.DAMAGED, f"{text(path)} is to be placed twice")
        with _doing(path), self.enter(path) as (at, name), ExitStack() as undo:
            written = _create(path, name, at, undo)
            with os.fdopen(os.dup(written.fd), "wb", buffering=0) as sink:
                copy_exactly(content, sink, size)
            owner = os.fstat(at)
            with suppress(PermissionError):
                os.fchown(written.fd, owner.st_uid, owner.st_gid)
            os.fchmod(written.fd, mode & MODE_MASK)
            os.utime(written.fd, ns=(mtime_ns, mtime_ns))
            begin_writing_back(written.fd)
            self.written[path] = written
            undo.pop_all()

    def sync(self) -> None:
        """All at once: the file system needs one commit for them."""
        files = tuple(self.written.values())
        if len(files) == 1:
            _sync(files[0])
        elif files:
            with ThreadPoolExecutor(min(SYNCED_AT_ONCE, len(files)), "sync") as pool:
                for _ in pool.map(_sync, files):
                    pass

    def stands(self, path: bytes) -> None:
        """Once for all that stand in a folder: what is placed there after that is made durable as it is put."""
        folder = path.rpartition(b"/")[0]
        if folder not in self.durable:
            with _doing(path), self.enter(path) as (at, _):
                sync_folder(at)
            self.durable.add(folder)

    def put(self, asides: Mapping[bytes, str]) -> tuple[TreeFile, ...]:
        """Rename over, then make every folder durable once."""
        placed = []
        for file in self.written.values():
            with _doing(file.path):
                if aside := asides.get(file.path):
                    spare_in_spool(file.name, file.at, self.spool, aside)
                _rename(file)
                placed.append(tree_file(file.path, os.fstat(file.fd)))  # after the rename, which changes ctime
        for path, at in {file.path.rpartition(b"/")[0]: file.at for file in self.written.values()}.items():
            with _doing(path):
                sync_folder(at)
        self.close()
        return tuple(placed)

    def close(self) -> None:
        """Take away what did not get its name."""
        for file in self.written.values():
            _discard(file)
        self.written.clear()


def _create(path: bytes, name: bytes, at: int, undo: ExitStack) -> _Written:
    # One temporary name per path: what a crash left is taken by the next try.
    temp = TEMP_PREFIX + hashlib.sha256(path).hexdigest()[:24].encode()
    with suppress(FileNotFoundError):
        os.unlink(temp, dir_fd=at)
    fd = os.open(temp, _TEMP_FLAGS, 0o600, dir_fd=at)
    written = _Written(path=path, name=name, temp=temp, at=os.dup(at), fd=fd)
    undo.callback(_discard, written)
    return written


def _rename(file: _Written) -> None:
    try:
        os.rename(file.temp, file.name, src_dir_fd=file.at, dst_dir_fd=file.at)
    except IsADirectoryError:
        _clear(file.name, file.at)
        os.rename(file.temp, file.name, src_dir_fd=file.at, dst_dir_fd=file.at)


def _clear(name: bytes, at: int) -> None:
    """Remove a folder that holds nothing but empty folders, or what a crash left of placing. Raises OSError if it holds more."""
    below = os.open(name, FOLDER_FLAGS, dir_fd=at)
    try:
        for each in map(os.fsencode, os.listdir(below)):
            if each.startswith(TEMP_PREFIX):
                os.unlink(each, dir_fd=below)
            elif stat.S_ISDIR(os.stat(each, dir_fd=below, follow_symlinks=False).st_mode):
                _clear(each, below)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=at)


def _discard(file: _Written) -> None:
    with suppress(OSError):
        os.unlink(file.temp, dir_fd=file.at)
    os.close(file.fd)
    os.close(file.at)


def _sync(file: _Written) -> None:
    with _doing(file.path):
        os.fsync(file.fd)


@contextmanager
def _doing(path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise tree_error(error, f"place {text(path)}") from error
