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
