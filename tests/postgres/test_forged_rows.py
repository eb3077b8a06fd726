"""A rows file that the partner's key sealed is still believed in nothing: the server and we look at every part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres.rowsfile import RowsWriter, Section, reading
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import USERS, Copies, entry

Parts = list[tuple[Section, bytes]]


def _parts(copies: Copies) -> Parts:
    found = []
    with reading(copies.rows) as reader:
        while (section := reader.section()) is not None:
            found.append((section, b"".join(reader.blocks())))
    return found


def _swap(parts: Parts) -> Parts:
    return [parts[1], parts[0]]


def _value(parts: Parts) -> Parts:
    return [parts[0], (parts[1][0], b"f\tone\tx\n")]


def _no_mark(parts: Parts) -> Parts:
    return [parts[0], (parts[1][0], b"\\N\t1\tx\n")]


def _short(parts: Parts) -> Parts:
    return [parts[0], (parts[1][0], b"f\t1\n")]


def _not_text(parts: Parts) -> Parts:
    return [parts[0], (parts[1][0], b"f\t1\t\xff\xfe\n")]


def _twice(parts: Parts) -> Parts:
    return [parts[0], (replace(parts[1][0], columns=("poolpair_gone", "id", "id")), parts[1][1])]


def _more(parts: Parts) -> Parts:
    return [*parts, parts[1]]


def _less(parts: Parts) -> Parts:
    return parts[:1]


def _file(parts: Parts) -> Parts:
    return [(parts[0][0], b"\\\\x61\t-1\t0\t0\t\ta\tc\tf\t0\t0\n"), *parts[1:]]


@pytest.mark.parametrize("forge", [_swap, _value, _no_mark, _short, _not_text, _twice, _more, _less, _file])
def test_what_no_origin_writes_is_refused(make_copies: MakeCopies, forge: Callable[[Parts], Parts]) -> None:
    """Sections in another order, lacking or too many, values that are none, files that cannot be: DAMAGED, and nothing applied."""
    copies = make_copies("CREATE TABLE item (id integer PRIMARY KEY, value text)", entry("item", "id"))
    copies.write("INSERT INTO item VALUES (1, 'x')")
    copies.carry()
    writer_parts = forge(_parts(copies))
    writer = RowsWriter(copies.rows)
    for section, content in writer_parts:
        writer.section(section, [content])
    writer.close()
    with (
        pytest.raises(PoolpairError) as caught,
        copies.target.incoming(copies.rows, USERS, copies.origin.shapes(USERS)),
    ):
        pass
    assert caught.value.code is Code.DAMAGED
    copies.assert_equal(["item"])
    copies.write("INSERT INTO item VALUES (2, 'after')")
    copies.carry()
    copies.assert_equal(["item"])
