"""The rows file of the memory store: one JSON document.

`{"files": [[path, size, ...], ...], "tables": [[[key, [row, ...]], ...], ...]}`; a group without rows is a tombstone, groups stand in
the origin's order of their first rows. None, int and str are themselves; `{"f": hex}` is a float, `{"b": hex}` a blob and
`{"t": hex}` a text that is not UTF-8. Raises Refused(DAMAGED) for anything else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from poolpair.errors import Code, Refused
from poolpair.store.buckets import Text
from poolpair.store.memory.schema import Key, Row
from poolpair.store.values import CatalogueFile, PackedFile

Groups = dict[Key, tuple[Row, ...]]


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
        found = json.loads(path.read_bytes())
        tables = tuple(
            {_unpacked(key): tuple(map(_unpacked, rows)) for key, rows in groups} for groups in found["tables"]
        )
        return RowsFile(tables, tuple(map(_file, found["files"])))
    except (ValueError, TypeError, KeyError, IndexError) as error:
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
    return tuple(_untagged(value) if isinstance(value, dict) else value for value in values)


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


def _file(line: list[str | int]) -> PackedFile:
    path, size, mtime_ns, mode, sha256, home, conference, present, member, offset = line
    file = CatalogueFile(
        path=bytes.fromhex(str(path)),
        size=int(size),
        mtime_ns=int(mtime_ns),
        inode=0,
        mode=int(mode),
        sha256=str(sha256),
        home=str(home),
        conference=str(conference),
        present=bool(present),
    )
    return PackedFile(file=file, member=int(member), offset=int(offset))
