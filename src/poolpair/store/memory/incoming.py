"""A received rows file, read and checked against the tables; then applied in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from poolpair.changed import Changed, tracked_otherwise
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.model import Channel, TableShape
from poolpair.store.memory.applying import TableApply
from poolpair.store.memory.disk import MemoryDisk
from poolpair.store.memory.ledgering import Ledgering
from poolpair.store.memory.rows import Groups, RowsFile, read_rows
from poolpair.store.memory.schema import MemoryTable
from poolpair.store.memory.snapshot import digest_groups, in_tree_buckets
from poolpair.store.memory.state import Draft, FileEntry, Sheet, values_of
from poolpair.store.memory.transaction import MemoryTransaction
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


class MemoryIncoming:
    """Implements `store.port.Incoming`."""

    def __init__(
        self,
        disk: MemoryDisk,
        channel: Channel,
        content: RowsFile,
        begin: Callable[[], AbstractContextManager[MemoryTransaction]],
    ) -> None:
        self._disk = disk
        self._tables = disk.schema.of(channel)
        self._content = content
        self._paths = {packed.file.path for packed in content.files}
        self._begin = begin

    def files(self) -> Iterator[PackedFile]:
        """Files in the order of their bytes; tombstones first."""
        yield from sorted(self._content.files, key=lambda packed: (packed.member, packed.offset, packed.file.path))

    def surplus_files(self, plan: ApplyPlan) -> Iterator[CatalogueFile]:
        """Files here in a seed's buckets that the package does not hold."""
        chosen = [buckets for buckets in plan.buckets if buckets.home in plan.served]
        for path, entry in sorted(self._disk.state.files.items()):
            file = entry.file
            spared = path in self._paths or file.conference in plan.left_behind or not file.present
            if not spared and in_tree_buckets(chosen, file.home, path):
                yield file

    def mass_file_delete(self, plan: ApplyPlan) -> MassDelete | None:
        """Guard the tree: like a table, and an emptied tree of two files or more always counts as too much."""
        if plan.approved:
            return None
        here = self._disk.state.files
        tombstones = [packed.file.path for packed in self._content.files if not packed.file.present]
        gone = sum(path in here and here[path].file.present for path in tombstones)
        surplus = Counter(file.home for file in self.surplus_files(plan))
        total = sum(entry.file.present and entry.file.home in plan.served for entry in here.values())
        adds = len(tombstones) < len(self._content.files)
        return too_many_files(plan, named=gone, surplus=surplus, of=total, adds=adds)

    def mark_placing(self, deleted: Sequence[bytes] = ()) -> None:
        """Record which digest is about to be placed where, and what is deleted."""
        with self._begin() as tx:
            files = tx.draft.files
            _delete_files(files, deleted)
            for packed in self._content.files:
                file = packed.file
                if file.present:
                    nothing = replace(file, size=0, mtime_ns=0, inode=0, mode=0, sha256="", present=False)
                    known = files.now.get(file.path, FileEntry(file=nothing))
                    files.edit[file.path] = replace(known, placing=file.sha256)

    def apply(
        self, plan: ApplyPlan, placed: Iterable[CatalogueFile], record: Callable[[MemoryTransaction, Applied], None]
    ) -> Applied | MassDelete:
        """Apply everything and what `record` writes in one transaction."""
        with self._begin() as tx:
            tables = self._prepare(plan, tx.draft)
            if tripped := self._tripped(tables, plan):
                return tripped
            total = _total([table.apply() for table in tables])
            if plan.digests:
                total = replace(total, changed=self._changed(plan, tx.draft))
            self._apply_files(plan, tx, placed)
            if total.parked:
                tx.advance()  # so that what is written here from now on is later than the parking
            record(tx, total)
        return total

    def _changed(self, plan: ApplyPlan, draft: Draft) -> Changed:
        """Digest what stands here now of the groups that were named."""
        named = {
            table: {key: values_of(draft.groups[table.number - 1].now.get(key, ())) for key in groups}
            for table, groups in zip(self._tables, self._content.tables, strict=True)
        }
        return Changed(digests=digest_groups(self._disk.schema, named, plan.served), definition="")

    def recover(self, plan: RecoverPlan, record: Callable[[MemoryTransaction, Reclaimed], None]) -> Reclaimed:
        """Take in what a returned pool had."""
        with self._begin() as tx:
            total = Ledgering(tx.draft, self._disk.schema, plan.note).recover(
                plan, zip(self._tables, self._content.tables, strict=True), self._disk.refuses
            )
            record(tx, total)
        return total

    def check(self, plan: ApplyPlan) -> MassDelete | None:
        """Look at rows and files on a draft that is thrown away."""
        return self._tripped(self._prepare(plan, Draft(self._disk.state)), plan)

    def _prepare(self, plan: ApplyPlan, draft: Draft) -> list[TableApply]:
        self._check_homes(plan)
        disk = self._disk
        return [
            TableApply(draft, disk.schema, table, groups, plan, disk.refuses)
            for table, groups in zip(self._tables, self._content.tables, strict=True)
        ]

    def _tripped(self, tables: list[TableApply], plan: ApplyPlan) -> MassDelete | None:
        if plan.approved:
            return None
        return next((found for table in tables if (found := table.mass_delete())), None) or self.mass_file_delete(plan)

    def _check_homes(self, plan: ApplyPlan) -> None:
        """What a package says of homes that it may not carry is never applied; such a package is refused whole."""
        schema = self._disk.schema
        for table, groups in zip(self._tables, self._content.tables, strict=True):
            for key in groups:
                if not table.is_tracked(key) or schema.home(table, key) not in plan.served:
                    detail = f"it carries rows of table {table.name} that are not the partner's to send"
                    raise Refused(Code.FOREIGN_PACKAGE, detail)

    def _apply_files(self, plan: ApplyPlan, tx: MemoryTransaction, placed: Iterable[CatalogueFile]) -> None:
        """Bring the catalogue up: placed files as they lie on disk now, deletions marked until they reached the disk."""
        if plan.channel is not Channel.CONFERENCES:
            return
        surplus = [file.path for file in self.surplus_files(plan)]
        tx.note_files(placed, log=False)
        tombstones = [packed.file.path for packed in self._content.files if not packed.file.present]
        _delete_files(tx.draft.files, [*tombstones, *surplus])


