"""One read view of the database: the rows file of a package is cut from it, and digests are computed on it.

The view is a REPEATABLE READ transaction. A delta is the keys logged by transactions that the last token did not see and this view
does, with what the tables hold of them now: present = written, absent = deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from psycopg.rows import TupleRow

from poolpair.model import Channel, TableDigests, TableShape
from poolpair.store.buckets import buckets_for
from poolpair.store.postgres.bound import GONE, SCOPE_OF_ALL, Bound, listed
from poolpair.store.postgres.capturing import version
from poolpair.store.postgres.catalogue import COLUMNS, FILE, TREE, catalogue_file, in_buckets, stream
from poolpair.store.postgres.copying import CopyOut
from poolpair.store.postgres.database import Database, answers_of, quote, texts
from poolpair.store.postgres.digests import digest_files, digest_named, digest_table
from poolpair.store.postgres.documents import newest_token
from poolpair.store.postgres.naming import Names
from poolpair.store.postgres.rehearsing import copy_database
from poolpair.store.postgres.rowsfile import RowsWriter, Section, copy_line
from poolpair.store.postgres.serials import last_numbers
from poolpair.store.postgres.spooling import spooled, spooled_lines
from poolpair.store.values import CatalogueFile, Cut, Exported, PackedFile

FILE_TYPES = {
    "path": "bytea",
    "size": "bigint",
    "mtime_ns": "bigint",
    "mode": "integer",
    "sha256": "text",
    "home": "text",
    "conference": "text",
    "present": "boolean",
    "member": "bigint",
    "file_offset": "bigint",
}
FILES = Section(name="f", columns=tuple(FILE_TYPES), types=tuple(FILE_TYPES.values()))
VIEW = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL enable_sort = off"
FIX = "SELECT 1"
"""Any query fixes the view."""
"""Groups are told apart by hashing: to sort texts in the database's own order costs two to three times as much."""


