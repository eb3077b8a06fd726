"""Packages: a clear header, sealed data members, and last the sealed manifest that says what they are.

Order in the ZIP: `header.json`, data members numbered from 1, `manifest` (number 0). A reader believes nothing before
the manifest authenticated; the manifest then binds every member by name, number, length and SHA-256.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import BinaryIO, Final

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.container import MAX_ENTRIES, ContainerWriter, Entry, Section, read_directory
from poolpair.format.contents import MemberReader, MemberWriter
from poolpair.format.frames import FRAME_BYTES, FrameReader
from poolpair.format.header import (
    HEADER,
    MAX_HEADER_BYTES,
    PackageHeader,
    agrees,
    check_direction,
    is_position,
    refuse_newer,
)
from poolpair.format.keys import KeyRing, derive
from poolpair.format.layout import PackageName
from poolpair.format.sealing import LEVEL, SealingReader, SealingWriter
from poolpair.model import FORMAT_VERSION, Channel, Manifest, Member, Position

__all__ = [
    "MAX_MANIFEST_BYTES",
    "MAX_MEMBERS",
    "MemberReader",
    "MemberWriter",
    "PackageHeader",
    "PackageReader",
    "PackageWriter",
]

MANIFEST: Final = "manifest"
MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024
MAX_MEMBERS: Final = MAX_ENTRIES - 2

_MEMBER_NAME: Final = re.compile(r"rows/[0-9]{4,9}\.[0-9]{4,9}|files/[0-9]{4,9}", re.ASCII)
_NOT_MANIFEST: Final = "the manifest does not agree with the package's header"


class PackageWriter:
    """Writes one package into a seekable sink that is empty and stays open; the caller flushes it and puts it in place.

    If anything raises, the sink holds no package and must be thrown away. OSErrors of the sink pass through.
    """

    def __init__(
        self,
        sink: BinaryIO,
        ring: KeyRing,
        *,
        channel: Channel,
        origin: str,
        target: str,
        position: Position,
        level: int = LEVEL,
    ) -> None:
        """Write the header. Raises ValueError for a position or names that no reader accepts."""
        self.header = PackageHeader(
            format=FORMAT_VERSION,
            pair_id=ring.pair_id,
            key_id=ring.sealing.key_id,
            channel=channel,
            origin=origin,
            target=target,
            stream=position.stream,
            sequence=position.sequence,
            package_id=position.package_id,
        )
        self._header = documents.encode(self.header).encode()
        if not is_position(position) or origin == target or len(self._header) > MAX_HEADER_BYTES:
            raise ValueError("not a position, or not two pools with names of reasonable length")
        self._key = derive(
            ring, ring.sealing, position.package_id, channel=channel, origin=origin, target=target, kind="package"
        )
        self._level = level
        self._members: list[Member] = []
        self._names: set[str] = set()
        self._open = True
        self._zip = ContainerWriter(sink)
        self._zip.begin(HEADER)
        self._zip.write(self._header)
        self._zip.end()

    @property
    def size(self) -> int:
        """Bytes written so far, compressed and sealed; up to 128 KiB of the open member are not yet in it."""
        return self._zip.size

    @contextmanager
    def member(self, name: str) -> Iterator[MemberWriter]:
        """Open the next data member, `rows/NNNN.NNNN` or `files/NNNN` (four to nine digits), one at a time.

        Raises ValueError for another or a used name, PoolpairError(LIMIT) for more than 100,000 members.
        """
        if not self._open or name in self._names or not _MEMBER_NAME.fullmatch(name):
            raise ValueError(f"cannot write the member {name!r} here")
        if len(self._members) == MAX_MEMBERS:
            raise PoolpairError(Code.LIMIT, f"a package holds at most {MAX_MEMBERS} members")
        self._open = False  # stays so if the body raises: half a member must never be finished
        number = len(self._members) + 1
        self._zip.begin(name)
        sealing = self._sealing(number)
        writer = MemberWriter(sealing)
        yield writer
        sealing.close()
        self._zip.end()
        self._members.append(Member(name=name, number=number, raw_bytes=writer.raw_bytes, sha256=writer.sha256))
        self._names.add(name)
        self._open = True

    def finish(self, manifest: Manifest) -> Manifest:
        """Seal the manifest with the members written, end the file, and give that manifest.

        Raises ValueError if it speaks of another channel, direction or position, or after a member failed;
        PoolpairError(LIMIT) if it exceeds 64 MiB.
        """
        if not self._open or not agrees(manifest, self.header):
            raise ValueError("not the manifest of this package, or a member is unfinished")
        self._open = False
        manifest = replace(manifest, members=tuple(self._members))
        content = documents.encode(manifest).encode()
        if len(content) > MAX_MANIFEST_BYTES:
            raise PoolpairError(Code.LIMIT, "the manifest would exceed 64 MiB")
        self._zip.begin(MANIFEST)
        with closing(self._sealing(0)) as sealing:
            sealing.write(content)
        self._zip.end()
        self._zip.close()
        return manifest

    def _sealing(self, number: int) -> SealingWriter:
        return SealingWriter(self._zip, self._key, number, self._header, level=self._level)


class PackageReader:
    """Opens one package. For whatever bytes: only PoolpairError leaves, and OSErrors of the source itself."""

    header: PackageHeader
    manifest: Manifest

    def __init__(
        self, source: BinaryIO, ring: KeyRing, *, reader_pool: str, origin: str, channel: Channel, name: PackageName
    ) -> None:
        """Check structure, header and manifest; data members are checked as they are read, or all by `check`.

        Raises PoolpairError(NEWER_FORMAT); Refused with DAMAGED, LIMIT, FOREIGN_PACKAGE (other pair, key, direction or
        channel) or MISNAMED (file name, header and manifest disagree).
        """
        self._source = source
        entries = read_directory(source)
        self._header = self._read_header(entries)
        self.header = documents.decode(PackageHeader, self._header)
        check_direction(self.header, pair_id=ring.pair_id, reader_pool=reader_pool, origin=origin, channel=channel)
        secret = ring.opening(self.header.key_id)
        if secret is None:
            raise Refused(Code.FOREIGN_PACKAGE, "the package is sealed with a secret that the key file lacks")
        if not is_position(self.header.position):
            raise Refused(Code.DAMAGED, "the package's header names no position")
        if not name.matches(self.header.position):
            raise Refused(Code.MISNAMED, "the package's name does not agree with its header")
        data = entries[1:-1]
        if entries[-1].name != MANIFEST or not all(_MEMBER_NAME.fullmatch(entry.name) for entry in data):
            raise Refused(Code.DAMAGED, "the package has members of unknown names")
        self._key = derive(
            ring, secret, self.header.package_id, channel=channel, origin=origin, target=reader_pool, kind="package"
        )
        self.manifest = self._read_manifest(entries[-1])
        if not agrees(self.manifest, self.header):
            raise Refused(Code.MISNAMED, _NOT_MANIFEST)
        listed = [(member.name, member.number) for member in self.manifest.members]
        if listed != [(entry.name, number) for number, entry in enumerate(data, 1)]:
            raise Refused(Code.DAMAGED, "the package's members are not those of its manifest")
        self._members = {
            member.name: (entry, member) for entry, member in zip(data, self.manifest.members, strict=True)
        }

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a data member for reading; several may be open at once.

        Length and SHA-256 are checked before the last bytes are given. Raises Refused(DAMAGED) or Refused(LIMIT), while
        reading too, and Refused(DAMAGED) for a name that the manifest does not list.
        """
        with io.BufferedReader(self._raw(name), FRAME_BYTES) as stream:
            yield stream

    def member(self, name: str) -> Member | None:
        """What the manifest says of a data member, None for a name that it does not list."""
        found = self._members.get(name)
        return found[1] if found else None

    def check(self, but: str = "") -> None:
        """Read every member to its end, before anything is applied; `but` is read by the caller. Raises as `open` does. Memory is flat."""
        buffer = bytearray(FRAME_BYTES)
        for name in self._members:
            if name != but:
                with self._raw(name) as stream:
                    while stream.readinto(buffer):
                        pass

    def authenticate(self, but: str = "") -> None:
        """Read every member to its end, and prove no more than that the partner sealed it, all of it, as this member of this package.

        Lengths and digests are proved by whoever reads it afterwards. Raises Refused(DAMAGED).
        """
        for name, (entry, member) in self._members.items():
            if name != but:
                frames = FrameReader(Section(self._source, entry), self._key, member.number, self._header)
                while frames.read():
                    pass

    def _raw(self, name: str) -> MemberReader:
        if name not in self._members:
            raise Refused(Code.DAMAGED, f"the package has no member {name[:64]!r}")
        entry, member = self._members[name]
        return MemberReader(self._unsealed(entry, member.number, member.raw_bytes), member)

    def _read_header(self, entries: tuple[Entry, ...]) -> bytes:
        if len(entries) < 2 or entries[0].name != HEADER:
            raise Refused(Code.DAMAGED, "the package has no header or no manifest")
        if entries[0].size > MAX_HEADER_BYTES:
            raise Refused(Code.LIMIT, "the package's header exceeds 4 KiB")
        data = Section(self._source, entries[0]).read()
        # One altered bit can make a newer format of any; nothing sealed speaks for the header before its format is believed.
        if zlib.crc32(data) != entries[0].crc:
            raise Refused(Code.DAMAGED, "the package's header does not have its checksum")
        # Before anything else: what follows may be different in a newer format.
        refuse_newer(data, "the package")
        return data

    def _read_manifest(self, entry: Entry) -> Manifest:
        with io.BufferedReader(self._unsealed(entry, 0, MAX_MANIFEST_BYTES), FRAME_BYTES) as stream:
            return documents.decode(Manifest, stream.read())

    def _unsealed(self, entry: Entry, number: int, max_raw_bytes: int) -> SealingReader:
        return SealingReader(Section(self._source, entry), self._key, number, self._header, max_raw_bytes)