def _delete_files(files: Sheet[bytes, FileEntry], paths: Iterable[bytes]) -> None:
    """Mark files as deleted, which are still to leave the disk."""
    for path in paths:
        if known := files.now.get(path):
            files.edit[path] = FileEntry(file=replace(known.file, present=False), deleting=True)


def open_rows(path: Path, disk: MemoryDisk, channel: Channel, shapes: tuple[TableShape, ...]) -> RowsFile:
    """Read a rows file and bring its rows into our order of columns. Raises SCHEMA, Refused(DAMAGED)."""
    tables = disk.schema.of(channel)
    theirs, ours = [(shape.name, shape.key) for shape in shapes], [(table.name, table.key) for table in tables]
    if theirs != ours:
        raise tracked_otherwise(theirs, ours)
    for shape, table in zip(shapes, tables, strict=True):
        if differing := sorted(set(shape.columns) ^ set(table.columns)):
            detail = f"table {table.name}: column {', '.join(differing)} is not at both pools"
            raise PoolpairError(Code.SCHEMA, detail)
    content = read_rows(path)
    if len(content.tables) != len(tables):
        raise Refused(Code.DAMAGED, "the rows file does not hold the tables it should")
    in_order = zip(content.tables, shapes, tables, strict=True)
    return replace(content, tables=tuple(_reordered(groups, shape, table) for groups, shape, table in in_order))


def _reordered(groups: Groups, shape: TableShape, table: MemoryTable) -> Groups:
    places = [shape.columns.index(name) for name in table.columns]
    if any(len(row) != len(shape.columns) for rows in groups.values() for row in rows):
        raise Refused(Code.DAMAGED, f"a row of table {table.name} does not have its columns")
    found = {key: tuple(tuple(row[place] for place in places) for row in rows) for key, rows in groups.items()}
    for key, rows in found.items():
        if len(key) != len(table.key) or any(table.key_of(row) != key for row in rows):
            raise Refused(Code.DAMAGED, f"a row of table {table.name} is not of the group that it stands in")
    return found


def _total(parts: list[Applied]) -> Applied:
    return Applied(
        groups=sum(part.groups for part in parts),
        rows=sum(part.rows for part in parts),
        deleted=sum(part.deleted for part in parts),
        parked=sum(part.parked for part in parts),
    )
