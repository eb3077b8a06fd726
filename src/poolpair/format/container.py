"""The ZIP around sealed members, as strict as it can be: one way to write it, and only that is read.

Any tool lists such a file, but it is not read with a general ZIP library: those accept overlapping members, two
directories, comments and a dozen more things that nobody needs and every reader understands differently. Here a
directory is parsed, written anew from what was understood, and compared byte by byte.

Stored members only, each local header and directory entry with a ZIP64 field, all times 1980-01-01, no gaps, no
comment. A cookie is the one exception: a single small member without ZIP64 fields (`wrap_single`), because one is sent
every few seconds.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from poolpair.errors import Code, Refused
from poolpair.format.frames import read_up_to

MAX_ENTRIES: Final = 100_002
"""100,000 data members, the header and the manifest."""
MAX_DIRECTORY_BYTES: Final = 16 * 1024 * 1024

_NAME: Final = re.compile(rb"[A-Za-z0-9._/-]{1,64}")
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_LOCAL64: Final = struct.Struct("<HHQQ")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_CENTRAL64: Final = struct.Struct("<HHQQQ")
_END64: Final = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END: Final = struct.Struct("<4sHHHHIIH")
_TAIL_BYTES: Final = _END64.size + _LOCATOR.size + _END.size

_NEW_YEAR_1980: Final = 0x21
_UNIX_ZIP64: Final = 3 << 8 | 45
_UNIX_ZIP10: Final = 3 << 8 | 10
_PRIVATE_FILE: Final = 0o100600 << 16
_FULL16: Final = 0xFFFF
_FULL32: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored member: its local header begins at `offset`, its content is `size` bytes."""

    name: str
    offset: int
    size: int = 0
    crc: int = 0

    def local_header(self) -> bytes:
        """The bytes before the content."""
        name = self.name.encode("ascii")
        return (
            _LOCAL.pack(b"PK\3\4", 45, 0, 0, 0, _NEW_YEAR_1980, self.crc, _FULL32, _FULL32, len(name), _LOCAL64.size)
            + name
            + _LOCAL64.pack(1, 16, self.size, self.size)
        )

    def directory_record(self) -> bytes:
        """The bytes in the central directory."""
        name = self.name.encode("ascii")
        fixed = _CENTRAL.pack(
            *(b"PK\1\2", _UNIX_ZIP64, 45, 0, 0, 0, _NEW_YEAR_1980, self.crc, _FULL32, _FULL32),
            *(len(name), _CENTRAL64.size, 0, 0, 0, _PRIVATE_FILE, _FULL32),
        )
        return fixed + name + _CENTRAL64.pack(1, 24, self.size, self.size, self.offset)

    @property
    def content_offset(self) -> int:
        """Where the content begins."""
        return self.offset + _LOCAL.size + len(self.name) + _LOCAL64.size


def _tail(count: int, size: int, offset: int) -> bytes:
    return (
        _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, count, count, size, offset)
        + _LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
        + _END.pack(b"PK\5\6", 0, 0, _FULL16, _FULL16, _FULL32, _FULL32, 0)
    )


