"""What a memory store holds: one frozen `State`, and the `Draft` in which a transaction prepares the next.

A committed state is never changed, so a snapshot is a reference to it and a rollback forgets the draft. A draft copies a dictionary
at its first change and shares the others: a commit costs what its touched dictionaries cost to copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from poolpair.model import Channel
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable, Row
from poolpair.store.values import CatalogueFile, LeaseHolder

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row and its number at this site: it orders rows, and plays the part of every column that a profile leaves out."""

    number: int
    values: Row


Group = tuple[StoredRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file in the catalogue; the meanings are those of `poolpair_file` in the SQLite store."""

    file: CatalogueFile
    gen: int = 0
    """0: nothing to send; else as in the logs."""
    placing: str = ""
    deleting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRows:
    """A refused group with the rows that the package had for it."""

    table: int
    channel: Channel
    key: Key
    rows: tuple[Row, ...]
    reason: str
    package_id: str
    since_utc: str
    gen: int
    """What was logged of this group after it was written here after the parking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRow:
    """A row that a package with `keep_replaced` replaced or deleted."""

    table: int
    package_id: str
    values: Row


@dataclass(frozen=True, slots=True)
class SpooledGroup:
    """A group as it was when another reign was adopted."""

    table: int
    key: Key
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that one commit made durable."""

    groups: tuple[dict[Key, Group], ...]
    """Per table, in the order of numbers."""
    logs: tuple[dict[Key, int], ...]
    """Per table: the generation in which a group last changed."""
    documents: dict[str, object] = field(default_factory=dict)
    files: dict[bytes, FileEntry] = field(default_factory=dict)
    parked: dict[int, ParkedRows] = field(default_factory=dict)
    kept: tuple[KeptRow, ...] = ()
    fence: dict[str, str] = field(default_factory=dict)
    """Homes whose writes are refused, and the pool that serves each."""
    spools: dict[tuple[int, Channel], tuple[SpooledGroup, ...]] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    """The number that each serial gave last."""
    file_spools: dict[int, tuple[CatalogueFile, ...]] = field(default_factory=dict)
    gen: int = 1
    """Stamp of new log entries; the newest token drawn is one less."""
    rows_made: int = 0
    groups_parked: int = 0
    lease: LeaseHolder | None = None

    @classmethod
    def empty(cls, schema: MemorySchema) -> State:
        """The state of a new store."""
        return cls(groups=tuple({} for _ in schema.tables), logs=tuple({} for _ in schema.tables))


class Sheet(Generic[K, V]):
    """A dictionary of a draft: `now` reads it, `edit` gives it to be changed, copied from the committed one the first time."""

    __slots__ = ("_own", "now")

    def __init__(self, committed: dict[K, V]) -> None:
        self.now: Mapping[K, V] = committed
        self._own: dict[K, V] | None = None

    @property
    def edit(self) -> dict[K, V]:
        """The draft's own dictionary."""
        if self._own is None:
            self._own = dict(self.now)
            self.now = self._own
        return self._own

    def settled(self, committed: dict[K, V]) -> dict[K, V]:
        """What the next state holds."""
        return committed if self._own is None else self._own


class Draft:
    """The next state while a transaction prepares it."""

    def __init__(self, base: State) -> None:
        self.base = base
        self.groups = tuple(Sheet(groups) for groups in base.groups)
        self.logs = tuple(Sheet(log) for log in base.logs)
        self.documents = Sheet(base.documents)
        self.files = Sheet(base.files)
        self.parked = Sheet(base.parked)
        self.kept = base.kept
        self.fence = Sheet(base.fence)
        self.spools = Sheet(base.spools)
        self.file_spools = Sheet(base.file_spools)
        self.sequences = Sheet(base.sequences)
        self.gen = base.gen
        self.rows_made = base.rows_made
        self.groups_parked = base.groups_parked
        self.lease = base.lease

    def settled(self) -> State:
        """The next state; dictionaries that were not touched are shared with the last."""
        base = self.base
        return State(
            groups=tuple(sheet.settled(old) for sheet, old in zip(self.groups, base.groups, strict=True)),
            logs=tuple(sheet.settled(old) for sheet, old in zip(self.logs, base.logs, strict=True)),
            documents=self.documents.settled(base.documents),
            files=self.files.settled(base.files),
            parked=self.parked.settled(base.parked),
            kept=self.kept,
            fence=self.fence.settled(base.fence),
            spools=self.spools.settled(base.spools),
            file_spools=self.file_spools.settled(base.file_spools),
            sequences=self.sequences.settled(base.sequences),
            gen=self.gen,
            rows_made=self.rows_made,
            groups_parked=self.groups_parked,
            lease=self.lease,
        )

    def put(self, table: MemoryTable, key: Key, rows: tuple[Row, ...]) -> None:
        """Let a group consist of these rows. A single row keeps its number where the key is unique; all others are new."""
        groups = self.groups[table.number - 1]
        before = groups.now.get(key, ())
        if not rows:
            if before:
                del groups.edit[key]
        elif table.unique and before and len(rows) == 1:
            groups.edit[key] = (StoredRow(before[0].number, rows[0]),)
        else:
            first = self.rows_made + 1
            self.rows_made += len(rows)
            groups.edit[key] = tuple(StoredRow(number, row) for number, row in enumerate(rows, first))

    def log(self, table: MemoryTable, key: Key) -> None:
        """Log a group as changed now."""
        self.logs[table.number - 1].edit[key] = self.gen

    def parked_keys(self, table: MemoryTable) -> dict[Key, int]:
        """Keys of this table's parked groups, with their group ids."""
        return {group.key: group_id for group_id, group in self.parked.now.items() if group.table == table.number}


def values_of(group: Group) -> tuple[Row, ...]:
    """The rows of a group without their numbers."""
    return tuple(row.values for row in group)