class PostgresSnapshot:
    """Implements `store.port.Snapshot`; the store begins and ends the transaction."""

    def __init__(self, database: Database, bound: tuple[Bound, ...], seen: Callable[[int], str]) -> None:
        self._db = database
        self._bound = bound
        self._writer: RowsWriter | None = None
        self._names = Names(database, seen)

    def begin(self, rows: Path | None, first: str) -> list[TupleRow]:
        """Open the rows file to be written, if any, and fix the view, by what is asked `first`, whose answer is given."""
        *_, answer = answers_of(self._db.run(f"{VIEW}; {first or FIX}"))
        if rows is not None:
            self._writer = RowsWriter(rows)
        return answer if first else []

    def end(self) -> None:
        """Let go of the rows file."""
        if self._writer is not None:
            self._writer.close()

    def commit(self) -> None:
        """End the view, and empty the temporary tables."""
        self._db.send("; ".join(("COMMIT", *self._db.scratch.emptying(self._names.tables))))

    def token(self) -> int:
        """The newest token drawn at this view."""
        return newest_token(self._db)

    def copy_whole(self, target: str) -> None:
        """Copy everything that is seen to an empty database."""
        copy_database(self._db, target)

    def changed_files(self, cut: Cut) -> Iterator[CatalogueFile]:
        """Files of the delta, then of whole buckets; each once."""
        if cut.channel is not Channel.CONFERENCES:
            return
        delta = "false" if cut.since is None else f"(gen > 0 AND gen > {int(cut.since)})"
        chosen = " OR ".join([delta, *(in_buckets(buckets) for buckets in cut.buckets if buckets.table == TREE)])
        mine = "home = ANY ($1::text[]) AND NOT deleting"
        query = f"SELECT {COLUMNS} FROM {FILE} WHERE {mine} AND ({chosen}) ORDER BY path"
        yield from map(catalogue_file, stream(self._db, query, list(cut.served)))

    def list_files(self, files: Iterable[PackedFile]) -> None:
        """Write the section of files."""
        assert self._writer is not None
        self._writer.section(FILES, map(_file_line, files))

    def export(self, cut: Cut, left_behind: AbstractSet[str]) -> Exported:
        """Write the sections of every table."""
        assert self._writer is not None
        groups = rows = 0
        tables = []
        if not cut.slices:
            self._names.name_changed(self._of(cut.channel), cut, sorted(left_behind))
        for b in self._of(cut.channel):
            more_groups, more_rows = (
                self._export_slices(self._writer, b, cut)
                if cut.slices
                else self._export_table(self._writer, b, cut, sorted(left_behind))
            )
            groups, rows = groups + more_groups, rows + more_rows
            tables.append(b.shape())
        self._writer.close()
        sequences = last_numbers(self._db, self._of(cut.channel))
        return Exported(groups=groups, rows=rows, tables=tuple(tables), sequences=sequences)

    def export_spool(self, number: int, channel: Channel) -> Exported:
        """Write the sections of every table from what is spooled."""
        assert self._writer is not None
        groups = rows = 0
        tables = []
        for b in self._of(channel):
            groups += spooled(self._db, b, number)
            rows += self._copy(self._writer, b, spooled_lines(b, number))
            tables.append(b.shape())
        self._writer.close()
        return Exported(groups=groups, rows=rows, tables=tuple(tables), sequences={})

    def _export_table(self, writer: RowsWriter, b: Bound, cut: Cut, left: list[str]) -> tuple[int, int]:
        named = self._names.of(b, cut, left)
        if not named:
            return 0, self._copy(writer, b, None)
        self._names.plan_for(named)
        standing = b.same_key("t", "k") + ("" if b.scope == SCOPE_OF_ALL else f" AND {b.scoped('t')}")
        texts = ", ".join(
            [
                "t.tableoid IS NULL",
                *(_written_key(b, name) for name in b.spec.key),
                *(f"t.{quote(name)}" for name in b.columns if name not in b.spec.key),
            ]
        )
        rows = f"SELECT {texts} FROM pg_temp.k{b.n} k LEFT JOIN {b.table} t ON {standing} {b.order}"
        return named, self._copy(writer, b, rows)

    def _copy(self, writer: RowsWriter, b: Bound, lines: str | None) -> int:
        """Write the section of a table; gives how many rows that were. The query, if any, gives GONE, the key, and all other columns."""
        columns = (GONE, *b.spec.key, *(name for name in b.columns if name not in b.spec.key))
        types = ("boolean", *(b.type_of(name).told for name in columns[1:]))
        section = Section(name=f"r{b.n}", columns=columns, types=types)
        if lines is None:
            writer.section(section, ())
            return 0
        copied = CopyOut(self._db.connection, lines)
        writer.section(section, copied)
        return copied.rows - copied.marked

    def _export_slices(self, writer: RowsWriter, b: Bound, cut: Cut) -> tuple[int, int]:
        """Rows as they lie, without a look at what changed."""
        names = (*b.spec.key, *(name for name in b.columns if name not in b.spec.key))
        parts = [
            f"t.ctid >= '({each.low},0)' AND t.ctid < '({each.high},0)'" if each.high else "true"
            for each in cut.slices
            if each.table == b.n
        ]
        mine = f"{b.scope} AND {b.home} = ANY ({texts(cut.served)})"
        source = f"SELECT *, tableoid, ctid FROM {b.table} t WHERE ({' OR '.join(parts)}) AND {mine}"
        if not parts:
            return 0, self._copy(writer, b, None)
        if not b.is_plain:
            rows = self._copy(writer, b, f"SELECT false, {listed(names, 't')} FROM ({source}) t {b.order}")
            return rows, rows
        copied = CopyOut(self._db.connection, f"SELECT {listed(names, 't')} FROM ({source}) t {b.order}")
        types = tuple(b.type_of(name).told for name in names)
        writer.section(Section(name=f"r{b.n}", columns=names, types=types), copied)
        return copied.rows, copied.rows

    def too_large(self, served: tuple[str, ...], limit_bytes: int) -> frozenset[str]:
        """Sum up the sizes in the catalogue."""
        summed = (
            f"SELECT conference FROM {FILE} WHERE present AND home = ANY ($1::text[])"
            " GROUP BY conference HAVING sum(size) > $2::bigint"
        )
        return frozenset(str(found) for (found,) in self._db.rows(summed, list(served), limit_bytes))

    def digests(
        self,
        channel: Channel,
        homes: tuple[str, ...],
        like: tuple[TableDigests, ...] | None,
        left_behind: AbstractSet[str],
        shapes: tuple[TableShape, ...] = (),
    ) -> tuple[TableDigests, ...]:
        """Digest every table of the channel, per home; the tree too, for meeting files."""
        found, left = [], sorted(left_behind)
        for home in homes:
            for b in self._of(channel):
                of = _buckets_like(like, home, b.n) or buckets_for(self._count(b.table))
                found.append(digest_table(self._db, b.in_order_of(shapes), home, of, left))
            if channel is Channel.CONFERENCES:
                of = _buckets_like(like, home, TREE) or buckets_for(self._count(FILE))
                found.append(digest_files(self._db, home, of, left))
        return tuple(found)

    def changed_digests(self, cut: Cut) -> tuple[TableDigests, ...]:
        """Digest the groups of a delta."""
        found = []
        for b in self._of(cut.channel):
            self._names.plan_for(self._names.of(b, cut, []))
            found += [digest_named(self._db, b, home, f"pg_temp.k{b.n}") for home in cut.served]
        return tuple(found)

    def definition(self) -> str:
        """The catalogue rows of tracked tables and their triggers."""
        return version(self._db, self._bound)[0]

    def _count(self, table: str) -> int:
        return self._db.number(f"SELECT count(*) FROM {table}")

    def unhomed(self, channel: Channel) -> int:
        """Count groups that no pattern gives a home."""
        total = 0
        for b in self._of(channel):
            homeless = f"SELECT DISTINCT {b.key} FROM {b.table} WHERE {b.scope} AND {b.home} IS NULL"
            total += self._db.number(f"SELECT count(*) FROM ({homeless}) homeless")
        if channel is Channel.CONFERENCES:
            total += self._db.number(f"SELECT count(*) FROM {FILE} WHERE home = '' AND present")
        return total

    def _of(self, channel: Channel) -> tuple[Bound, ...]:
        return tuple(b for b in self._bound if b.spec.channel is channel)


def _written_key(b: Bound, name: str) -> str:
    """A key column as the row has it: some types write equal values in several ways."""
    column = quote(name)
    return f"k.{column}" if b.type_of(name).exact else f"coalesce(t.{column}, k.{column})"


def _file_line(packed: PackedFile) -> bytes:
    f = packed.file
    on_disk = (f.path, f.size, f.mtime_ns, f.mode)
    return copy_line((*on_disk, f.sha256, f.home, f.conference, f.present, packed.member, packed.offset))


def _buckets_like(like: tuple[TableDigests, ...] | None, home: str, table: int) -> int | None:
    return next((len(d.counts) for d in like or () if (d.home, d.table) == (home, table)), None)
