"""The clear header of a package, and every rule that is decided before anything is unsealed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.layout import MAX_SEQUENCE
from poolpair.model import FORMAT_VERSION, Channel, Manifest, Position

HEADER: Final = "header.json"
MAX_HEADER_BYTES: Final = 4 * 1024

_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageHeader:
    """What a package says in the clear. It is associated data of every frame, so it cannot be altered unnoticed."""

    format: int
    pair_id: str
    key_id: str
    channel: Channel
    origin: str
    target: str
    stream: str
    sequence: int
    package_id: str

    @property
    def position(self) -> Position:
        """The position that the package leads to."""
        return Position(self.stream, self.sequence, self.package_id)


@dataclass(frozen=True, slots=True)
class _Probe:
    format: int


def refuse_newer(text: bytes, what: str) -> None:
    """Raise PoolpairError(NEWER_FORMAT), which waits and is not a refusal, if a clear header tells a newer format."""
    version = documents.decode(_Probe, text).format
    if version > FORMAT_VERSION:
        raise PoolpairError(
            Code.NEWER_FORMAT, f"{what} has format {version}, this release reads formats up to {FORMAT_VERSION}"
        )
    if version < 1:
        raise Refused(Code.DAMAGED, f"{what} names a format that never was")


def check_direction(header: PackageHeader, *, pair_id: str, reader_pool: str, origin: str, channel: Channel) -> None:
    """Raise Refused(FOREIGN_PACKAGE) unless the package goes from `origin` to `reader_pool` on this channel."""
    if header.pair_id != pair_id:
        raise Refused(Code.FOREIGN_PACKAGE, "the package belongs to another pair")
    if header.origin == reader_pool:
        raise Refused(Code.FOREIGN_PACKAGE, "the package comes from this pool itself")
    if (header.origin, header.target) != (origin, reader_pool):
        raise Refused(Code.FOREIGN_PACKAGE, "the package belongs to another direction")
    if header.channel is not channel:
        raise Refused(Code.FOREIGN_PACKAGE, f"the package belongs to the channel {header.channel}")


def is_position(position: Position) -> bool:
    """Say whether ids and sequence have the form that names and keys need."""
    ids = _ID.fullmatch(position.stream) and _ID.fullmatch(position.package_id)
    return bool(ids) and 1 <= position.sequence <= MAX_SEQUENCE


def agrees(manifest: Manifest, header: PackageHeader) -> bool:
    """Say whether a manifest speaks of the package that has this header."""
    said = (manifest.channel, manifest.origin, manifest.target, manifest.position)
    return said == (header.channel, header.origin, header.target, header.position)
