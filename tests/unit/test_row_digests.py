"""How rows are written down for their digests: part of the format, so no byte of it may ever change."""

from __future__ import annotations

import pytest

from poolpair.store.buckets import Tally, Text, bucket_of, encode_values, row_hash

WRITTEN = [
    (None, b"n;"),
    (0, b"i1:0;"),
    (-(2**63), b"i20:-9223372036854775808;"),
    (2**53 + 1, b"i16:9007199254740993;"),
    (0.0, b"f8:0x0.0p+0;"),
    (-0.0, b"f8:0x0.0p+0;"),
    (1.0, b"f20:0x1.0000000000000p+0;"),
    (float("inf"), b"f3:inf;"),
    (Text(b""), b"t0:;"),
    (Text(b"1"), b"t1:1;"),
    (Text(b"a\0\xff"), b"t3:a\0\xff;"),
    ("\N{LATIN SMALL LETTER E WITH ACUTE}", b"t2:\xc3\xa9;"),
    (b"", b"b0:;"),
    (b"1", b"b1:1;"),
    (memoryview(b"1"), b"b1:1;"),
]


@pytest.mark.parametrize(("value", "written"), WRITTEN)
def test_a_value(value: object, written: bytes) -> None:
    """Storage class, length and content; -0.0 is 0.0, for no database tells them apart when it compares."""
    assert encode_values((value,)) == written


def test_no_two_values_are_written_alike() -> None:
    """But the one blob that comes in two shapes, and the zeros."""
    assert len({written for _, written in WRITTEN}) == len(WRITTEN) - 2


def test_hashes_are_those_of_every_release() -> None:
    """Bucket and hash of one row, as they were in the first release."""
    row = (Text(b"u@a"), Text(b"n"), 7, None, 0.5, b"\0")
    assert (bucket_of(row[:2], 4096), f"{row_hash(row):016x}") == (2436, "fab76d830d0275f0")


def test_many_rows_count_as_each_alone() -> None:
    """Wherever the key stands among the columns."""
    rows = [(n % 3, Text(b"k%d" % n), None, b"x" * n) for n in range(100)]
    one, many = Tally("a", 1, 16), Tally("a", 1, 16)
    for row in rows:
        one.add((row[1], row[0]), row)
    many.add_rows(rows, (1, 0))
    assert many.digests() == one.digests()
