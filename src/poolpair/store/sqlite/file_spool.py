"""The spool of files on SQLite: rows of `poolpair_spool_file`, by the number of their recovery."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from poolpair.store.sqlite.catalogue import FOREIGN_GEN, catalogue_file
from poolpair.store.values import CatalogueFile

TABLE = """
CREATE TABLE IF NOT EXISTS poolpair_spool_file (
  number INTEGER NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, mode INTEGER NOT NULL,
  sha256 TEXT NOT NULL, home TEXT NOT NULL, conference TEXT NOT NULL, present INTEGER NOT NULL, PRIMARY KEY (number, path)) WITHOUT ROWID
"""
_COLUMNS = "path, size, mtime_ns, mode, sha256, home, conference, present"


class SqliteFileSpool:
    """Implements `store.port_moves.FileSpool`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._c = connection

    def keep(self, first: int, home: str, since: int | None, room_bytes: int) -> tuple[int, ...]:
        """Cut by the sum of the sizes before each file."""
        chosen = "gen >= 0 AND present = 1" if since is None else "gen > :since"
        mine = f"home = :home AND deleting = 0 AND {chosen}"
        before = "sum(size) OVER (ORDER BY path ROWS UNBOUNDED PRECEDING) - size"
        values = {"first": first, "home": home, "since": since, "room": room_bytes}
        self._c.execute(
            f"INSERT INTO main.poolpair_spool_file (number, {_COLUMNS})"
            f" SELECT :first - 1 + dense_rank() OVER (ORDER BY part), {_COLUMNS}"
            f" FROM (SELECT {_COLUMNS}, ({before}) / :room AS part FROM main.poolpair_file WHERE {mine})",
            values,
        )
        if since is None:
            self._c.execute(
                f"UPDATE main.poolpair_file SET gen = {FOREIGN_GEN} WHERE gen = 0 AND present = 1 AND home = ? AND deleting = 0",
                (home,),
            )
        counted = "SELECT count(*) FROM main.poolpair_spool_file WHERE number >= ? GROUP BY number ORDER BY number"
        return tuple(int(count) for (count,) in self._c.execute(counted, (first,)))

    def add(self, number: int, files: Iterable[CatalogueFile]) -> None:
        """Insert them."""
        self._c.executemany(
            f"INSERT OR REPLACE INTO main.poolpair_spool_file (number, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (number, f.path, f.size, f.mtime_ns, f.mode, f.sha256, f.home, f.conference, int(f.present))
                for f in files
            ),
        )

    def files(self, number: int) -> tuple[CatalogueFile, ...]:
        """Read them."""
        columns = "path, size, mtime_ns, 0, mode, 0, sha256, home, conference, present, 0"
        query = f"SELECT {columns} FROM main.poolpair_spool_file WHERE number = ? ORDER BY path"
        return tuple(map(catalogue_file, self._c.execute(query, (number,))))

    def forget(self, number: int) -> None:
        """Let go of them."""
        self._c.execute("DELETE FROM main.poolpair_spool_file WHERE number = ?", (number,))

    def was_changed(self, path: bytes, since: int) -> bool:
        """Look at the stamp."""
        query = "SELECT 1 FROM main.poolpair_file WHERE path = ? AND gen > ?"
        return self._c.execute(query, (path, since)).fetchone() is not None
