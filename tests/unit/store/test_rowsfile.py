"""The container of COPY text: what was written is read back, and whatever no writer wrote is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.errors import Code, Refused
from poolpair.store.postgres.rowsfile import BLOCK_BYTES, MAGIC, RowsWriter, Section, copy_line, reading

SECTIONS: tuple[tuple[Section, list[bytes]], ...] = (
    (Section(name="k1", columns=("id",), types=("integer",)), [b"1\n", b"2\n"]),
    (Section(name="r1", columns=("id", 'a "b"'), types=("integer", "text")), [b"x" * (BLOCK_BYTES + 5), b"\n"]),
    (Section(name="k2", columns=(), types=()), []),
)


def written(path: Path) -> Path:
    """A file with three sections."""
    writer = RowsWriter(path)
    for section, chunks in SECTIONS:
        writer.section(section, chunks)
    writer.close()
    return path


def read(path: Path) -> list[tuple[Section, bytes]]:
    """Every section with its content."""
    found = []
    with reading(path) as reader:
        while (section := reader.section()) is not None:
            found.append((section, b"".join(reader.blocks())))
    return found


def test_sections_come_back_as_they_were(tmp_path: Path) -> None:
    """Names, columns, types and every byte of the content, whatever the sizes of the chunks were."""
    assert read(written(tmp_path / "rows")) == [(section, b"".join(chunks)) for section, chunks in SECTIONS]


def test_a_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    """A cut anywhere but between two sections is DAMAGED."""
    whole = written(tmp_path / "rows").read_bytes()
    first = len(MAGIC) + whole[len(MAGIC) :].index(b"\n") + 1
    for length in (0, 3, len(MAGIC) + 5, first, first + 2, first + 6, len(whole) - 6, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(Refused) as caught:
            read(tmp_path / "cut")
        assert caught.value.code is Code.DAMAGED


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"nonsense", b'{"name": 1, "columns": [], "types": []}', b'{"name": "k1"}', b"\xff"]
)
def test_a_section_that_says_not_what_it_is_is_refused(tmp_path: Path, line: bytes) -> None:
    """Its line must be JSON with name, columns and types, all of them texts."""
    (tmp_path / "rows").write_bytes(MAGIC + line + b"\n\0\0\0\0")
    with pytest.raises(Refused) as caught:
        read(tmp_path / "rows")
    assert caught.value.code is Code.DAMAGED


def test_our_own_lines_are_escaped() -> None:
    """Tabs, line feeds and backslashes in a conference's name do not make other lines; bytes are written in hexadecimal."""
    assert copy_line((b"\0a", 1, True, "a\tb\n\\c\r")) == b"\\\\x0061\t1\tt\ta\\tb\\n\\\\c\\r\n"
