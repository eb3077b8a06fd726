r"""The rows file of a package between PostgreSQL pools: sections of COPY text, one after the other.

    poolpair rows 1\n
    { "name": "r1", "columns": [...], "types": [...] }\n     per section: a line of JSON,
    4 bytes length, that many bytes of COPY text ...         then blocks,
    4 bytes of zero                                          then the end.

The sections are `f` (files) and, for each table n of the channel in order, `r<n>`: the rows of the groups named, in the origin's
order; of a group that has none one line, with its key and `poolpair_gone`. COPY text is what every release of PostgreSQL reads,
UTF-8, with values as they are written under fixed settings. It goes from the server to the file and back in blocks: nothing here
looks into a row.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from poolpair.errors import Code, PoolpairError, Refused

MAGIC = b"poolpair rows 1\n"
BLOCK_BYTES = 1 << 18
HEADER_MAX_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What a section says of itself."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]


class RowsWriter:
    """Writes sections, one at a time."""

    def __init__(self, path: Path) -> None:
        try:
            self._sink: BinaryIO = path.open("wb")
        except OSError as error:
            raise PoolpairError(Code.SCRATCH, f"{path}: {error.strerror}") from error
        self._sink.write(MAGIC)

    def section(self, section: Section, chunks: Iterable[bytes | memoryview | bytearray]) -> None:
        """Write a whole section."""
        head = {"name": section.name, "columns": section.columns, "types": section.types}
        self._sink.write(json.dumps(head, ensure_ascii=True).encode() + b"\n")
        block = bytearray()
        for chunk in chunks:
            if not block and len(chunk) >= BLOCK_BYTES:
                self._sink.write(_LENGTH.pack(len(chunk)))
                self._sink.write(chunk)
                continue
            block += chunk
            if len(block) >= BLOCK_BYTES:
                self._sink.write(_LENGTH.pack(len(block)) + block)
                block = bytearray()
        if block:
            self._sink.write(_LENGTH.pack(len(block)) + block)
        self._sink.write(_LENGTH.pack(0))

    def close(self) -> None:
        """Finish the file; it is scratch, so it need not survive a crash."""
        self._sink.close()


class RowsReader:
    """Reads sections in the order of the file. Raises Refused(DAMAGED) for what no writer wrote."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        if source.read(len(MAGIC)) != MAGIC:
            raise Refused(Code.DAMAGED, "the rows file does not begin as one")

    def section(self) -> Section | None:
        """The next section, None at the end of the file."""
        line = self._source.readline(HEADER_MAX_BYTES)
        if not line:
            return None
        try:
            head = json.loads(line)
            found = Section(name=head["name"], columns=tuple(head["columns"]), types=tuple(head["types"]))
        except (ValueError, TypeError, KeyError) as error:
            raise Refused(Code.DAMAGED, "the rows file has a section that says not what it is") from error
        if not all(isinstance(text, str) for text in (found.name, *found.columns, *found.types)):
            raise Refused(Code.DAMAGED, "the rows file has a section that says not what it is")
        return found

    def skip(self) -> bool:
        """Pass over the blocks of the section just begun; gives whether there is any."""
        has_any = False
        while size := self._size():
            self._source.seek(size, os.SEEK_CUR)
            has_any = True
        return has_any

    def blocks(self) -> Iterator[bytes]:
        """The blocks of the section just begun."""
        while size := self._size():
            while size:
                piece = self._source.read(min(size, BLOCK_BYTES))
                if not piece:
                    raise Refused(Code.DAMAGED, "the rows file ends in the middle")
                size -= len(piece)
                yield piece

    def _size(self) -> int:
        raw = self._source.read(_LENGTH.size)
        if len(raw) != _LENGTH.size:
            raise Refused(Code.DAMAGED, "the rows file ends in the middle")
        return int(_LENGTH.unpack(raw)[0])


def sections(path: Path) -> dict[str, Section]:
    """What every section says of itself, without its lines."""
    found = {}
    with reading(path) as reader:
        while section := reader.section():
            found[section.name] = section
            reader.skip()
    return found


@contextmanager
def reading(path: Path) -> Iterator[RowsReader]:
    """Open a rows file."""
    with path.open("rb") as source:
        yield RowsReader(source)


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_line(values: Iterable[object]) -> bytes:
    """One line of COPY text, for our own list of files."""
    return ("\t".join(map(_copy_text, values)) + "\n").encode()


def _copy_text(value: object) -> str:
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value).translate(_ESCAPES)
