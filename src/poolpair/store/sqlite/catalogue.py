"""The catalogue of files as rows of `poolpair_file`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from poolpair.store.sqlite.connection import text
from poolpair.store.tree import TreeFile
from poolpair.store.values import CatalogueFile, TreeDiff

FOREIGN_GEN = -1
"""The stamp of a file that somebody changed here although its home is not served here: never sent."""
DELETE_FILES = "UPDATE main.poolpair_file SET present = 0, deleting = 1, gen = min(gen, 0), placing = '' WHERE"
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


def delete_files(c: sqlite3.Connection, paths: Iterable[bytes]) -> None:
    """Mark files as deleted, which are still to leave the disk."""
    c.executemany(f"{DELETE_FILES} path = ?", ((path,) for path in paths))


def compare_tree(c: sqlite3.Connection, scan: Iterable[TreeFile]) -> TreeDiff:
    """Compare a scan with the catalogue, in a temporary table."""
    c.execute("DROP TABLE IF EXISTS temp.scan")
    c.execute("CREATE TABLE temp.scan (path BLOB PRIMARY KEY, size, mtime_ns, inode, mode, ctime_ns) WITHOUT ROWID")
    c.executemany(
        "INSERT INTO temp.scan VALUES (?, ?, ?, ?, ?, ?)",
        ((f.path, f.size, f.mtime_ns, f.inode, f.mode, f.ctime_ns) for f in scan),
    )
    changed = c.execute(
        "SELECT s.path, s.size, s.mtime_ns, s.inode, s.mode, s.ctime_ns"
        " FROM temp.scan s LEFT JOIN main.poolpair_file f ON f.path = s.path"
        " WHERE f.path IS NULL OR f.deleting = 0 AND (f.present = 0"
        " OR f.size <> s.size OR f.mtime_ns <> s.mtime_ns OR f.inode <> s.inode OR f.ctime_ns <> s.ctime_ns)"
        " ORDER BY s.path"
    ).fetchall()
    vanished = c.execute(
        "SELECT f.path FROM main.poolpair_file f WHERE f.present = 1 AND f.path NOT IN (SELECT path FROM temp.scan) ORDER BY f.path"
    ).fetchall()
    c.execute("DROP TABLE temp.scan")
    files = tuple(
        TreeFile(path=bytes(p), size=s, mtime_ns=t, inode=i, mode=m, ctime_ns=c) for p, s, t, i, m, c in changed
    )
    return TreeDiff(changed=files, vanished=tuple(bytes(path) for (path,) in vanished))
