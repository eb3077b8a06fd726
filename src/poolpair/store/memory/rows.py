"""The rows file of the memory store: one JSON document.

`{"files": [[path, size, ...], ...], "tables": [[[key, [row, ...]], ...], ...]}`; a group without rows is a tombstone, groups stand in
the origin's order of their first rows; values as in `row_text`. Raises Refused(DAMAGED) for anything else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.store.memory.schema import Key, Row
from poolpair.store.row_text import INTEGER_MAX, number_of, row_from_json, row_to_json, text_of
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
            [[row_to_json(key), [row_to_json(row) for row in rows]] for key, rows in groups.items()]
            for groups in self.tables
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
            {row_from_json(key): tuple(map(row_from_json, rows)) for key, rows in groups} for groups in found["tables"]
        )
        files = tuple(map(_file, found["files"]))
        if len({packed.file.path for packed in files}) < len(files):
            raise ValueError("a file is listed twice")
        return RowsFile(tables, files)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise Refused(Code.DAMAGED, "the rows file is not what this store writes") from error


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
        path=bytes.fromhex(text_of(path)),
        size=number_of(size, 0),
        mtime_ns=number_of(mtime_ns, -INTEGER_MAX - 1),
        inode=0,
        mode=number_of(mode, 0, 0o7777),
        sha256=text_of(sha256),
        home=text_of(home),
        conference=text_of(conference),
        present=present,
    )
    if present and not re.fullmatch("[0-9a-f]{64}", file.sha256):
        raise ValueError(sha256)
    where = number_of(member, 0) if present else number_of(member, 0, 0)
    return PackedFile(file=file, member=where, offset=number_of(offset, 0))
