"""The pool's own share on a file server. See `share.port` for what each method promises."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import BinaryIO

from smbprotocol.header import NtStatus

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.share.port import (
    QUARANTINE,
    QUARANTINE_MAX,
    REASON_SUFFIX,
    TEMP,
    FileVanished,
    Listed,
    Quarantined,
    is_plain,
    safe_component,
    safe_folder,
    split_path,
)
from poolpair.share.quarantine import REASON_MAX_BYTES, quarantine_names, reason_bytes, reason_text, surplus
from poolpair.share.smb import messages
from poolpair.share.smb.folders import NO_FILE, SmbFolders, share_error
from poolpair.share.smb.line import Line
from poolpair.share.smb.writing import put_small

TICKS = 10_000_000
"""Of the server's times in a second."""


class SmbOwnShare:
    """Implements `share.port.OwnShare`."""

    def __init__(self, line: Line, quarantine_max: int = QUARANTINE_MAX) -> None:
        self._folders = SmbFolders(line)
        self._quarantine_max = quarantine_max

    def prepare(self, folders: Sequence[str]) -> None:
        """Make missing folders; their permissions are the server's to give."""
        self._folders.enter("")
        for folder in dict.fromkeys((*folders, TEMP, QUARANTINE)):
            parts = safe_folder(folder)
            for depth in range(1, len(parts) + 1):
                self._folders.make("/".join(parts[:depth]))

    def list(self, folder: str) -> tuple[Listed, ...]:
        """List regular files."""
        found = [entry for entry in self._folders.entries(folder) if entry.is_file and is_plain(entry.name)]
        return tuple(sorted((Listed(entry.name, entry.size_bytes) for entry in found), key=lambda each: each.name))

    def open(self, folder: str, name: str) -> AbstractContextManager[BinaryIO]:
        """Open for reading."""
        return self._folders.opened(folder, name)

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Read a small file."""
        return self._folders.read_small(path, limit_bytes)

    def write_small(self, path: str, data: bytes) -> None:
        """Write a small file if its content differs."""
        try:
            same = self._folders.read_small(path, len(data)) == data
        except Refused:  # longer than ours or a link, which is replaced; or a name that `replace` refuses too
            same = False
        if not same:
            folder, name = split_path(path)
            temp = f"own-{secrets.token_hex(8)}.part"
            put_small(self._folders, folder, name, data, temp, replacing=True, durable=True)

    def remove(self, folder: str, name: str) -> bool:
        """Delete a file."""
        safe_component(name)
        return self._folders.remove(folder, name)

    def quarantine(self, folder: str, name: str, reason: str, stamp: str) -> str:
        """Move a file into Quarantine, with its reason beside it."""
        new = self._moved(folder, safe_component(name), stamp)
        try:
            self.write_small(f"{QUARANTINE}/{new}{REASON_SUFFIX}", reason_bytes(reason))
        except PoolpairError as error:
            if error.code is not Code.SHARE_FULL:
                raise
        for old in surplus([each.name for each in self.list(QUARANTINE)], self._quarantine_max):
            self.remove(QUARANTINE, old)
        return new

    def _moved(self, folder: str, name: str, stamp: str) -> str:
        for new in quarantine_names(stamp, name):
            status = self._folders.move(folder, name, QUARANTINE, new)
            if status in NO_FILE:
                raise FileVanished(name)
            if status == NtStatus.STATUS_OBJECT_PATH_NOT_FOUND:
                for each in (folder, QUARANTINE):
                    self._folders.enter(each)
            if status and status != NtStatus.STATUS_OBJECT_NAME_COLLISION:
                action = f"move {name} into {QUARANTINE} from {self._folders.line.words(folder)}"
                raise share_error(status, action)
            if not status:
                return new
        raise AssertionError("there are as many names as numbers")

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Refused files and why."""
        listed = [each for each in self.list(QUARANTINE) if not each.name.endswith(REASON_SUFFIX)]
        return tuple(Quarantined(each.name, self._reason(each.name), each.size_bytes) for each in listed)

    def _reason(self, name: str) -> str:
        try:
            return reason_text(self._folders.read_small(f"{QUARANTINE}/{name}{REASON_SUFFIX}", REASON_MAX_BYTES))
        except Refused:
            return ""

    def sweep_temp(self, older_than_s: float) -> int:
        """Compare with a probe's time, which the server's clock gave."""
        probe = f"own-{secrets.token_hex(8)}.part"
        made = self._folders.create(probe)
        self._folders.line.ask(messages.close(made.file_id))
        self.remove(TEMP, probe)
        swept = 0
        for entry in self._folders.entries(TEMP):
            if entry.is_file and made.written - entry.written > older_than_s * TICKS and is_plain(entry.name):
                swept += self.remove(TEMP, entry.name)
        return swept

    def check(self, folders: Sequence[str]) -> None:
        """Open each folder for all that is done there."""
        for folder in folders:
            self._folders.enter(folder, messages.WORK, "read and delete in")

    def clear(self, folders: Sequence[str]) -> None:
        """Delete trees, from their leaves."""
        for folder in folders:
            self._clear(safe_component(folder))

    def _clear(self, folder: str) -> None:
        try:
            found = self._folders.entries(folder)
        except PoolpairError as error:
            if error.code is not Code.SHARE_MISSING:
                raise
            return
        for entry in found:
            if entry.attributes & messages.IS_FOLDER and is_plain(entry.name):
                self._clear(f"{folder}/{entry.name}")
            elif is_plain(entry.name):
                self.remove(folder, entry.name)
        self._folders.remove_folder(folder)

    def changed_hint(self, folders: Sequence[str]) -> object:
        """What stands in the folders: each file's number, and when it changed."""
        return tuple(self._mark(folder) for folder in folders)

    def _mark(self, folder: str) -> object:
        try:
            return frozenset((entry.name, entry.number, entry.changed) for entry in self._folders.entries(folder))
        except PoolpairError as error:
            return str(error)

    def free_bytes(self) -> int:
        """Space left for this account."""
        return self._folders.free_bytes()

    def close(self) -> None:
        """Take leave of the server."""
        with suppress(PoolpairError):
            self._folders.line.close()
