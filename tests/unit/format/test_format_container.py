"""The ZIP around sealed members has one form."""

import io
import zlib
from dataclasses import replace

import pytest

from poolpair.errors import Code, Refused
from poolpair.format.container import (
    ContainerWriter,
    Entry,
    Section,
    _tail,
    read_directory,
    unwrap_single,
    wrap_single,
)

CONTENTS = {"header.json": b"{}", "rows/0001.0001": b"", "manifest": b"m" * 50}


def written() -> bytes:
    sink = io.BytesIO()
    writer = ContainerWriter(sink)
    for name, content in CONTENTS.items():
        writer.begin(name)
        writer.write(content)
        writer.end()
    writer.close()
    return sink.getvalue()


def built(entries: list[Entry], body: bytes, *, directory: bytes | None = None) -> bytes:
    """A container from parts that need not fit."""
    records = b"".join(entry.directory_record() for entry in entries) if directory is None else directory
    return body + records + _tail(len(entries), len(records), len(body))


WRITTEN = written()
ENTRIES = list(read_directory(io.BytesIO(WRITTEN)))
BODY = WRITTEN[: ENTRIES[-1].content_offset + ENTRIES[-1].size]


def test_entries_are_read_as_written() -> None:
    """Names, sizes and checksums come back in order, and sections give the content."""
    assert [entry.name for entry in ENTRIES] == list(CONTENTS)
    assert [entry.crc for entry in ENTRIES] == [zlib.crc32(content) for content in CONTENTS.values()]
    assert [Section(io.BytesIO(WRITTEN), entry).read() for entry in ENTRIES] == list(CONTENTS.values())
    assert built(ENTRIES, BODY) == WRITTEN


TWICE = [replace(entry, name="header.json") if entry.name == "manifest" else entry for entry in ENTRIES]


@pytest.mark.parametrize(
    ("entries", "body", "says"),
    [
        (ENTRIES[:-1], BODY, "does not cover"),
        (ENTRIES, BODY + b"gap", "does not cover"),
        ([replace(ENTRIES[0], size=3), *ENTRIES[1:]], BODY, "never write"),
        ([replace(ENTRIES[0], offset=1), *ENTRIES[1:]], BODY, "never write"),
        ([ENTRIES[0], ENTRIES[0]], BODY, "never write"),
        ([*ENTRIES[:-1], replace(ENTRIES[-1], size=2**64 - 1)], BODY, "beyond its place"),
        ([*ENTRIES[:-1], replace(ENTRIES[-1], size=51)], BODY, "beyond its place"),
        ([*ENTRIES[:-1], replace(ENTRIES[-1], name="a b")], BODY, "malformed"),
        ([*ENTRIES[:-1], replace(ENTRIES[-1], name="x" * 65)], BODY, "malformed"),
        (TWICE, BODY + b"...", "same name"),
    ],
)
def test_a_directory_that_does_not_fit_is_refused(entries: list[Entry], body: bytes, says: str) -> None:
    """Gaps, overlaps, lies about sizes and odd names are refused from the directory alone."""
    with pytest.raises(Refused, match=says) as caught:
        read_directory(io.BytesIO(built(entries, body)))
    assert caught.value.code is Code.DAMAGED


def test_a_name_stands_once() -> None:
    """Two members of one name are refused, though nothing else is wrong."""
    entries = [Entry("a", 0), Entry("a", Entry("a", 0).content_offset)]
    with pytest.raises(Refused, match="same name"):
        read_directory(io.BytesIO(built(entries, b"".join(entry.local_header() for entry in entries))))


def test_every_byte_of_the_directory_counts() -> None:
    """No field of a record or of the end may differ from what we write."""
    for at in range(len(BODY), len(WRITTEN)):
        changed = bytearray(WRITTEN)
        changed[at] ^= 0x20
        try:
            entries = read_directory(io.BytesIO(changed))
        except Refused:
            continue
        # A checksum or a name may be any; then the member's own header contradicts it.
        with pytest.raises(Refused, match="own header"):
            [Section(io.BytesIO(changed), entry) for entry in entries]


def test_records_are_counted() -> None:
    """More records announced than there are, and bytes after the last, are refused."""
    records = b"".join(entry.directory_record() for entry in ENTRIES)
    for directory in (records[:-1], records + b"PK", records[:40]):
        with pytest.raises(Refused):
            read_directory(io.BytesIO(built(ENTRIES, BODY, directory=directory)))


def test_a_wrapped_member_is_unwrapped_only_as_written() -> None:
    """The small ZIP of a cookie has one form too."""
    data = wrap_single("cookie", b"content")
    assert unwrap_single("cookie", data) == b"content"
    assert len(data) == 98 + 2 * len("cookie") + len("content")
    for at in range(len(data)):
        with pytest.raises(Refused):
            unwrap_single("cookie", data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
        with pytest.raises(Refused):
            unwrap_single("cookie", data[:at])
    with pytest.raises(Refused):
        unwrap_single("cooky", data)


def test_the_writer_keeps_its_order() -> None:
    """Members are begun, written and ended one by one."""
    writer = ContainerWriter(io.BytesIO())
    with pytest.raises(ValueError, match="member"):
        writer.write(b"")
    with pytest.raises(ValueError, match="member"):
        writer.end()
    with pytest.raises(ValueError, match="member"):
        writer.begin("a b")
    writer.begin("a")
    with pytest.raises(ValueError, match="member"):
        writer.begin("b")
    with pytest.raises(ValueError, match="member"):
        writer.close()
