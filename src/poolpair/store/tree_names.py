"""Names that the tree and its spool take: nothing outside of them is ever touched, and temporary names are ours alone."""

from __future__ import annotations

import os

from poolpair.errors import Code, Refused

TEMP_PREFIX = b".poolpair-"


def check_spool_name(name: str) -> None:
    """Raise Refused(MISNAMED) for what is no name of a file in the spool."""
    if len(safe_path(os.fsencode(name))) != 1:
        raise Refused(Code.MISNAMED, f"{name[:80]!r} is not a name in the spool")


def safe_path(path: bytes) -> tuple[bytes, ...]:
    """Split a relative path. Raises Refused(MISNAMED) for one that could leave the root, or is a temporary name of ours."""
    parts = tuple(path.split(b"/"))
    if len(path) > 4096 or any(not _is_safe(part) for part in parts):
        raise Refused(Code.MISNAMED, "a path does not stay inside the tree")
    return parts


def _is_safe(part: bytes) -> bool:
    return (
        part not in {b"", b".", b".."} and b"\0" not in part and len(part) <= 255 and not part.startswith(TEMP_PREFIX)
    )
