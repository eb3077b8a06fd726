"""A received rows file, copied into temporary tables and checked against the tables; then applied in one transaction.

What the server does not take as values of its own columns is refused with the package. Tables are deleted from children first, and
written to parents first, or all at once, so that foreign keys hold at every statement (`circles` says how); constraints that can wait do
wait, and if they fail in the end everything is done again without waiting, so that the groups at fault are found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

from poolpair.changed import Changed, WaitingTable
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.model import Channel, TableShape
from poolpair.store.postgres.announcing import imported, reclaimed
from poolpair.store.postgres.applying import TableApply
from poolpair.store.postgres.bound import Bound, by_number
from poolpair.store.postgres.capturing import version
from poolpair.store.postgres.catalogue import (
    COLUMNS,
    DELETE_FILES,
    FILE,
    TREE,
    UNSOUND_FILE,
    catalogue_file,
    in_buckets,
)
from poolpair.store.postgres.copyin import CopiedIn
from poolpair.store.postgres.database import Database
from poolpair.store.postgres.digests import digest_named
from poolpair.store.postgres.drift import carried, waiting
from poolpair.store.postgres.filling import fill
from poolpair.store.postgres.install import beginning_to_apply
from poolpair.store.postgres.ledgering import ledger_of
from poolpair.store.postgres.recovering import RefusedInTheEnd, recover
from poolpair.store.postgres.refusals import Tripped, is_refusal
from poolpair.store.postgres.rowsfile import sections
from poolpair.store.postgres.skipping import resting
from poolpair.store.postgres.transaction import Begin, PostgresTransaction
from poolpair.store.postgres.writing import write
from poolpair.store.profile import ProfileTable
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

FILES_AT_ONCE = 500


class PostgresIncoming:
    """Implements `store.port.Incoming`; the temporary tables are this connection's."""

    def __init__(
        self,
        database: Database,
        bound: tuple[Bound, ...],
        specs: tuple[ProfileTable, ...],
        begin: Begin,
        undo: Callable[[], None],
    ) -> None:
        self._db = database
        self._bound = self._all = bound
        self._specs = specs
        """The profile's entries, also those whose table is not here."""
        self._begin = begin
        self._undo = undo
        self._waiting: tuple[WaitingTable, ...] = ()
        self._in: CopiedIn | None = None
        self._shapes: tuple[TableShape, ...] = ()

    def open(self, rows: Path, channel: Channel, tables: tuple[TableShape, ...]) -> None:
        """Compare the origin's tables with ours, and copy in what does not wait."""
        self._shapes = tables
        specs = tuple(spec for spec in self._specs if spec.channel is channel)
        bound, theirs = by_number(b for b in self._bound if b.spec.channel is channel), carried(specs, tables)
        self._waiting = waiting(specs, bound, theirs, sections(rows))
        waits = {table.number for table in self._waiting}
        self._bound = tuple(b for b in self._bound if b.n not in waits)
        self._in = CopiedIn(self._db, rows)
        self._in.copy(bound[n] if n not in waits else None for n in theirs)
        if self._brought.lines["f"] and self._db.row(UNSOUND_FILE):
            raise Refused(Code.DAMAGED, "the list of files holds values that cannot be")

    @property
    def _brought(self) -> CopiedIn:
        assert self._in is not None, "not opened"
        return self._in

    def close(self) -> None:
        """Empty the temporary tables."""
        if self._in is not None:
            self._in.empty()

    def files(self) -> Iterator[PackedFile]:
        """Files in the order of their bytes, some at a time; tombstones first."""
        columns = "path, size, mtime_ns, 0::numeric, mode, 0::bigint, sha256, home, conference, present, 0, member, file_offset"
        after: tuple[object, ...] = (-1, -1, b"")
        while self._brought.lines["f"]:
            page = self._db.rows(
                f"SELECT {columns} FROM pg_temp.f WHERE (member, file_offset, path) > ($1::bigint, $2::bigint, $3::bytea)"
                f" ORDER BY member, file_offset, path LIMIT {FILES_AT_ONCE}",
                *after,
            )
            for row in page:
                yield PackedFile(file=catalogue_file(row[:11]), member=int(row[11]), offset=int(row[12]))
            if not page:
                return
            after = (page[-1][11], page[-1][12], page[-1][0])

    def surplus_files(self, plan: ApplyPlan) -> Iterator[CatalogueFile]:
        """Files here in a seed's buckets that the package does not hold."""
        for buckets in plan.buckets:
            if buckets.table != TREE or buckets.home not in plan.served:
                continue
            absent = (
                "NOT EXISTS (SELECT 1 FROM pg_temp.f p WHERE p.path = c.path)" if self._brought.lines["f"] else "true"
            )
            surplus = (
                f"SELECT {COLUMNS} FROM {FILE} c WHERE {in_buckets(buckets)} AND conference <> ALL ($1::text[])"
                f" AND {absent} ORDER BY path"
            )
            yield from map(catalogue_file, self._db.rows(surplus, list(plan.left_behind)))

    def mark_placing(self, deleted: Sequence[bytes] = ()) -> None:
        """Record which digest is about to be placed where, and what is deleted."""
        transaction = self._begin()
        try:
            self._db.run(f"{DELETE_FILES} path = ANY ($1::bytea[])", list(deleted))
            self._db.run(
                f"INSERT INTO {FILE} ({COLUMNS}, placed_digest)"
                " SELECT path, 0, 0, 0, 0, 0, '', home, conference, false, 0, sha256 FROM pg_temp.f WHERE present"
                " ON CONFLICT (path) DO UPDATE SET placed_digest = excluded.placed_digest"
            )
            transaction.commit()
        except BaseException:  # whatever ended it: clean up, then let it pass
            self._undo()
            raise

    def apply(
        self, plan: ApplyPlan, placed: Iterable[CatalogueFile], record: Callable[[PostgresTransaction, Applied], None]
    ) -> Applied | MassDelete:
        """Apply rows and catalogue, and what `record` writes, in one transaction."""
        kept = list(placed)
        if self._waiting and plan.keep_replaced:  # what a comparison brings later would replace without keeping
            raise PoolpairError(Code.SCHEMA, "; ".join(map(str, self._waiting)))
        try:
            return self._apply_once(plan, kept, record, waiting=True)
        except RefusedInTheEnd:
            return self._apply_once(plan, kept, record, waiting=False)

    def recover(self, plan: RecoverPlan, record: Callable[[PostgresTransaction, Reclaimed], None]) -> Reclaimed:
        """Take in what a returned pool had. Raises SCHEMA, and it waits, while a table of it differs."""
        if self._waiting:
            raise PoolpairError(Code.SCHEMA, "; ".join(map(str, self._waiting)))
        try:
            return self._recover_once(plan, record, waiting=True)
        except RefusedInTheEnd:
            return self._recover_once(plan, record, waiting=False)

    def _recover_once(
        self, plan: RecoverPlan, record: Callable[[PostgresTransaction, Reclaimed], None], *, waiting: bool
    ) -> Reclaimed:
        transaction = self._begin()
        try:
            bound = tuple(b for b in self._bound if b.spec.channel is plan.channel)
            for b in bound:
                if b.n in self._brought.left:
                    self._brought.copy_left(b)
            total = recover(self._db, bound, ledger_of(self._bound), plan, waiting=waiting)
            record(transaction, total)
            transaction.commit(reclaimed(plan, bound))
        except BaseException:  # whatever ended it: clean up, then let it pass
            self._undo()
            raise
        return total

    def _apply_once(
        self,
        plan: ApplyPlan,
        placed: list[CatalogueFile],
        record: Callable[[PostgresTransaction, Applied], None],
        *,
        waiting: bool,
    ) -> Applied | MassDelete:
        written = [b for b in self._bound if b.spec.channel is plan.channel]
        alone = not any(b.on.sets_off for b in written)  # nothing of the application's can run at what is written here
        transaction = self._begin(first=beginning_to_apply(plan.served, waiting=waiting, alone=alone))
        try:
            with resting(self._db, [b for b in written if self._is_named(b, plan)]):
                filled = self._fill(plan) if waiting else {}
                tables = self._prepare(plan, without=filled)
                if tripped := self._tripped(tables, plan):
                    raise Tripped(tripped)
                total = replace(write(self._db, tables, sum(filled.values())), waiting=self._waiting, alone=alone)
                self._apply_files(plan, transaction, placed)
                if waiting:
                    self._end_waiting()
            if plan.digests:
                total = replace(total, changed=self._changed(plan, written))
            if total.parked:
                transaction.advance()  # what is written here from now on is later than the parking
            record(transaction, total)
            transaction.commit(imported(plan, tables, [b for b in written if b.n in filled]), parked=bool(total.parked))
        except Tripped as tripped_over:
            self._undo()
            return tripped_over.found
        except BaseException:  # whatever ended it: clean up, then let it pass
            self._undo()
            raise
        return total

    def _changed(self, plan: ApplyPlan, written: list[Bound]) -> Changed:
        """Digest what stands here now of the groups that were named."""
        named = {b.n: f"(SELECT DISTINCT {b.key} FROM pg_temp.r{b.n})" for b in written}
        told = [b.in_order_of(self._shapes) for b in written]
        digests = tuple(digest_named(self._db, b, home, named[b.n]) for b in told for home in plan.served)
        return Changed(digests=digests, definition=version(self._db, self._all)[0])

    def _end_waiting(self) -> None:
        try:
            self._db.run("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            if is_refusal(error):
                raise RefusedInTheEnd from error
            raise

    def check(self, plan: ApplyPlan) -> MassDelete | None:
        """Look at rows and files in a transaction that changes nothing."""
        self._db.run("BEGIN")
        try:
            return self._tripped(self._prepare(plan), plan)
        finally:
            self._db.roll_back()

    def _fill(self, plan: ApplyPlan) -> dict[int, int]:
        """Write what a first copy brings; gives how many rows of each table. Tables that others refer to come first."""
        left = sorted((b for b in self._bound if b.n in self._brought.left), key=lambda b: b.rank)
        found = {b.n: fill(self._db, b, plan, self._brought.rows) for b in left}
        return {number: rows for number, rows in found.items() if rows is not None}

    def _prepare(self, plan: ApplyPlan, without: Container[int] = ()) -> list[TableApply]:
        bound = [b for b in self._bound if b.spec.channel is plan.channel and b.n not in without]
        for b in bound:
            if b.n in self._brought.left:
                self._brought.copy_left(b)
        tables = [TableApply(self._db, b, plan) for b in bound if self._is_named(b, plan)]
        for table in tables:
            table.prepare()
        return tables

    def _is_named(self, b: Bound, plan: ApplyPlan) -> bool:
        return bool(self._brought.lines[f"r{b.n}"] or plan.buckets)

    def _tripped(self, tables: list[TableApply], plan: ApplyPlan) -> MassDelete | None:
        if plan.approved:
            return None
        return next((found for table in tables if (found := table.mass_delete())), None) or self.mass_file_delete(plan)

    def mass_file_delete(self, plan: ApplyPlan) -> MassDelete | None:
        """Guard the tree: like a table, and an emptied tree of two files or more always counts as too much."""
        if plan.approved:
            return None
        if not (self._brought.lines["f"] or plan.buckets):
            return None
        gone = self._db.number(
            f"SELECT count(*) FROM pg_temp.f JOIN {FILE} c ON c.path = f.path WHERE NOT f.present AND c.present"
        )
        surplus = Counter(file.home for file in self.surplus_files(plan))
        mine = f"SELECT count(*) FROM {FILE} WHERE present AND home = ANY ($1::text[])"
        total = self._db.number(mine, list(plan.served))
        added = self._db.number("SELECT count(*) FROM pg_temp.f WHERE present")
        return too_many_files(plan, named=gone, surplus=surplus, of=total, adds=added > 0)

    def _apply_files(self, plan: ApplyPlan, transaction: PostgresTransaction, placed: list[CatalogueFile]) -> None:
        """Bring the catalogue up: placed files as they lie on disk now, deletions marked until they reached the disk."""
        if plan.channel is not Channel.CONFERENCES:
            return
        surplus = [f.path for f in self.surplus_files(plan)]
        transaction.note_files(placed, log=False)
        self._db.run(f"{DELETE_FILES} path IN (SELECT path FROM pg_temp.f WHERE NOT present)")
        self._db.run(f"{DELETE_FILES} path = ANY ($1::bytea[])", surplus)
