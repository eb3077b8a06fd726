"""The rows file of the memory store: what no origin writes is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poolpair.errors import Code, Refused
from poolpair.model import Channel
from poolpair.store.memory.disk import MemoryDisk
from poolpair.store.memory.incoming import open_rows
from poolpair.store.memory.rows import read_rows
from poolpair.store.memory.schema import MemorySchema, MemoryTable

LINE: list[object] = ["78", 1, 2, 0o640, "0" * 64, "a", "one", True, 1, 0]
SHAPE = MemoryTable(number=1, name="t", key=("host",), columns=("host", "value"), home_key=lambda key: str(key[0]))
SCHEMA = MemorySchema((SHAPE,), (("a.example", "a"),))


def with_file(place: int, value: object) -> str:
    """A rows file whose one file has another value at a place."""
    return json.dumps({"files": [[*LINE[:place], value, *LINE[place + 1 :]]], "tables": []})


WRONG = [
    *[(0, value) for value in ("zz", 7, None)],
    *[(place, value) for place in (1, 2, 3, 8, 9) for value in ("1", None, 1.5, True, 1 << 63)],
    *[(place, -1) for place in (1, 3, 8, 9)],
    *[(4, value) for value in (None, "", "F" * 64, 5)],
    *[(place, value) for place in (5, 6) for value in (None, 5, "\ud800")],
    *[(7, value) for value in (1, 0, None, "yes", False)],
]


@pytest.mark.parametrize(("place", "value"), WRONG)
def test_a_file_with_values_that_cannot_be_is_refused(tmp_path: Path, place: int, value: object) -> None:
    """A wrong type or range anywhere in the list of files is DAMAGED."""
    path = tmp_path / "x.rows"
    path.write_text(with_file(5, "a"))
    assert read_rows(path).files
    path.write_text(with_file(place, value))
    with pytest.raises(Refused) as caught:
        read_rows(path)
    assert caught.value.code is Code.DAMAGED


@pytest.mark.parametrize(
    "tables",
    [
        '[[[["a.example"], [["a.example"]]]]]',
        '[[[["a.example"], [["a.example", 1, 2]]]]]',
        '[[[["a.example"], [["other", 1]]]]]',
        '[[[["a.example", 1], []]]]',
        "[[[[], []]]]",
        '[[[["a.example"], [["a.example", true]]]]]',
        '[[[["a.example"], [["a.example", 1.5]]]]]',
        '[[[["a.example"], [["a.example", NaN]]]]]',
        '[[[["a.example"], [["a.example", 9223372036854775808]]]]]',
        '[[[["a.example"], [["a.example", {"f": "0x1p99999"}]]]]]',
        '[[[["a.example"], [["a.example", {"z": ""}]]]]]',
        '[[[["a.example"], [["a.example", ["x"]]]]]]',
        '[[[["\\ud800"], []]]]',
        "[]",
        "[" * 100_000,
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path: Path, tables: str) -> None:
    """Rows of a wrong length, in a wrong group, or with values that no store holds are DAMAGED."""
    path = tmp_path / "x.rows"
    with_ledger = f"{tables[:-1]}, []]" if tables.strip("[]") else tables
    path.write_text(f'{{"files": [], "tables": {with_ledger}}}')
    shapes = tuple(table.shape() for table in SCHEMA.of(Channel.USERS))
    with pytest.raises(Refused) as caught:
        open_rows(path, MemoryDisk(SCHEMA, location="x"), Channel.USERS, shapes)
    assert caught.value.code is Code.DAMAGED
