"""The partner's share on a file server. See `share.port` for what each method promises."""

from __future__ import annotations

import io
import secrets
from collections.abc import Sequence
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError
from poolpair.share.port import TEMP, AccessCheck, safe_component
from poolpair.share.smb import messages
from poolpair.share.smb.folders import SmbFolders
from poolpair.share.smb.line import Line
from poolpair.share.smb.writing import Unfinished, bring, forget, put, put_rest, put_small


class SmbPartnerShare:
    """Implements `share.port.PartnerShare`."""

    def __init__(self, line: Line) -> None:
        self._folders = SmbFolders(line)
        self._unfinished = Unfinished()

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Read whose share it is."""
        return self._folders.read_small(path, limit_bytes)

    def bring(self, source: BinaryIO, temp_name: str, begins: int, limit_bytes: int) -> int:
        """Write a piece into a file that stays open."""
        return bring(self._folders, self._unfinished, source, temp_name, begins, limit_bytes)

    def forget(self, temp_name: str) -> None:
        """Close it, and delete it."""
        self._unfinished.close(self._folders, safe_component(temp_name))
        forget(self._folders, temp_name)

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str, begins: int = 0) -> int:
        """Write through Temp, then rename to a name never used."""
        safe_component(name)
        if begins:
            size = source.seek(0, io.SEEK_END)
            source.seek(0)
            if self._folders.size(folder, name) == size:
                return size
            size, is_put = put_rest(self._folders, self._unfinished, folder, name, source, temp_name, begins)
        else:
            size, is_put = put(self._folders, folder, name, source, safe_component(temp_name))
        if not is_put and self._folders.size(folder, name) != size:
            words = f"another file stands as {name} in {self._folders.line.words(folder)}"
            raise PoolpairError(Code.SHARE_FAILED, words)
        return size

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """Write through Temp over the old file; nobody waits for the disk."""
        put_small(self._folders, folder, name, data, temp_name, replacing=True, durable=False)

    def free_bytes(self) -> int:
        """Space left for this account."""
        return self._folders.free_bytes()

    def check_access(self, folders: Sequence[str]) -> tuple[AccessCheck, ...]:
        """Probe Temp; of the others the server is asked: a probe could not be taken away where that is forbidden."""
        return tuple(self._look(folder) for folder in dict.fromkeys((TEMP, *folders)))

    def _look(self, folder: str) -> AccessCheck:
        where = self._folders.line.words(folder)
        try:
            if folder == TEMP:
                self._probe()
                return AccessCheck(folder, f"may create and delete files in {where}")
            self._folders.enter(folder)
            answers = self._folders.line.ask(messages.enquire(self._folders.path(folder)), messages.close())
            self._folders.need(answers, "enter", folder)
            access = messages.allowed(answers[0].data)
        except PoolpairError as error:
            return AccessCheck(folder, error.detail, error.code)
        if access is None:
            return AccessCheck(folder, f"{where} is there; the server does not say what may be done in it")
        if not access & messages.ADD:
            return AccessCheck(folder, f"this account may not put files into {where}", Code.SHARE_DENIED)
        return AccessCheck(folder, f"may put files into {where}")

    def _probe(self) -> None:
        probe = f"probe-{secrets.token_hex(8)}.part"
        made = self._folders.create(probe)
        self._folders.line.ask(messages.close(made.file_id))
        self._folders.remove(TEMP, probe)
