"""Files put into a share: written in Temp, flushed, and moved to their name, so that nobody sees half of one.

A small one takes one round trip, a large one a few and one for each chunk, of which several are under way at once.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from typing import BinaryIO

from smbprotocol.header import NtStatus
from smbprotocol.open import CreateDisposition

from poolpair.errors import PoolpairError
from poolpair.share.folders import chunks
from poolpair.share.port import TEMP, safe_component
from poolpair.share.smb import messages
from poolpair.share.smb.folders import CHUNK_BYTES, SmbFolders, share_error
from poolpair.share.smb.line import Answer, first_bad


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
        messages.rename(to, replacing=replacing),
        messages.close(),
    ]
    answers = folders.line.ask(*steps)
    if answers[0].status == NtStatus.STATUS_OBJECT_NAME_COLLISION:
        folders.remove(TEMP, temp)
        answers = folders.line.ask(*steps)
    return _is_put(folders, folder, temp, answers, durable=durable)


def put(folders: SmbFolders, folder: str, name: str, source: BinaryIO, temp_name: str) -> tuple[int, bool]:
    """Write a file of any size; returns its bytes, and False if its name is taken."""
    parts = chunks(source)
    first = next(parts, b"")
    if len(first) <= CHUNK_BYTES:
        second = next(parts, b"")
        if not second:
            put_it = put_small(folders, folder, name, first, temp_name, replacing=False, durable=True)
            return len(first), put_it
        parts = chain([second], parts)
    to, temp = folders.path(folder, safe_component(name)), safe_component(temp_name)
    # The folder is looked at before anything is copied: one that is missing costs no traffic.
    folders.enter(folder)
    made = folders.create(temp)
    try:
        size = folders.write(made.file_id, chain([first], parts))
        answers = folders.line.ask(
            messages.flush(made.file_id),
            messages.rename(to, replacing=False, file_id=made.file_id),
            messages.close(made.file_id),
        )
    except BaseException:  # nothing is left in Temp, whatever ended this
        with suppress(PoolpairError):
            folders.line.ask(messages.close(made.file_id))
        forget(folders, temp)
        raise
    return size, _is_put(folders, folder, temp, answers, durable=True)


def _is_put(folders: SmbFolders, folder: str, temp: str, answers: list[Answer], *, durable: bool) -> bool:
    """Look at the answers, of which the last but one is the rename's; nothing is left in Temp."""
    if not first_bad(answers):
        if durable:
            with suppress(PoolpairError):
                folders.sync(folder)
        return True
    *before, renamed, _ = answers
    forget(folders, temp)
    folders.need(before[:1], "create files in", TEMP)
    folders.need(before, "write files in", TEMP)
    if renamed.status == NtStatus.STATUS_OBJECT_NAME_COLLISION:
        return False
    folders.enter(folder)  # the answer to a rename does not tell which of both folders is not there
    raise share_error(first_bad(answers), f"put files into {folders.line.words(folder)}")


def forget(folders: SmbFolders, temp: str) -> None:
    """Take away what is left of a try."""
    with suppress(PoolpairError):
        folders.remove(TEMP, temp)
