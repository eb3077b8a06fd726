"""The rows file of the memory store: one JSON document.

`{"files": [[path, size, ...], ...], "tables": [[[key, [row, ...]], ...], ...]}`; a group without rows is a tombstone, groups stand in
the origin's order of their first rows. None, int and str are themselves; `{"f": hex}` is a float, `{"b": hex}` a blob and
`{"t": hex}` a text that is not UTF-8. Raises Refused(DAMAGED) for anything else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.store.buckets import Text
from poolpair.store.memory.schema import Key, Row
from poolpair.store.values import CatalogueFile, PackedFile

Groups = dict[Key, tuple[Row, ...]]
INTEGER_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class RowsFile:
    """What a rows file holds: groups per table of the channel, and files."""

    tables: tuple[Groups, ...]
    files: tuple[PackedFile, ...]

    def write(self, path: Path) -> None:
        """Write it."""
        tables = [
            [[_packed(key), [_packed(row) for row in rows]] for key, rows in groups.items()] for groups in self.tables
        ]
        path.write_text(json.dumps({"files": [_file_line(file) for file in self.files], "tables": tables}))


def read_rows(path: Path) -> RowsFile:
    """Read what `RowsFile.write` wrote."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"the rows file is gone: {error.strerror}") from error
    try:
        found = json.loads(content)
        tables = tuple(
            {_unpacked(key): tuple(map(_unpacked, rows)) for key, rows in groups} for groups in found["tables"]
        )
        files = tuple(map(_file, found["files"]))
        if len({packed.file.path for packed in files}) < len(files):
            raise ValueError("a file is listed twice")
        return RowsFile(tables, files)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise Refused(Code.DAMAGED, "the rows file is not what this store writes") from error


def _packed(values: Row) -> list[object]:
    return [value if value is None or type(value) in {int, str} else _tagged(value) for value in values]


def _tagged(value: object) -> dict[str, str]:
    if isinstance(value, Text):
        return {"t": value.hex()}
    if isinstance(value, bytes):
        return {"b": value.hex()}
    if isinstance(value, float):
        return {"f": value.hex()}
    message = f"not a stored value: {type(value).__name__}"
    raise TypeError(message)


def _unpacked(values: list[object]) -> Row:
    return tuple(_untagged(value) if isinstance(value, dict) else _plain(value) for value in values)


def _plain(value: object) -> object:
    """A value that stands for itself. Raises ValueError for one that no store holds."""
    if isinstance(value, str):
        return _text(value)
    return None if value is None else _number(value, -INTEGER_MAX - 1)


def _number(value: object, low: int, high: int = INTEGER_MAX) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # a lone surrogate is no text
    return value


def _untagged(tagged: dict[str, str]) -> object:
    ((kind, body),) = tagged.items()
    match kind:
        case "t":
            return Text(bytes.fromhex(body))
        case "b":
            return bytes.fromhex(body)
        case "f":
            return float.fromhex(body)
        case _:
            raise ValueError(kind)


def _file_line(packed: PackedFile) -> list[object]:
    f = packed.file
    head = [f.path.hex(), f.size, f.mtime_ns, f.mode, f.sha256, f.home, f.conference, f.present]
    return [*head, packed.member, packed.offset]


def _file(line: list[object]) -> PackedFile:
    """Read one line. Raises ValueError or TypeError for values that no origin writes."""
    path, size, mtime_ns, mode, sha256, home, conference, present, member, offset = line
    if not isinstance(present, bool):
        raise TypeError(present)
    file = CatalogueFile(
        path=bytes.fromhex(_text(path)),
        size=_number(size, 0),
        mtime_ns=_number(mtime_ns, -INTEGER_MAX - 1),
        inode=0,
        mode=_number(mode, 0, 0o7777),
        sha256=_text(sha256),
        home=_text(home),
        conference=_text(conference),
        present=present,
    )
    if present and not re.fullmatch("[0-9a-f]{64}", file.sha256):
        raise ValueError(sha256)
    where = _number(member, 1) if present else _number(member, 0, 0)
    return PackedFile(file=file, member=where, offset=_number(offset, 0))
