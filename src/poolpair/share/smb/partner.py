"""The partner's share on a file server. See `share.port` for what each method promises."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError
from poolpair.share.port import TEMP, AccessCheck, safe_component
from poolpair.share.smb import messages
from poolpair.share.smb.folders import SmbFolders, share_error
from poolpair.share.smb.line import Line
from poolpair.share.smb.writing import forget, put, put_small


class SmbPartnerShare:
    """Implements `share.port.PartnerShare`."""

    def __init__(self, line: Line) -> None:
        self._folders = SmbFolders(line)

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Read whose share it is."""
        return self._folders.read_small(path, limit_bytes)

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str) -> int:
        """Write through Temp, then rename to a name never used."""
        safe_component(name)
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
        """Probe Temp and every other folder."""
        return tuple(self._probe(folder) for folder in dict.fromkeys((TEMP, *folders)))

    def _probe(self, folder: str) -> AccessCheck:
        probe = f"probe-{secrets.token_hex(8)}.part"
        try:
            self._folders.enter(folder)
            made = self._folders.create(probe)
            self._folders.line.ask(messages.close(made.file_id))
            if folder != TEMP:
                status = self._folders.move(TEMP, probe, folder, probe)
                if status:
                    forget(self._folders, probe)
                    raise share_error(status, f"put files into {self._folders.line.words(folder)}")
            self._folders.remove(folder, probe)
        except PoolpairError as error:
            return AccessCheck(folder, error.detail, error.code)
        return AccessCheck(folder, f"may create, rename and delete files in {self._folders.line.words(folder)}")
