"""Folders of a share on a file server: files written whole, read, listed and taken away, in as few round trips as may be."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from smbprotocol.connection import Request
from smbprotocol.header import NtStatus
from smbprotocol.open import CreateDisposition

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.share.port import TEMP, FileVanished, safe_component, safe_folder, split_path
from poolpair.share.smb import messages
from poolpair.share.smb.line import Answer, Line, Stream, first_bad

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 256 * 1024
UNDER_WAY = 24
"""Chunks sent before the first is answered: what a long line needs to be full."""
READ_BYTES = 1024 * 1024
QUOTA_EXCEEDED, DISK_FULL = 0xC0000044, NtStatus.STATUS_DISK_FULL
READ_ONLY = 0xC00000A2
NO_FILE = frozenset(
    {NtStatus.STATUS_OBJECT_NAME_NOT_FOUND, NtStatus.STATUS_NO_SUCH_FILE, NtStatus.STATUS_DELETE_PENDING}
)
LISTED_ALL = frozenset({NtStatus.STATUS_NO_MORE_FILES, NtStatus.STATUS_NO_SUCH_FILE})
NO_FOLDER = frozenset(
    {
        NtStatus.STATUS_OBJECT_PATH_NOT_FOUND,
        NtStatus.STATUS_OBJECT_PATH_INVALID,
        NtStatus.STATUS_NOT_A_DIRECTORY,
    }
)


def share_error(status: int, action: str) -> PoolpairError:
    """Say what the server said; `action` goes on after "this account may not ..."."""
    if status in {NtStatus.STATUS_ACCESS_DENIED, NtStatus.STATUS_PRIVILEGE_NOT_HELD, NtStatus.STATUS_CANNOT_DELETE}:
        return PoolpairError(Code.SHARE_DENIED, f"this account may not {action}")
    if status in {DISK_FULL, QUOTA_EXCEEDED}:
        lacks = "no space is left" if status == DISK_FULL else "the quota is used up"
        return PoolpairError(Code.SHARE_FULL, f"{lacks}: could not {action}")
    if status == READ_ONLY:
        return PoolpairError(Code.SHARE_READ_ONLY, f"it is read-only there: could not {action}")
    if status in NO_FILE | NO_FOLDER:
        return PoolpairError(Code.SHARE_MISSING, f"it is not there: could not {action}")
    if status == NtStatus.STATUS_SHARING_VIOLATION:
        return PoolpairError(Code.SHARE_FAILED, f"somebody has a file open there: could not {action}")
    return PoolpairError(Code.SHARE_FAILED, f"the file server answered {status:#010x}: could not {action}")


class SmbFolders:
    """The folders of one share."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._may_sync = True

    def path(self, folder: str, name: str = "") -> str:
        """Where a file or folder lies in the share, as the server wants it. Raises Refused(MISNAMED)."""
        parts = [*self.line.address.folder, *safe_folder(folder)]
        if name:
            parts.append(safe_component(name))
        return "\\".join(parts)

    def need(self, answers: list[Answer], verb: str, folder: str) -> None:
        """Raise what the first request that was not carried out says: this account may not `verb` `folder` of ... share ..."""
        status = first_bad(answers)
        if status in NO_FOLDER:
            raise PoolpairError(Code.SHARE_MISSING, f"{self.line.words(folder)} is not there")
        if status:
            raise share_error(status, f"{verb} {self.line.words(folder)}")

    def make(self, folder: str) -> None:
        """Make a folder below one that is there; one that is there already stays."""
        opening = messages.create(self.path(folder), messages.LOOK, messages.FOLDER, CreateDisposition.FILE_OPEN_IF)
        self.need(self.line.ask(opening, messages.close()), "make folders in", folder.rpartition("/")[0])

    def enter(self, folder: str, access: int = messages.LOOK, verb: str = "enter") -> None:
        """Raises SHARE_MISSING if a folder is not there, SHARE_DENIED if this account may not do there what `verb` says."""
        opening = messages.create(self.path(folder), access, messages.FOLDER)
        self._need_itself(self.line.ask(opening, messages.close()), verb, folder)

    def remove_folder(self, folder: str) -> None:
        """Delete an empty folder."""
        opening = messages.create(self.path(folder), messages.DELETE, messages.FOLDER | messages.GOES)
        self._need_itself(self.line.ask(opening, messages.close()), "delete", folder)

    def _need_itself(self, answers: list[Answer], verb: str, folder: str) -> None:
        if first_bad(answers) in NO_FILE:
            raise PoolpairError(Code.SHARE_MISSING, f"{self.line.words(folder)} is not there")
        self.need(answers, verb, folder)

    def entries(self, folder: str) -> list[messages.Entry]:
        """All names in a folder, of files and others. A usual folder takes one round trip."""
        opening = messages.create(self.path(folder), messages.READ, messages.FOLDER)
        first, *pages, _ = self.line.ask(opening, messages.entries(), messages.entries(), messages.close())
        self._need_itself([first], "list", folder)
        if pages[-1].status == NtStatus.STATUS_SUCCESS:
            return self._list_large(folder)
        found, _ = self._taken(pages, folder)
        return found

    def _list_large(self, folder: str) -> list[messages.Entry]:
        answers = self.line.ask(messages.create(self.path(folder), messages.READ, messages.FOLDER))
        self._need_itself(answers, "list", folder)
        file_id = messages.opened(answers[0].data).file_id
        found: list[messages.Entry] = []
        is_whole = False
        try:
            while not is_whole:
                more, is_whole = self._taken(self.line.ask(messages.entries(file_id)), folder)
                found += more
        finally:
            with suppress(PoolpairError):
                self.line.ask(messages.close(file_id))
        return found

    def _taken(self, pages: list[Answer], folder: str) -> tuple[list[messages.Entry], bool]:
        """What these pages list, and whether there is no more."""
        found: list[messages.Entry] = []
        for page in pages:
            if page.status in LISTED_ALL:
                return found, True
            self.need([page], "list", folder)
            found += messages.listed(page.data)
        return found, False

    def size(self, folder: str, name: str) -> int | None:
        """Size of a regular file, -1 for anything else of that name, None if there is nothing."""
        opening = messages.create(self.path(folder, name), messages.LOOK, 0)
        answers = self.line.ask(opening, messages.close())
        if first_bad(answers) in NO_FILE:
            return None
        self.need(answers, f"look at {name} in", folder)
        found = messages.opened(answers[0].data)
        return found.size_bytes if found.is_file else -1

    @contextmanager
    def opened(self, folder: str, name: str) -> Iterator[BinaryIO]:
        """Open a regular file. Raises FileVanished, Refused(MISNAMED); later errors of reading come in our words too."""
        safe_component(name)
        verb = f"read {name} in"
        opening = messages.create(self.path(folder, name), messages.READ, messages.FILE)
        created, first = self.line.ask(opening, messages.read(0, READ_BYTES))
        if created.status in NO_FILE:
            raise FileVanished(name)
        if created.status == NtStatus.STATUS_FILE_IS_A_DIRECTORY:
            raise Refused(Code.MISNAMED, f"{name} is no regular file")
        self.need([created], verb, folder)
        found = messages.opened(created.data)
        try:
            if not found.is_file:
                raise Refused(Code.MISNAMED, f"{name} is a link or no regular file")
            with io.BufferedReader(_Reader(self, found, verb, folder, first), READ_BYTES) as source:
                yield source
        finally:
            with suppress(PoolpairError):  # a file that cannot be closed is closed by the end of the connection
                self.line.ask(messages.close(found.file_id))

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Read a whole small file, None if it is absent. Raises Refused(LIMIT, MISNAMED)."""
        folder, name = split_path(path)
        safe_component(name)
        opening = messages.create(self.path(folder, name), messages.READ, messages.FILE)
        answers = self.line.ask(opening, messages.read(0, limit_bytes + 1), messages.close())
        if first_bad(answers) in NO_FILE:
            return None
        first, read, _ = answers
        if first.status == NtStatus.STATUS_FILE_IS_A_DIRECTORY or (
            first.status == NtStatus.STATUS_SUCCESS and not messages.opened(first.data).is_file
        ):
            raise Refused(Code.MISNAMED, f"{name} is a link or no regular file")
        if read.status == NtStatus.STATUS_END_OF_FILE:
            return b""
        self.need(answers, f"read {name} in", folder)
        data = messages.content(read.data)
        if len(data) > limit_bytes:
            raise Refused(Code.LIMIT, f"{path} is larger than {limit_bytes} bytes")
        return data

    def remove(self, folder: str, name: str) -> bool:
        """Delete a file; False if it was gone."""
        opening = messages.create(self.path(folder, name), messages.DELETE, messages.FILE | messages.GOES)
        answers = self.line.ask(opening, messages.close())
        if first_bad(answers) in NO_FILE:
            return False
        self.need(answers, "delete files in", folder)
        return True

    def move(self, folder: str, name: str, to_folder: str, to_name: str, *, replacing: bool = False) -> int:
        """Give a file another place; returns the status of what was not carried out, 0 if all was."""
        opening = messages.create(self.path(folder, name), messages.DELETE, messages.FILE)
        renaming = messages.rename(self.path(to_folder, to_name), replacing=replacing)
        return first_bad(self.line.ask(opening, renaming, messages.close()))

    def create(self, name: str) -> messages.Opened:
        """Make a file in Temp, never writing into one that is there: that may be planted, and open at somebody's."""
        opening = messages.create(self.path(TEMP, name), *messages.NEW_FILE, CreateDisposition.FILE_CREATE)
        answers = self.line.ask(opening)
        if first_bad(answers) == NtStatus.STATUS_OBJECT_NAME_COLLISION:
            self.remove(TEMP, name)
            answers = self.line.ask(opening)
        self.need(answers, "create files in", TEMP)
        return messages.opened(answers[0].data)

    def write(self, file_id: bytes, parts: Iterable[bytes], begins: int = 0) -> int:
        """Write from `begins` on to the end of the file; returns its bytes."""
        written, waiting = begins, deque[tuple[Request, int]]()
        step = min(CHUNK_BYTES, self.line.write_bytes)
        with self.line.stream() as stream:
            for chunk in parts:
                for at in range(0, len(chunk), step):
                    if len(waiting) >= UNDER_WAY:
                        self._written(stream, *waiting.popleft())
                    part = chunk[at : at + step]
                    waiting.append((stream.send(messages.write(written, part, file_id)), len(part)))
                    written += len(part)
            while waiting:
                self._written(stream, *waiting.popleft())
        return written

    def _written(self, stream: Stream, request: Request, size: int) -> None:
        self.need_written(stream.receive(request), size)

    def need_written(self, answer: Answer, size: int) -> None:
        """Raise if a piece was not written, or not all of it."""
        self.need([answer], "write files in", TEMP)
        if messages.written_bytes(answer.data) != size:
            raise PoolpairError(Code.SHARE_FAILED, f"only a part was written in {self.line.words(TEMP)}")

    def sync(self, folder: str) -> None:
        """Make a rename durable, where the account may: one that is not to see what lies there may not, and is not asked again.

        What a server without it loses with its power is sent again, as soon as the partner says that it does not stand there.
        """
        if self._may_sync:
            opening = messages.create(self.path(folder), messages.READ | messages.ADD, messages.FOLDER)
            answers = self.line.ask(opening, messages.flush(), messages.close())
            self._may_sync = answers[0].status != NtStatus.STATUS_ACCESS_DENIED

    def free_bytes(self) -> int:
        """Space left for this account."""
        opening = messages.create(self.path(""), messages.LOOK, messages.FOLDER)
        answers = self.line.ask(opening, messages.sizes(), messages.close())
        self.need(answers, "look at", "")
        return messages.free_bytes(answers[1].data)


class _Reader(io.RawIOBase):
    """A file of the server, to be read and sought."""

    def __init__(self, folders: SmbFolders, found: messages.Opened, verb: str, folder: str, first: Answer) -> None:
        self._folders, self._found, self._first = folders, found, first
        self._verb, self._folder = verb, folder
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = (0, self._at, self._found.size_bytes)[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._next(min(len(view), READ_BYTES))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._next(READ_BYTES), b""))

    def _next(self, wanted: int) -> bytes:
        if not wanted or self._at >= self._found.size_bytes:
            return b""
        answer = self._first  # the beginning came with the opening
        if self._at or answer.status:
            (answer,) = self._folders.line.ask(messages.read(self._at, wanted, self._found.file_id))
        if answer.status == NtStatus.STATUS_END_OF_FILE:
            return b""
        self._folders.need([answer], self._verb, self._folder)
        data = messages.content(answer.data)[:wanted]
        self._at += len(data)
        return data
