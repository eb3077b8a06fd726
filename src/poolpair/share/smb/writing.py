"""Files put into a share: written in Temp, flushed, and moved to their name, so that nobody sees half of one.

The rename waits until all before it is known to be done: of requests that go together a server carries out the later ones although an
earlier one failed, and what a full disk cut short would get its name. A small file takes two round trips, of which the first holds all of
it; a large one a few, and one for each chunk, of which several are under way at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import BinaryIO

from smbprotocol.header import NtStatus
from smbprotocol.open import CreateDisposition

from poolpair.errors import PoolpairError
from poolpair.share.folders import chunks
from poolpair.share.port import TEMP, safe_component
from poolpair.share.smb import messages
from poolpair.share.smb.folders import CHUNK_BYTES, SmbFolders, share_error

HELD_MAX = 4
"""Files held open for their next piece: one of each channel, and one that was given up."""


def put_small(
    folders: SmbFolders, folder: str, name: str, data: bytes, temp_name: str, *, replacing: bool, durable: bool
) -> bool:
    """Write a file of at most one chunk; False if its name is taken, unless that is meant to be replaced."""
    to, temp = folders.path(folder, safe_component(name)), safe_component(temp_name)
    flushing = [messages.flush()] if durable else []
    steps = [
        messages.create(folders.path(TEMP, temp), *messages.NEW_FILE, CreateDisposition.FILE_CREATE),
        messages.write(0, data),
        *flushing,
    ]
    answers = folders.line.ask(*steps)
    if answers[0].status == NtStatus.STATUS_OBJECT_NAME_COLLISION:
        folders.remove(TEMP, temp)
        answers = folders.line.ask(*steps)
    folders.need(answers[:1], "create files in", TEMP)
    made = messages.opened(answers[0].data).file_id
    with _until_named(folders, made, temp):
        folders.need_written(answers[1], len(data))
        folders.need(answers, "write files in", TEMP)
        return _name(folders, made, temp, to, folder, replacing=replacing, durable=durable)


class Unfinished:
    """Files of which pieces were brought: held open, since an account that may only drop files cannot open one again."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[object, bytes]] = {}

    def take(self, folders: SmbFolders, temp: str, begins: int) -> bytes | None:
        """The file, held or opened again; None if neither can be. It is nobody's then, until it is `keep`t."""
        connection, file_id = self._held.pop(temp, (None, b""))
        if connection is not None and connection is folders.line.connection:
            return file_id
        return _open_again(folders, temp, begins)

    def keep(self, folders: SmbFolders, temp: str, file_id: bytes) -> None:
        """For the next piece. One at a time and channel: what was given up is closed."""
        for other in list(self._held)[: max(0, len(self._held) - HELD_MAX + 1)]:
            self.close(folders, other)
        self._held[temp] = (folders.line.connection, file_id)

    def close(self, folders: SmbFolders, temp: str) -> None:
        """Hold it no more."""
        connection, file_id = self._held.pop(temp, (None, b""))
        if connection is not None and connection is folders.line.connection:
            with suppress(PoolpairError):
                folders.line.ask(messages.close(file_id))


def bring(
    folders: SmbFolders, unfinished: Unfinished, source: BinaryIO, temp_name: str, begins: int, limit_bytes: int
) -> int:
    """Write a piece; returns where it ends, 0 if what came before it is not there."""
    temp = safe_component(temp_name)
    made = unfinished.take(folders, temp, begins) if begins else folders.create(temp).file_id
    if made is None:
        return 0
    with _until_brought(folders, made):
        ends = folders.write(made, chunks(source, begins, limit_bytes), begins)
    unfinished.keep(folders, temp, made)
    return ends


def _open_again(folders: SmbFolders, temp: str, begins: int) -> bytes | None:
    """A file in Temp that an earlier connection left, if it is there and this account may; None if not, or if it has another name."""
    answers = folders.line.ask(messages.create(folders.path(TEMP, temp), *messages.NEW_FILE), messages.names())
    if answers[0].status:
        return None
    found = messages.opened(answers[0].data)
    if found.is_file and found.size_bytes >= begins and not answers[1].status and messages.named(answers[1].data) == 1:
        return found.file_id
    folders.line.ask(messages.close(found.file_id))
    return None


@contextmanager
def _until_brought(folders: SmbFolders, made: bytes) -> Iterator[None]:
    """What was brought before stays, but nobody holds it open."""
    try:
        yield
    except BaseException:  # the end of this process among them
        if folders.line.is_up:
            with suppress(PoolpairError):
                folders.line.ask(messages.close(made))
        raise


def put_rest(
    folders: SmbFolders, unfinished: Unfinished, folder: str, name: str, source: BinaryIO, temp_name: str, begins: int
) -> tuple[int, bool]:
    """As `put`, for a file of which pieces were brought, to `begins`."""
    temp = safe_component(temp_name)
    made = unfinished.take(folders, temp, begins)
    if made is None:
        source.seek(0)
        return put(folders, folder, name, source, temp_name)
    with _until_brought(folders, made):
        size = folders.write(made, chunks(source, begins), begins)
        folders.need(folders.line.ask(messages.flush(made)), "write files in", TEMP)
        to = folders.path(folder, safe_component(name))
        return size, _name(folders, made, temp, to, folder, replacing=False, durable=True)


def put(folders: SmbFolders, folder: str, name: str, source: BinaryIO, temp_name: str) -> tuple[int, bool]:
    """Write a file of any size; returns its bytes, and False if its name is taken."""
    parts = chunks(source)
    first, second = next(parts, b""), next(parts, b"")
    if len(first) <= CHUNK_BYTES and not second:
        return len(first), put_small(folders, folder, name, first, temp_name, replacing=False, durable=True)
    to, temp = folders.path(folder, safe_component(name)), safe_component(temp_name)
    # The folder is looked at before anything is copied: one that is missing costs no traffic.
    folders.enter(folder)
    made = folders.create(temp).file_id
    with _until_named(folders, made, temp):
        size = folders.write(made, chain([first, second], parts))
        folders.need(folders.line.ask(messages.flush(made)), "write files in", TEMP)
        return size, _name(folders, made, temp, to, folder, replacing=False, durable=True)


@contextmanager
def _until_named(folders: SmbFolders, made: bytes, temp: str) -> Iterator[None]:
    """Nothing is left in Temp, whatever comes in between; but for a server that is gone nobody waits once more."""
    try:
        yield
    except BaseException:  # the end of this process among them
        if folders.line.is_up:
            with suppress(PoolpairError):
                folders.line.ask(messages.close(made))
            forget(folders, temp)
        raise


def _name(folders: SmbFolders, made: bytes, temp: str, to: str, folder: str, *, replacing: bool, durable: bool) -> bool:
    """Give a file that is whole its name and close it; False if the name is taken."""
    renamed, _ = folders.line.ask(messages.rename(to, replacing=replacing, file_id=made), messages.close(made))
    if renamed.status == NtStatus.STATUS_OBJECT_NAME_COLLISION:
        forget(folders, temp)
        return False
    if renamed.status:
        folders.enter(folder)  # the answer to a rename does not tell which of both folders is not there
        raise share_error(renamed.status, f"put files into {folders.line.words(folder)}")
    if durable:
        with suppress(PoolpairError):
            folders.sync(folder)
    return True


def forget(folders: SmbFolders, temp: str) -> None:
    """Take away what is left of a try."""
    with suppress(PoolpairError):
        folders.remove(TEMP, temp)
