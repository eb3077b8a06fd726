"""One read view of the database: the rows file of a package is cut from it, and digests are computed on it.

The rows file is a SQLite database of its own, attached for writing: per table n `k<n>` (the groups named) and `r<n>` (their
rows, in the origin's order), and `f` (files). Rows go from table to table inside SQLite; Python never sees them, except to
digest. The attached file is written without journal: a crash loses only a scratch file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from poolpair.model import BucketSet, Channel, TableDigests, TableShape
from poolpair.store.buckets import Tally, buckets_for
from poolpair.store.sqlite import spooling
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.catalogue import FILE_COLUMNS, catalogue_file
from poolpair.store.sqlite.connection import PREFIX, literal, quote, text
from poolpair.store.sqlite.rehearsing import copy_database
from poolpair.store.sqlite.serials import last_numbers
from poolpair.store.values import CatalogueFile, Cut, Exported, PackedFile

FILES_TABLE = (
    "CREATE TABLE pkg.f (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, mode INTEGER, sha256 TEXT, home TEXT, conference TEXT,"
    " present INTEGER, member INTEGER, offset INTEGER)"
)
NEVER = 1 << 62
"""Later than every token: no delta."""
SMALL_PAGE_BYTES, LARGE_PAGE_BYTES = 1024, 16384
MANY = 5_000
"""Log entries; the log may hold fewer, for numbers are not given twice while it is not empty."""
TREE = 0
"""The table number of the tree of files in digests and bucket sets."""


class SqliteSnapshot:
    """Implements `store.port.Snapshot` in one deferred transaction on a connection of its own."""

    def __init__(self, connection: sqlite3.Connection, bound: tuple[Bound, ...]) -> None:
        self._c = connection
        self._bound = bound

    def begin(self, rows: Path | None) -> None:
        """Attach the rows file to be written, if any (which SQLite does only outside a transaction), and fix the view."""
        if rows is not None:
            self._c.execute("ATTACH DATABASE ? AS pkg", (str(rows),))
            self._c.execute(f"PRAGMA pkg.page_size = {self._page_bytes()}")
            self._c.execute("PRAGMA pkg.journal_mode = OFF")
            self._c.execute("PRAGMA pkg.synchronous = OFF")
        self._c.execute("BEGIN")
        self._c.execute("SELECT value FROM main.poolpair_gen").fetchone()

    def _page_bytes(self) -> int:
        """Small where little waits, for every table takes two pages at least; large ones are read and written by fewer calls."""
        waiting = "SELECT coalesce(max(rowid) - min(rowid), 0) FROM "
        much = any(self._c.execute(f"{waiting}{b.log}").fetchone()[0] > MANY for b in self._bound)
        return LARGE_PAGE_BYTES if much else SMALL_PAGE_BYTES

    def token(self) -> int:
        """The newest token drawn at this view."""
        return int(self._c.execute("SELECT value - 1 FROM main.poolpair_gen").fetchone()[0])

    def copy_whole(self, target: str) -> None:
        """Copy everything that is seen to a new file."""
        copy_database(self._c, Path(target.removeprefix("sqlite:///")))

    def changed_files(self, cut: Cut) -> Iterator[CatalogueFile]:
        """Files of the delta, then of whole buckets; each once."""
        if cut.channel is not Channel.CONFERENCES:
            return
        since = cut.since if cut.since is not None else NEVER
        chosen = " OR ".join(["gen > ?", *(_in_buckets(buckets) for buckets in cut.buckets if buckets.table == TREE)])
        mine = "home IN (SELECT value FROM json_each(?)) AND deleting = 0"
        query = f"SELECT {FILE_COLUMNS} FROM main.poolpair_file WHERE {mine} AND ({chosen}) ORDER BY path"
        yield from map(catalogue_file, self._c.execute(query, (json.dumps(cut.served), since)))

    def list_files(self, files: Iterable[PackedFile]) -> None:
        """Fill the table of files."""
        self._c.execute(FILES_TABLE)
        self._c.executemany("INSERT INTO pkg.f VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_file_row, files))

    def export(self, cut: Cut, left_behind: AbstractSet[str]) -> Exported:
        """Fill the tables of rows and end the view."""
        left = json.dumps(sorted(left_behind))
        groups = rows = 0
        tables = []
        for b in self._of(cut.channel):
            more_groups, more_rows = self._export_table(b, cut, left)
            groups, rows = groups + more_groups, rows + more_rows
            tables.append(b.shape())
        sequences = last_numbers(self._c, self._of(cut.channel))
        self._c.execute("COMMIT")
        self._c.execute("DETACH DATABASE pkg")
        return Exported(groups=groups, rows=rows, tables=tuple(tables), sequences=sequences)

    def export_spool(self, number: int, channel: Channel) -> Exported:
        """Fill the tables with spooled groups and end the view."""
        groups = rows = 0
        tables = []  # of a whole application the channel of files has none
        for b in self._of(channel):
            more_groups, more_rows = spooling.export(self._c, b, number)
            groups, rows = groups + more_groups, rows + more_rows
            tables.append(b.shape())
        self._c.execute("COMMIT")
        self._c.execute("DETACH DATABASE pkg")
        return Exported(groups=groups, rows=rows, tables=tuple(tables), sequences={})

    def _export_table(self, b: Bound, cut: Cut, left: str) -> tuple[int, int]:
        served = json.dumps(cut.served)
        self._c.execute(f"CREATE TABLE pkg.k{b.n} ({b.key_types})")
        self._c.execute(f"CREATE TABLE pkg.r{b.n} ({b.column_list})")
        mine = f"{b.scope} AND {b.home} IN (SELECT value FROM json_each(?1))"
        mine += f" AND {b.carried(left)}"
        if cut.since is not None:
            # Read as it lies and sorted once: by the log's index every entry would be looked up at a place of its own.
            self._c.execute(
                f"INSERT INTO pkg.k{b.n} SELECT {b.key} FROM {b.log} NOT INDEXED WHERE poolpair_gen > ?2 AND {mine}"
                f" GROUP BY {b.key} ORDER BY {b.key}",
                (served, cut.since),
            )
        mine_too = [each for each in cut.buckets if each.table == b.n and each.home in cut.served]
        for buckets in mine_too:
            self._add_buckets(b, buckets, mine)
        source = f"FROM pkg.k{b.n} k CROSS JOIN {b.table} t ON {b.same_key('t', 'k')}"
        columns = ", ".join(f"t.{quote(name)}" for name in b.columns)
        sorted_already = b.key_is_place and len(mine_too) + (cut.since is not None) <= 1
        order = "k.rowid" if sorted_already else b.order
        self._c.execute(f"INSERT INTO pkg.r{b.n} SELECT {columns} {source} ORDER BY {order}")
        counted = self._c.execute(
            f"SELECT (SELECT count(*) FROM pkg.k{b.n}), (SELECT count(*) FROM pkg.r{b.n})"
        ).fetchone()
        return int(counted[0]), int(counted[1])

    def _add_buckets(self, b: Bound, buckets: BucketSet, mine: str) -> None:
        """Name the groups of whole buckets that the delta does not name already."""
        condition = f"{mine} AND {b.home} = ?2 AND {b.in_buckets(buckets)}"
        keys = f"SELECT DISTINCT {b.key} FROM {b.table} WHERE {condition} ORDER BY {b.key}"
        named = ", ".join(f"n.{quote(name)}" for name in b.spec.key)
        beside = f"({keys}) n LEFT JOIN pkg.k{b.n} have ON {b.same_key('have', 'n')}"
        self._c.execute(
            f"INSERT INTO pkg.k{b.n} SELECT {named} FROM {beside} WHERE have.rowid IS NULL",
            (json.dumps([buckets.home]), buckets.home),
        )

    def too_large(self, served: tuple[str, ...], limit_bytes: int) -> frozenset[str]:
        """Sum up the sizes in the catalogue."""
        query = (
            "SELECT conference FROM main.poolpair_file WHERE present = 1 AND home IN (SELECT value FROM json_each(?))"
            " GROUP BY conference HAVING sum(size) > ?"
        )
        return frozenset(
            text(conference) for (conference,) in self._c.execute(query, (json.dumps(served), limit_bytes))
        )

    def digests(
        self,
        channel: Channel,
        homes: tuple[str, ...],
        like: tuple[TableDigests, ...] | None,
        left_behind: AbstractSet[str],
        shapes: tuple[TableShape, ...] = (),
    ) -> tuple[TableDigests, ...]:
        """Digest every table of the channel, per home; the tree too, for meeting files."""
        found: list[TableDigests] = []
        left = json.dumps(sorted(left_behind))
        for home in homes:
            for b in self._of(channel):
                of = _buckets_like(like, home, b.n) or buckets_for(self._count(b))
                found.append(self._digest_table(b.in_order_of(shapes), home, of, left))
            if channel is Channel.CONFERENCES:
                count = self._c.execute("SELECT count(*) FROM main.poolpair_file").fetchone()[0]
                found.append(self._digest_files(home, _buckets_like(like, home, TREE) or buckets_for(count), left))
        return tuple(found)

    def changed_digests(self, cut: Cut) -> tuple[TableDigests, ...]:
        """Digest the groups of a delta."""
        assert cut.since is not None
        return tuple(
            digest_named(self._c, b, home, f"SELECT {b.key} FROM {b.log} WHERE poolpair_gen > {int(cut.since)}")
            for home in cut.served
            for b in self._of(cut.channel)
        )

    def definition(self) -> str:
        """The number of the schema."""
        return definition_of(self._c)

    def _count(self, b: Bound) -> int:
        return int(self._c.execute(f"SELECT count(*) FROM {b.table}").fetchone()[0])

    def _digest_table(self, b: Bound, home: str, of: int, left: str) -> TableDigests:
        """Sum live rows except parked groups, plus the parked rows: a parked group counts as if it were applied."""
        tally = Tally(home, b.n, of)
        parked = f"main.{PREFIX}parked_key_{b.n}"
        mine = f"{b.home} = ? AND {b.carried(left)}"
        live = f"{b.table} AS t WHERE {b.scope} AND {mine}"
        if self._c.execute(f"SELECT 1 FROM {parked} LIMIT 1").fetchone():
            live += f" AND NOT EXISTS (SELECT 1 FROM {parked} p WHERE {b.same_key('t', 'p')})"
            _add_rows(self._c, tally, b, f"main.{PREFIX}parked_row_{b.n} AS t WHERE {mine}", home)
        _add_rows(self._c, tally, b, live, home)
        return tally.digests()

    def _digest_files(self, home: str, of: int, left: str) -> TableDigests:
        tally = Tally(home, TREE, of)
        query = (
            "SELECT path, size, sha256 FROM main.poolpair_file WHERE home = ? AND present = 1"
            " AND conference NOT IN (SELECT value FROM json_each(?))"
        )
        for path, size, sha256 in self._c.execute(query, (home, left)):
            tally.add((path,), (path, size, sha256))
        return tally.digests()

    def unhomed(self, channel: Channel) -> int:
        """Count groups that no pattern gives a home."""
        query = "SELECT count(*) FROM (SELECT DISTINCT {0} FROM {1} WHERE {2} AND {3} IS NULL)"
        total = sum(
            self._c.execute(query.format(b.key, b.table, b.scope, b.home)).fetchone()[0] for b in self._of(channel)
        )
        if channel is Channel.CONFERENCES:
            total += self._c.execute(
                "SELECT count(*) FROM main.poolpair_file WHERE home = '' AND present = 1"
            ).fetchone()[0]
        return int(total)

    def _of(self, channel: Channel) -> tuple[Bound, ...]:
        return tuple(b for b in self._bound if b.spec.channel is channel)


def digest_named(connection: sqlite3.Connection, b: Bound, home: str, keys: str) -> TableDigests:
    """Digest the rows of one home in the groups that a query gives, in one bucket."""
    tally = Tally(home, b.n, 1)
    mine = f"SELECT DISTINCT {b.key} FROM ({keys}) WHERE {b.scope} AND {b.home} = ?"
    _add_rows(connection, tally, b, f"({mine}) k CROSS JOIN {b.table} t ON {b.same_key('t', 'k')}", home)
    return tally.digests()


def _add_rows(connection: sqlite3.Connection, tally: Tally, b: Bound, source: str, home: str) -> None:
    """Count the rows that `FROM source` gives, where the table is called t."""
    chosen = ", ".join(f"t.{quote(name)}" for name in b.columns)
    rows = connection.execute(f"SELECT {chosen} FROM {source}", (home,))
    tally.add_rows(rows, [b.columns.index(name) for name in b.spec.key])


def definition_of(connection: sqlite3.Connection) -> str:
    """Another text after any change of the schema."""
    return str(connection.execute("PRAGMA main.schema_version").fetchone()[0])


def _in_buckets(buckets: BucketSet) -> str:
    listed = literal(json.dumps(buckets.buckets))
    bucket = f"poolpair_bucket({buckets.of}, 'blob', path)"
    return f"(home = {literal(buckets.home)} AND present = 1 AND {bucket} IN (SELECT value FROM json_each({listed})))"


def _file_row(packed: PackedFile) -> tuple[object, ...]:
    f = packed.file
    return (
        f.path,
        f.size,
        f.mtime_ns,
        f.mode,
        f.sha256,
        f.home,
        f.conference,
        int(f.present),
        packed.member,
        packed.offset,
    )


def _buckets_like(like: tuple[TableDigests, ...] | None, home: str, table: int) -> int | None:
    return next((len(d.counts) for d in like or () if (d.home, d.table) == (home, table)), None)
