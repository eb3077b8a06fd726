"""The catalogue of files as rows of `poolpair_file`."""

from __future__ import annotations

from poolpair.store.sqlite.connection import text
from poolpair.store.values import CatalogueFile

FOREIGN_GEN = -1
"""The stamp of a file that somebody changed here although its home is not served here: never sent."""
FILE_COLUMNS = "path, size, mtime_ns, inode, mode, ctime_ns, sha256, home, conference, present, gen"


def catalogue_file(row: tuple[object, ...]) -> CatalogueFile:
    """Read one row of FILE_COLUMNS."""
    path, size, mtime_ns, inode, mode, ctime_ns, sha256, home, conference, present, gen = row
    assert isinstance(path, bytes)
    assert isinstance(size, int)
    assert isinstance(mtime_ns, int)
    assert isinstance(inode, int)
    assert isinstance(mode, int)
    assert isinstance(ctime_ns, int)
    return CatalogueFile(
        path=bytes(path),
        size=size,
        mtime_ns=mtime_ns,
        inode=inode,
        mode=mode,
        ctime_ns=ctime_ns,
        sha256=text(sha256),
        home=text(home),
        conference=text(conference),
        present=bool(present),
        foreign=gen == FOREIGN_GEN,
    )
