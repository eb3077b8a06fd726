"""A received rows file, attached read-only and checked against the tables; then applied in one transaction.

Per table: guards are counted first; then groups that are gone are deleted and rows are upserted, both by one statement. Only if
the store refuses something does the slow way begin: the table's groups are deleted and re-inserted in halves until the refused
groups are found and parked, with what stood here before put back where that is possible.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from poolpair.changed import Changed
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.model import Channel, TableShape
from poolpair.store.sqlite.applying import TableApply
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.catalogue import DELETE_FILES, FILE_COLUMNS, catalogue_file, delete_files
from poolpair.store.sqlite.connection import literal, text
from poolpair.store.sqlite.drift import refuse_other_tables
from poolpair.store.sqlite.ledgering import Ledgering
from poolpair.store.sqlite.readable import FILE_ROW, UNSOUND_FILE, is_plain, readable
from poolpair.store.sqlite.refusing import Ranges, RolledBack
from poolpair.store.sqlite.snapshot import TREE, definition_of, digest_named
from poolpair.store.sqlite.transaction import SqliteTransaction, applying
from poolpair.store.sqlite.uncaptured import uncaptured
from poolpair.store.values import (
    Applied,
    ApplyPlan,
    CatalogueFile,
    MassDelete,
    PackedFile,
    Reclaimed,
    RecoverPlan,
    too_many_files,
)


class SqliteIncoming:
    """Implements `store.port.Incoming`; `pkg` is attached by the store."""

    def __init__(
        self, connection: sqlite3.Connection, bound: tuple[Bound, ...], begin: Callable[[], SqliteTransaction]
    ) -> None:
        self._c = connection
        self._bound = bound
        self._begin = begin
        self._shapes: tuple[TableShape, ...] = ()

    def open(self, channel: Channel, tables: tuple[TableShape, ...]) -> None:
        """Compare the origin's tables with ours, and the file with what was said of it."""
        bound = [b for b in self._bound if b.spec.channel is channel]
        refuse_other_tables(tables, tuple(b.shape() for b in bound))
        self._shapes = tables
        with readable():
            self._check_file(bound)

    def _check_file(self, bound: list[Bound]) -> None:
        names = self._c.execute("SELECT name FROM pkg.sqlite_master WHERE type = 'table'").fetchall()
        listed = self._c.execute("SELECT type, coalesce(rootpage, 0), sql FROM pkg.sqlite_master").fetchall()
        if strange := [kind for kind, place, sql in listed if place < 1 or not is_plain(text(kind), sql)]:
            raise Refused(
                Code.DAMAGED, f"the rows file holds {len(strange)} objects that are not tables of values alone"
            )
        wanted = (
            {"f": FILE_ROW} | {f"k{b.n}": set(b.spec.key) for b in bound} | {f"r{b.n}": set(b.columns) for b in bound}
        )
        if {text(name) for (name,) in names} != set(wanted):
            raise Refused(Code.DAMAGED, "the rows file does not hold the tables it should")
        for name, columns in wanted.items():
            listed = self._c.execute("SELECT name, hidden FROM pragma_table_xinfo(?, 'pkg')", (name,)).fetchall()
            if any(hidden for _, hidden in listed) or {text(column) for column, _ in listed} != columns:
                raise Refused(Code.DAMAGED, f"table {name} of the rows file has other columns than the manifest says")
            # An error where rows have no order, or a column compares in a way that SQLite does not know; nothing is read.
            self._c.execute(f"EXPLAIN SELECT DISTINCT *, rowid FROM pkg.{name}").fetchall()
        (state,) = self._c.execute("PRAGMA pkg.quick_check(1)").fetchone()
        if text(state) != "ok":
            raise Refused(Code.DAMAGED, f"the rows file is no sound database: {text(state)[:200]}")
        if self._c.execute(UNSOUND_FILE).fetchone():
            raise Refused(Code.DAMAGED, "the list of files holds values that cannot be")

    def _check_homes(self, b: Bound, plan: ApplyPlan) -> None:
        """What a package says of homes that it may not carry is never applied; such a package is refused whole."""
        homes = literal(json.dumps(plan.served))
        strange = f"NOT {b.scope} OR coalesce({b.home}, '') NOT IN (SELECT value FROM json_each({homes}))"
        for table in (f"pkg.k{b.n}", f"pkg.r{b.n}"):
            chosen = f"(SELECT 1 FROM {table} LIMIT 1)" if b.homes_alike else table  # one row tells of all
            with readable():
                found = self._c.execute(f"SELECT 1 FROM {chosen} WHERE {strange} LIMIT 1").fetchone()
            if found:
                said = f"it carries rows of table {b.spec.name} that are not the partner's to send"
                raise Refused(Code.FOREIGN_PACKAGE, said)

    def files(self) -> Iterator[PackedFile]:
        """Files in the order of their bytes; tombstones first."""
        columns = "path, size, mtime_ns, 0, mode, 0, sha256, home, conference, present, 0, member, offset"
        query = f"SELECT {columns} FROM pkg.f ORDER BY member, offset, path"
        for row in self._c.execute(query):
            yield PackedFile(file=catalogue_file(row[:11]), member=int(row[11]), offset=int(row[12]))

    def surplus_files(self, plan: ApplyPlan) -> Iterator[CatalogueFile]:
        """Files here in a seed's buckets that the package does not hold."""
        for buckets in plan.buckets:
            if buckets.table != TREE or buckets.home not in plan.served:
                continue
            bucket = f"poolpair_bucket({buckets.of}, 'blob', path) IN (SELECT value FROM json_each({literal(json.dumps(buckets.buckets))}))"
            query = (
                f"SELECT {FILE_COLUMNS} FROM main.poolpair_file WHERE home = ? AND present = 1 AND {bucket}"
                " AND conference NOT IN (SELECT value FROM json_each(?)) AND path NOT IN (SELECT path FROM pkg.f) ORDER BY path"
            )
            yield from map(catalogue_file, self._c.execute(query, (buckets.home, json.dumps(plan.left_behind))))

    def mark_placing(self, deleted: Sequence[bytes] = ()) -> None:
        """Record which digest is about to be placed where, and what is deleted."""
        self._begin()
        delete_files(self._c, deleted)
        self._c.execute(
            f"INSERT INTO main.poolpair_file ({FILE_COLUMNS}, placing)"
            " SELECT path, 0, 0, 0, 0, 0, '', home, conference, 0, 0, sha256 FROM pkg.f WHERE present = 1"
            " ON CONFLICT (path) DO UPDATE SET placing = excluded.placing"
        )
        self._c.execute("COMMIT")

    def apply(
        self, plan: ApplyPlan, placed: Iterable[CatalogueFile], record: Callable[[SqliteTransaction, Applied], None]
    ) -> Applied | MassDelete:
        """Apply everything and what `record` writes in one transaction; anew, with more care, if a trigger rolled that back."""
        careful: dict[int, Ranges] = {}
        while True:
            try:
                return self._apply_once(plan, placed, record, careful)
            except RolledBack as rolled:
                self._take_care(careful, rolled)

    def _take_care(self, careful: dict[int, Ranges], rolled: RolledBack) -> None:
        """Learn from a try that was rolled back. What no group of the package did cannot be parked: raises STORE_BROKEN."""
        known = careful.get(rolled.table)
        if known is not None and rolled.low <= known.named:
            known.narrow(rolled)
            return
        named = int(self._c.execute(f"SELECT count(*) FROM pkg.k{rolled.table}").fetchone()[0])
        if known is not None or not named:
            raise PoolpairError(
                Code.STORE_BROKEN,
                f"a deletion that a repair asks for was rolled back with the whole transaction: {rolled.reason}",
                "let that trigger use ABORT; the package waits",
            )
        careful[rolled.table] = Ranges(named)

    def _apply_once(
        self,
        plan: ApplyPlan,
        placed: Iterable[CatalogueFile],
        record: Callable[[SqliteTransaction, Applied], None],
        careful: dict[int, Ranges],
    ) -> Applied | MassDelete:
        transaction = self._begin()
        try:
            self._c.execute("UPDATE main.poolpair_gen SET applying = ?", (applying(plan.served),))
            tables = self._prepare(plan, careful)
            if tripped := self._tripped(tables, plan):
                self._c.execute("ROLLBACK")
                return tripped
            total = Applied(groups=0, rows=0, deleted=0, parked=0)
            with uncaptured(self._c, self._bound, sum(table.named for table in tables)):
                for table in tables:
                    total = _add(total, table.apply())
            if any(table.may_be_changed for table in tables):
                for table in tables:
                    table.put_right()
            total = self._looked_at(plan, total)
            self._apply_files(plan, transaction, placed)
            self._c.execute("UPDATE main.poolpair_gen SET applying = ''")
            if total.parked:
                transaction.advance()  # so that what is written here from now on is later than the parking
            record(transaction, total)
            self._c.execute("COMMIT")
        except BaseException:  # whatever ended it: clean up, then let it pass
            if self._c.in_transaction:
                self._c.execute("ROLLBACK")
            raise
        return total

    def _looked_at(self, plan: ApplyPlan, total: Applied) -> Applied:
        """Say whether anything else may have changed and, if that is asked for, digest what was named."""
        bound = [b for b in self._bound if b.spec.channel is plan.channel]
        total = replace(total, alone=not any(b.info.triggers for b in bound))
        if not plan.digests:
            return total
        told = [b.in_order_of(self._shapes) for b in bound]
        each = ((home, b, f"SELECT {b.key} FROM pkg.k{b.n}") for home in plan.served for b in told)
        digests = tuple(digest_named(self._c, b, home, keys) for home, b, keys in each)
        return replace(total, changed=Changed(digests=digests, definition=definition_of(self._c)))

    def recover(self, plan: RecoverPlan, record: Callable[[SqliteTransaction, Reclaimed], None]) -> Reclaimed:
        """Take in what a returned pool had, in one transaction. Raises STORE_BROKEN if a trigger of the application's ends that."""
        bound = [b for b in self._bound if b.spec.channel is plan.channel]
        if not plan.lists:
            self._refuse_strangers(bound, plan)
        transaction = self._begin()
        try:
            total = Reclaimed()
            for b in bound:
                found = Ledgering(self._c, b, plan.note).recover(plan)
                total = Reclaimed(
                    merged=total.merged + found.merged,
                    equal=total.equal + found.equal,
                    in_ledger=total.in_ledger + found.in_ledger,
                )
            record(transaction, total)
            self._c.execute("COMMIT")
        except RolledBack as rolled:
            detail = f"a group to be recovered was rolled back with the whole transaction: {rolled.reason}"
            raise PoolpairError(Code.STORE_BROKEN, detail, "let that trigger use ABORT; the package waits") from rolled
        except BaseException:  # whatever ended it: clean up, then let it pass
            if self._c.in_transaction:
                self._c.execute("ROLLBACK")
            raise
        return total

    def _refuse_strangers(self, bound: list[Bound], plan: RecoverPlan) -> None:
        """What is recovered must be of the home that the package names."""
        for b in bound:
            strange = f"NOT {b.scope} OR {b.home} IS NOT {literal(plan.home)}"
            for table in (f"pkg.k{b.n}", f"pkg.r{b.n}"):
                with readable():
                    found = self._c.execute(f"SELECT 1 FROM {table} WHERE {strange} LIMIT 1").fetchone()
                if found:
                    detail = f"it brings rows of table {b.spec.name} that are not of the home that it recovers"
                    raise Refused(Code.FOREIGN_PACKAGE, detail)

    def check(self, plan: ApplyPlan) -> MassDelete | None:
        """Look at rows and files in a transaction that changes nothing."""
        self._c.execute("BEGIN")
        try:
            return self._tripped(self._prepare(plan, {}), plan)
        finally:
            self._c.execute("ROLLBACK")

    def _prepare(self, plan: ApplyPlan, careful: dict[int, Ranges]) -> list[TableApply]:
        bound = [b for b in self._bound if b.spec.channel is plan.channel]
        for b in bound:
            self._check_homes(b, plan)
        tables = [TableApply(self._c, b, plan, careful.get(b.n)) for b in bound]
        for table in tables:
            table.prepare()
        return tables

    def _tripped(self, tables: list[TableApply], plan: ApplyPlan) -> MassDelete | None:
        if plan.approved:
            return None
        return next((found for table in tables if (found := table.mass_delete())), None) or self.mass_file_delete(plan)

    def mass_file_delete(self, plan: ApplyPlan) -> MassDelete | None:
        """Guard the tree: like a table, and an emptied tree of two files or more always counts as too much."""
        if plan.approved:
            return None
        both = "pkg.f JOIN main.poolpair_file c ON c.path = pkg.f.path WHERE pkg.f.present = 0 AND c.present = 1"
        gone = self._c.execute(f"SELECT count(*) FROM {both}").fetchone()[0]
        surplus = Counter(file.home for file in self.surplus_files(plan))
        homes = json.dumps(plan.served)
        total = self._c.execute(
            "SELECT count(*) FROM main.poolpair_file WHERE present = 1 AND home IN (SELECT value FROM json_each(?))",
            (homes,),
        ).fetchone()[0]
        added = self._c.execute("SELECT count(*) FROM pkg.f WHERE present = 1").fetchone()[0]
        return too_many_files(plan, named=gone, surplus=surplus, of=total, adds=added > 0)

    def _apply_files(self, plan: ApplyPlan, transaction: SqliteTransaction, placed: Iterable[CatalogueFile]) -> None:
        """Bring the catalogue up: placed files as they lie on disk now, deletions marked until they reached the disk."""
        if plan.channel is not Channel.CONFERENCES:
            return
        surplus = [f.path for f in self.surplus_files(plan)]
        transaction.note_files(placed, log=False)
        self._c.execute(f"{DELETE_FILES} path IN (SELECT path FROM pkg.f WHERE present = 0)")
        delete_files(self._c, surplus)


def _add(one: Applied, other: Applied) -> Applied:
    return Applied(
        groups=one.groups + other.groups,
        rows=one.rows + other.rows,
        deleted=one.deleted + other.deleted,
        parked=one.parked + other.parked,
    )
