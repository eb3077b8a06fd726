"""A partner's share that counts what is delivered through it, for status and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from poolpair.share.port import AccessCheck, PartnerShare


@dataclass(slots=True)
class Delivered:
    """What reached the partner's share since the start."""

    packages: int = 0
    package_bytes: int = 0
    cookies: int = 0
    cookie_bytes: int = 0


class CountedPartnerShare:
    """Passes everything on to `inner` and counts what succeeded in `delivered`."""

    def __init__(self, inner: PartnerShare) -> None:
        self._inner = inner
        self.delivered = Delivered()

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Not counted."""
        return self._inner.identity(path, limit_bytes)

    def bring(self, source: BinaryIO, temp_name: str, begins: int, limit_bytes: int) -> int:
        """Counted when it is delivered."""
        return self._inner.bring(source, temp_name, begins, limit_bytes)

    def forget(self, temp_name: str) -> None:
        """Not counted."""
        self._inner.forget(temp_name)

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str, begins: int = 0) -> int:
        """Counted as a package."""
        size = self._inner.deliver(source, folder, name, temp_name, begins)
        self.delivered.packages += 1
        self.delivered.package_bytes += size
        return size

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """Counted as a cookie."""
        self._inner.replace(folder, name, data, temp_name)
        self.delivered.cookies += 1
        self.delivered.cookie_bytes += len(data)

    def free_bytes(self) -> int:
        """Not counted."""
        return self._inner.free_bytes()

    def check_access(self, folders: Sequence[str]) -> tuple[AccessCheck, ...]:
        """Not counted."""
        return self._inner.check_access(folders)