class ContainerWriter:
    """Writes members one after the other into a seekable sink that stands at its beginning."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._entries: list[Entry] = []
        self._present: Entry | None = None
        self._position = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._position

    def begin(self, name: str) -> None:
        """Start a member. Raises ValueError while another is open or for a name that no reader takes."""
        if self._present is not None or not _NAME.fullmatch(name.encode()):
            raise ValueError(f"cannot start the member {name!r} here")
        self._present = Entry(name, self._position)
        self._put(self._present.local_header())

    def write(self, data: bytes) -> None:
        """Add content to the open member."""
        if self._present is None:
            raise ValueError("no member is open")
        self._present = replace(
            self._present, size=self._present.size + len(data), crc=zlib.crc32(data, self._present.crc)
        )
        self._put(data)

    def end(self) -> None:
        """Finish the open member: its header now learns size and checksum."""
        if self._present is None:
            raise ValueError("no member is open")
        self._entries.append(self._present)
        self._sink.seek(self._present.offset)
        _write_all(self._sink, self._present.local_header())
        self._sink.seek(self._position)
        self._present = None

    def close(self) -> None:
        """Write the directory; the sink stays open."""
        if self._present is not None:
            raise ValueError("a member is still open")
        directory = b"".join(entry.directory_record() for entry in self._entries)
        self._put(directory + _tail(len(self._entries), len(directory), self._position))

    def _put(self, data: bytes) -> None:
        _write_all(self._sink, data)
        self._position += len(data)


def _write_all(sink: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        # An unbuffered file may take only a part.
        view = view[sink.write(view) :]


def read_directory(source: BinaryIO) -> tuple[Entry, ...]:
    """Read the directory of a whole container. Content is not looked at.

    Raises Refused(DAMAGED) for anything that `ContainerWriter` cannot have written, Refused(LIMIT) for too many
    members. OSErrors of the source pass through.
    """
    total = source.seek(0, 2)
    if total < _TAIL_BYTES:
        raise Refused(Code.DAMAGED, "the file is too short to be a package")
    source.seek(total - _TAIL_BYTES)
    tail = read_up_to(source, _TAIL_BYTES)
    if len(tail) < _TAIL_BYTES:
        raise Refused(Code.DAMAGED, "the file shrank while it was read")
    count, size, offset = _END64.unpack_from(tail)[-3:]
    if offset + size + _TAIL_BYTES != total or tail != _tail(count, size, offset):
        raise Refused(Code.DAMAGED, "the file does not end as a package does")
    if count > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES:
        raise Refused(Code.LIMIT, "the package has too many members")
    source.seek(offset)
    return _parse_directory(read_up_to(source, size), count, offset)


def _parse_directory(directory: bytes, count: int, content_bytes: int) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    at = expected = 0
    for _ in range(count):
        fixed = directory[at : at + _CENTRAL.size]
        if len(fixed) < _CENTRAL.size:
            raise Refused(Code.DAMAGED, "the package's directory is cut short")
        fields = _CENTRAL.unpack(fixed)
        crc, name_end = fields[7], at + _CENTRAL.size + fields[10]
        name = directory[at + _CENTRAL.size : name_end]
        sizes = directory[name_end : name_end + _CENTRAL64.size]
        if not _NAME.fullmatch(name) or len(sizes) < _CENTRAL64.size:
            raise Refused(Code.DAMAGED, "the package's directory is malformed")
        size = _CENTRAL64.unpack(sizes)[2]
        entry = Entry(name.decode("ascii"), expected, size, crc)
        record = entry.directory_record()
        if directory[at : at + len(record)] != record:
            raise Refused(Code.DAMAGED, "the package's directory has an entry that we never write")
        entries.append(entry)
        at += len(record)
        expected = entry.content_offset + size
        if expected > content_bytes:
            raise Refused(Code.DAMAGED, "a member of the package reaches beyond its place")
    if at != len(directory) or expected != content_bytes:
        raise Refused(Code.DAMAGED, "the package's directory does not cover the file")
    if len({entry.name for entry in entries}) != len(entries):
        raise Refused(Code.DAMAGED, "two members of the package have the same name")
    return tuple(entries)


class Section:
    """The content of one member, readable in pieces; several may be read in turns, each keeps its own place."""

    def __init__(self, source: BinaryIO, entry: Entry) -> None:
        """Raises Refused(DAMAGED) if the member's own header differs from the directory."""
        self._source = source
        header = entry.local_header()
        source.seek(entry.offset)
        if read_up_to(source, len(header)) != header:
            raise Refused(Code.DAMAGED, "a member's own header differs from the directory")
        self._at = entry.content_offset
        self._left = entry.size

    def read(self, size: int = -1) -> bytes:
        """Give at most `size` bytes, nothing at the member's end (or where the file was cut meanwhile)."""
        size = self._left if size < 0 else min(size, self._left)
        if size == 0:
            return b""
        self._source.seek(self._at)
        data = self._source.read(size)
        self._at += len(data)
        self._left -= len(data)
        return data


def wrap_single(name: str, content: bytes) -> bytes:
    """Give the smallest ZIP with one stored member: 98 bytes and twice its name around the content."""
    encoded = name.encode("ascii")
    shared = (0, 0, 0, _NEW_YEAR_1980, zlib.crc32(content), len(content), len(content), len(encoded), 0)
    local = _LOCAL.pack(b"PK\3\4", 10, *shared) + encoded + content
    directory = _CENTRAL.pack(b"PK\1\2", _UNIX_ZIP10, 10, *shared, 0, 0, 0, _PRIVATE_FILE, 0) + encoded
    return local + directory + _END.pack(b"PK\5\6", 0, 0, 1, 1, len(directory), len(local), 0)


def unwrap_single(name: str, data: bytes) -> bytes:
    """Give the content of what `wrap_single` wrote. Raises Refused(DAMAGED) for anything else."""
    content = data[_LOCAL.size + len(name) : len(data) - _CENTRAL.size - len(name) - _END.size]
    if len(data) >= _FULL32 or wrap_single(name, content) != data:
        raise Refused(Code.DAMAGED, f"the file is not a ZIP with the one member {name!r}")
    return content
