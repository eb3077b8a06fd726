"""What becomes of a file that a returned pool brings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolpair.pipeline.file_fates import Fate, fate
from poolpair.store.values import CatalogueFile

FILE = CatalogueFile(path=b"x", size=1, mtime_ns=1, inode=1, mode=0o640, sha256="1" * 64, home="a", conference="c")
OTHER = replace(FILE, sha256="2" * 64)
GONE = replace(FILE, present=False, sha256="", size=0)


@pytest.mark.parametrize(
    ("brought", "here", "expected"),
    [
        (FILE, FILE, Fate.EQUAL),
        (FILE, replace(FILE, mtime_ns=7, mode=0, inode=9), Fate.EQUAL),
        (GONE, None, Fate.EQUAL),
        (GONE, GONE, Fate.EQUAL),
        (FILE, OTHER, Fate.MERGE),
        (FILE, GONE, Fate.MERGE),
        (FILE, None, Fate.MERGE),
        (GONE, FILE, Fate.MERGE),
    ],
)
def test_what_rests_unchanged_is_equal_or_merged(
    brought: CatalogueFile, here: CatalogueFile | None, expected: Fate
) -> None:
    """Changed in this reign, or on an older copy, what is not equal is in the ledger; while it is being written everything is."""
    assert fate(brought, here, rests=True, changed=False, merge=True) is expected
    in_ledger = expected if expected is Fate.EQUAL else Fate.LEDGER
    assert fate(brought, here, rests=True, changed=True, merge=True) is in_ledger
    assert fate(brought, here, rests=True, changed=False, merge=False) is in_ledger
    assert fate(brought, here, rests=False, changed=False, merge=True) is Fate.LEDGER
