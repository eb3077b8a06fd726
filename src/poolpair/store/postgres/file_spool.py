"""The spool of files on PostgreSQL: rows of `poolpair.spool_file`, by the number of their recovery."""

from __future__ import annotations

from collections.abc import Iterable

from poolpair.store.postgres.catalogue import FILE, FOREIGN_GEN, catalogue_file
from poolpair.store.postgres.database import SCHEMA, Database
from poolpair.store.values import CatalogueFile

_SPOOL = f"{SCHEMA}.spool_file"
_COLUMNS = "path, size, mtime_ns, mode, sha256, home, conference, present"


class PostgresFileSpool:
    """Implements `store.port_moves.FileSpool`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def keep(self, first: int, home: str, since: int | None, room_bytes: int) -> tuple[int, ...]:
        """Cut by the sum of the sizes before each file."""
        chosen = "gen >= 0 AND present" if since is None else f"gen > {int(since)} AND gen > 0"
        before = "sum(size) OVER (ORDER BY path ROWS UNBOUNDED PRECEDING) - size"
        self._db.run(
            f"INSERT INTO {_SPOOL} (number, {_COLUMNS})"
            f" SELECT $1::bigint - 1 + dense_rank() OVER (ORDER BY part), {_COLUMNS}"
            f" FROM (SELECT {_COLUMNS}, div({before}, $2::numeric) AS part FROM {FILE} WHERE home = $3 AND NOT deleting AND {chosen}) f",
            first,
            room_bytes,
            home,
        )
        if since is None:
            self._db.run(
                f"UPDATE {FILE} SET gen = {FOREIGN_GEN} WHERE gen = 0 AND present AND home = $1 AND NOT deleting", home
            )
        counted = f"SELECT count(*) FROM {_SPOOL} WHERE number >= $1 GROUP BY number ORDER BY number"
        return tuple(int(count) for (count,) in self._db.rows(counted, first))

    def add(self, number: int, files: Iterable[CatalogueFile]) -> None:
        """Insert them."""
        rows = [(number, f.path, f.size, f.mtime_ns, f.mode, f.sha256, f.home, f.conference, f.present) for f in files]
        fresh = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[1:])
        if rows:
            with self._db.connection.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {_SPOOL} (number, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
                    f" ON CONFLICT (number, path) DO UPDATE SET {fresh}",
                    rows,
                )

    def files(self, number: int) -> tuple[CatalogueFile, ...]:
        """Read them."""
        columns = "path, size, mtime_ns, 0::numeric, mode, 0::bigint, sha256, home, conference, present, 0"
        found = self._db.rows(f"SELECT {columns} FROM {_SPOOL} WHERE number = $1 ORDER BY path", number)
        return tuple(map(catalogue_file, found))

    def forget(self, number: int) -> None:
        """Let go of them."""
        self._db.run(f"DELETE FROM {_SPOOL} WHERE number = $1", number)

    def was_changed(self, path: bytes, since: int) -> bool:
        """Look at the stamp."""
        return self._db.row(f"SELECT 1 FROM {FILE} WHERE path = $1 AND gen > $2 AND gen > 0", path, since) is not None
