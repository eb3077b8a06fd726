"""The catalogue of files in PostgreSQL. Only our own transactions write it, one at a time: there a plain number is a safe stamp."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poolpair.model import BucketSet
from poolpair.store.postgres.bound import bucket_of
from poolpair.store.postgres.database import SCHEMA, Database, literal
from poolpair.store.postgres.documents import TOKEN
from poolpair.store.tree import TreeFile
from poolpair.store.values import CatalogueFile, TreeDiff

FILE = f"{SCHEMA}.file"
DELETE_FILES = f"UPDATE {FILE} SET present = false, deleting = true, gen = least(gen, 0), placed_digest = '' WHERE"
"""Marks files as deleted, which are still to leave the disk."""
FOREIGN_GEN = -1
"""The stamp of a file that somebody changed here although its home is not served here: never sent."""
STAMP = f"(SELECT coalesce(max(number), 0) + 1 FROM {TOKEN})"
COLUMNS = "path, size, mtime_ns, inode, mode, ctime_ns, sha256, home, conference, present, gen"
TREE = 0
"""The table number of the tree of files in digests and bucket sets."""


def catalogue_file(row: tuple[object, ...]) -> CatalogueFile:
    """Read one row of COLUMNS."""
    path, size, mtime_ns, inode, mode, ctime_ns, sha256, home, conference, present, gen = row
    assert isinstance(path, bytes)
    assert isinstance(size, int)
    assert isinstance(mtime_ns, int)
    assert isinstance(mode, int)
    assert isinstance(ctime_ns, int)
    return CatalogueFile(
        path=path,
        size=size,
        mtime_ns=mtime_ns,
        inode=int(str(inode)),
        mode=mode,
        ctime_ns=ctime_ns,
        sha256=str(sha256),
        home=str(home),
        conference=str(conference),
        present=bool(present),
        foreign=gen == FOREIGN_GEN,
    )


def in_buckets(buckets: BucketSet) -> str:
    """The condition for files of whole buckets."""
    numbers = ", ".join(map(str, buckets.buckets)) or "NULL"
    return f"(home = {literal(buckets.home)} AND present AND {bucket_of('path', str(buckets.of))} IN ({numbers}))"


def note_files(database: Database, files: Iterable[CatalogueFile], *, log: bool) -> None:
    """Write entries; logged ones get the present stamp, an absence that is not logged leaves nothing behind."""
    gone, noted = [], []
    stamp = database.number(f"SELECT {STAMP}") if log else 0
    for f in files:
        if f.present or log:
            on_disk = (f.path, f.size, f.mtime_ns, f.inode, f.mode, f.ctime_ns)
            gen = stamp if log else FOREIGN_GEN if f.foreign else 0
            noted.append((*on_disk, f.sha256, f.home, f.conference, f.present, gen))
        else:
            gone.append((f.path,))
    fresh = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[1:])
    with database.connection.cursor() as cursor:
        if noted:
            cursor.executemany(
                f"INSERT INTO {FILE} ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
                f" ON CONFLICT (path) DO UPDATE SET {fresh}, placed_digest = '', deleting = false",
                noted,
            )
        if gone:
            cursor.executemany(f"DELETE FROM {FILE} WHERE path = $1", gone)


def touch_files(database: Database, files: Iterable[CatalogueFile]) -> None:
    """Record new size, time and inode; `gen` stays, so what was logged stays logged."""
    rows = [(f.size, f.mtime_ns, f.inode, f.mode, f.ctime_ns, f.sha256, f.path) for f in files]
    if rows:
        with database.connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {FILE} SET size = $1, mtime_ns = $2, inode = $3, mode = $4, ctime_ns = $5, sha256 = $6,"
                " present = true, placed_digest = '', deleting = false WHERE path = $7",
                rows,
            )


def doubt_files(database: Database, homes: tuple[str, ...] | None) -> None:
    """Forget the inodes (times travel) of files, of some homes or of all."""
    chosen = "$1::text[] IS NULL OR home = ANY ($1::text[])"
    database.run(f"UPDATE {FILE} SET inode = -1 WHERE present AND ({chosen})", None if homes is None else list(homes))


def prune_files(database: Database, token: int) -> int:
    """Forget acknowledged changes; deleted files leave the catalogue with their entry."""
    logged = f"gen > 0 AND gen <= {int(token)}"
    gone = database.changed(f"DELETE FROM {FILE} WHERE {logged} AND NOT present AND NOT deleting")
    return gone + database.changed(f"UPDATE {FILE} SET gen = 0 WHERE {logged}")


def compare_tree(database: Database, scan: Iterable[TreeFile]) -> TreeDiff:
    """Compare a scan with the catalogue, in a temporary table."""
    with database.transaction():
        database.run(
            "CREATE TEMPORARY TABLE scan (path bytea PRIMARY KEY, size bigint, mtime_ns bigint, inode numeric, mode integer,"
            " ctime_ns bigint) ON COMMIT DROP"
        )
        with database.connection.cursor() as cursor, cursor.copy("COPY pg_temp.scan FROM STDIN") as copy:
            for f in scan:
                copy.write_row((f.path, f.size, f.mtime_ns, f.inode, f.mode, f.ctime_ns))
        changed = database.rows(
            f"SELECT s.path, s.size, s.mtime_ns, s.inode, s.mode, s.ctime_ns FROM pg_temp.scan s LEFT JOIN {FILE} f ON f.path = s.path"
            " WHERE f.path IS NULL OR NOT f.deleting AND (NOT f.present"
            " OR f.size <> s.size OR f.mtime_ns <> s.mtime_ns OR f.inode <> s.inode OR f.ctime_ns <> s.ctime_ns) ORDER BY s.path"
        )
        vanished = database.rows(
            f"SELECT f.path FROM {FILE} f WHERE f.present AND NOT EXISTS (SELECT 1 FROM pg_temp.scan s WHERE s.path = f.path)"
            " ORDER BY f.path"
        )
    files = tuple(
        TreeFile(path=p, size=s, mtime_ns=t, inode=int(i), mode=m, ctime_ns=c) for p, s, t, i, m, c in changed
    )
    return TreeDiff(changed=files, vanished=tuple(path for (path,) in vanished))


def stream(database: Database, text: str, *parameters: object) -> Iterator[tuple[object, ...]]:
    """Rows of a long answer, some at a time; inside a transaction."""
    with database.connection.cursor("poolpair_rows") as cursor:
        cursor.itersize = 1000
        cursor.execute(text, parameters or None)
        yield from cursor


UNSOUND_FILE = """
SELECT 1 FROM pg_temp.f WHERE NOT (size >= 0 AND mode BETWEEN 0 AND 4095 AND file_offset >= 0
  AND CASE WHEN present THEN member >= 0 AND sha256 ~ '^[0-9a-f]{64}$' ELSE member = 0 END)
UNION ALL SELECT 1 FROM pg_temp.f GROUP BY path HAVING count(*) > 1
LIMIT 1
"""
"""Finds a line of the list of files that no origin writes."""


def pending_deletions(database: Database) -> tuple[CatalogueFile, ...]:
    """Deletions applied to the catalogue but perhaps not on disk."""
    return tuple(map(catalogue_file, database.rows(f"SELECT {COLUMNS} FROM {FILE} WHERE deleting ORDER BY path")))


def finish_deletions(database: Database, paths: list[bytes]) -> None:
    """Drop these from the catalogue, once they are gone."""
    database.run(f"DELETE FROM {FILE} WHERE path = ANY ($1::bytea[]) AND deleting", paths)
