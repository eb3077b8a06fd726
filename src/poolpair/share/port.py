"""The share port: one pool reads and deletes in its own share, and only writes into its partner's.

Folders are named relative to the share's root with "/" between them; a path is such a folder and a file name. Every
component passes `safe_component`. Failures are `PoolpairError` with SHARE_MISSING, SHARE_DENIED (the text names the
permission that lacks), SHARE_FULL, SHARE_READ_ONLY or SHARE_FAILED; `Refused` means: this one file must not be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, Protocol

from poolpair.errors import Code, Refused

TEMP = "Temp"
"""Half-written files; the same word as in `format.layout`, which this layer may not import."""
QUARANTINE = "Quarantine"
"""Refused files; see `TEMP`."""
REASON_SUFFIX = ".reason.txt"
QUARANTINE_MAX = 1000
CHUNK_BYTES = 8 * 1024 * 1024
"""How much is written at once; a slow line to a file server needs large pieces."""

# Printable ASCII without what a POSIX or a Windows server gives a meaning: separators, streams, wildcards.
_PLAIN = re.compile(r"[!#-)+-.0-9;=@-\[\]-{}~ ]{1,200}")


class FileVanished(Exception):
    """The file was there and is gone: somebody else removed or moved it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A regular file in a folder."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A refused file and why; `reason` is empty if it could not be recorded."""

    name: str
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """What this account may do in one folder, in words; `code` is None if nothing lacks."""

    folder: str
    words: str
    code: Code | None = None

    @property
    def ok(self) -> bool:
        """Nothing lacks."""
        return self.code is None


def is_plain(name: str) -> bool:
    """Whether a name is one component that means the same on every server."""
    return _PLAIN.fullmatch(name) is not None and name not in {".", ".."} and name == name.strip(" ").rstrip(".")


def safe_component(name: str) -> str:
    """Return a name that may become part of a path. Raises Refused(MISNAMED) for every other."""
    if not is_plain(name):
        raise Refused(Code.MISNAMED, f"{name[:80]!a} is not a plain name of a file or folder")
    return name


@lru_cache(maxsize=256)
def safe_folder(folder: str) -> tuple[str, ...]:
    """Split a folder into checked components; the root is the empty text."""
    return tuple(safe_component(part) for part in folder.split("/")) if folder else ()


def split_path(path: str) -> tuple[str, str]:
    """Split a path into its folder and its file name."""
    folder, _, name = path.rpartition("/")
    return folder, name


class OwnShare(Protocol):
    """The pool's own share: files are read and deleted here."""

    def prepare(self, folders: Sequence[str]) -> None:
        """Make the folders that are missing, Temp and Quarantine too; never the root, which may be an unmounted disk."""
        ...

    def list(self, folder: str) -> tuple[Listed, ...]:
        """Regular files with plain names, sorted by name; links, devices, folders and odd names are left out."""
        ...

    def open(self, folder: str, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to read and seek. Raises FileVanished, also while reading; Refused if it is no regular file."""
        ...

    def read_small(self, path: str, limit_bytes: int) -> bytes | None:
        """Read a whole small file, None if it is absent. Raises Refused(LIMIT) if it is larger."""
        ...

    def write_small(self, path: str, data: bytes) -> None:
        """Write a small file through Temp, replacing the old one at once; equal content is not written again."""
        ...

    def remove(self, folder: str, name: str) -> bool:
        """Delete a file; False if it was gone."""
        ...

    def quarantine(self, folder: str, name: str, reason: str, stamp: str) -> str:
        """Move a file into Quarantine as `stamp`-`name`, or a like name never used; returns that. Raises FileVanished.

        Stamps sort by time: the newest `quarantine_max` files are kept. A reason that finds no space is left out.
        """
        ...

    def quarantined(self) -> tuple[Quarantined, ...]:
        """The refused files, oldest first."""
        ...

    def sweep_temp(self, older_than_s: float) -> int:
        """Delete files in Temp that did not change for so long by the share's own clock; returns how many."""
        ...

    def check(self, folders: Sequence[str]) -> None:
        """Raises SHARE_MISSING for a folder that is not there, SHARE_DENIED for one in which this account may not read and delete."""
        ...

    def clear(self, folders: Sequence[str]) -> None:
        """Delete folders of the root with everything in them, and nothing else; one that is missing is no error."""
        ...

    def changed_hint(self, folders: Sequence[str]) -> object:
        """A cheap token that differs once a file came, went or was replaced; only a hint, and it never raises."""
        ...

    def free_bytes(self) -> int:
        """Space left for this account."""
        ...


class PartnerShare(Protocol):
    """The partner's share: files are only written here."""

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Read the one file that says whose share it is, None if it is absent. Raises Refused(LIMIT)."""
        ...

    def bring(self, source: BinaryIO, temp_name: str, begins: int, limit_bytes: int) -> int:
        """Copy a piece of `source` into Temp, from where an earlier call ended, 0 for the first; returns where this one ended.

        0 if the earlier pieces are not there any more, or cannot be gone on with. After a failure they stay, for another try.
        """
        ...

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str, begins: int = 0) -> int:
        """Copy `source` through Temp to a name never used before; returns its bytes. What `bring` brought, to `begins`, is not sent again.

        A file of that name and size that stands there already is success: an earlier try was done but reported failed.
        After a failure nothing stays in Temp but what was brought before. `temp_name` may be that of an earlier try of the same file.
        """
        ...

    def forget(self, temp_name: str) -> None:
        """Take away what was brought of a file, if it is there and this account may; that it could not be is no error."""
        ...

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """Write a small file through Temp over the old one; a reader sees the old or the new, whole.

        It need not be durable: what stands after the share's machine lost its power may be the old file, none, or a torn one, which
        no more is believed than a forged one. Words are said again with each heartbeat.
        """
        ...

    def free_bytes(self) -> int:
        """Space left for this account."""
        ...

    def check_access(self, folders: Sequence[str]) -> tuple[AccessCheck, ...]:
        """Try with a probe whether files can be made in Temp, renamed into each folder and removed. Never raises."""
        ...
