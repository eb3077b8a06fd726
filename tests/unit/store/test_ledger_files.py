"""Files as entries of the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.pipeline.resolve_file import beside_path
from poolpair.store.ledger_files import (
    FileVersion,
    file_entry,
    path_of,
    path_text,
    version_from,
    version_of,
    version_text,
)
from poolpair.store.values import CatalogueFile, LedgerNote

NOTE = LedgerNote(reign_id="1" * 32, why="written at both pools", now_utc="2026-01-01T00:00:00+00:00")
FILE = CatalogueFile(path=b"x", size=3, mtime_ns=7, inode=1, mode=0o640, sha256="1a" * 32, home="a", conference="c")
VERSION = FileVersion(size=3, mtime_ns=7, mode=0o640, sha256="1a" * 32)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"share/a b.pdf", "share/a b.pdf"),
        (b"100%.pdf", "100%25.pdf"),
        (b"\xc3\xa9\xff\x1b[m\n", "%C3%A9%FF%1B[m%0A"),
        (b'"quoted" \\ %41', '"quoted" \\ %2541'),
    ],
)
def test_a_path_is_printable_and_comes_back(path: bytes, text: str) -> None:
    """Whatever bytes it has."""
    assert path_text(path) == text
    assert path_of(file_entry(replace(FILE, path=path), None, NOTE)) == path


def test_versions_come_back() -> None:
    """One that is not there, too; and the same finding is the same entry."""
    made = file_entry(FILE, replace(FILE, present=False), NOTE)
    assert (version_from(made.theirs), version_from(made.ours)) == (VERSION, None)
    assert version_of(None) is None
    assert file_entry(FILE, None, replace(NOTE, now_utc="later")).entry_id == made.entry_id
    assert file_entry(replace(FILE, sha256="2b" * 32), None, NOTE).entry_id != made.entry_id


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"size":1}]', "7", version_text(VERSION).replace("3", '"3"', 1)])
def test_what_nobody_writes_is_refused(text: str) -> None:
    """The ledger comes from the partner, too."""
    with pytest.raises(PoolpairError) as caught:
        version_from(text)
    assert caught.value.code is Code.SCHEMA


@pytest.mark.parametrize(
    ("path", "beside"),
    [
        (b"a/report.pdf", b"a/report.theirs-1a1a1a1a.pdf"),
        (b"a.b/report", b"a.b/report.theirs-1a1a1a1a"),
        (b".hidden", b".hidden.theirs-1a1a1a1a"),
    ],
)
def test_theirs_has_a_name_beside_ours(path: bytes, beside: bytes) -> None:
    """In the same folder, with the same ending."""
    assert beside_path(path, VERSION) == beside
