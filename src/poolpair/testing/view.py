"""What a database holds at one commit, in the terms of the checkers: the same for every kind of store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar

from poolpair.clock import Clock
from poolpair.model import Channel
from poolpair.store.memory.schema import Key, Row
from poolpair.store.memory.state import FileEntry
from poolpair.store.port import Store
from poolpair.testing.schema import SCHEMA

T = TypeVar("T")
Group = tuple[str, Key]
"""A key group: its table and its key."""
Rows = tuple[Row, ...]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One committed state. Two views are the same state only if they are the same object."""

    groups: Mapping[Group, Rows]
    by_line: Mapping[tuple[Channel, str | None], Mapping[Group, Rows]]
    """The same by channel and home pool; under None what has no home."""
    log: Mapping[Group, int]
    files: Mapping[bytes, FileEntry]
    parked: Mapping[Group, tuple[str, Rows]]
    """Package and rows of each parked group."""
    fence: Mapping[str, str]
    """Homes whose writes are refused here, and who serves each."""
    spooled: frozenset[tuple[Group, Rows]]
    """What was put aside when another reign was adopted."""
    kept: frozenset[tuple[str, Row]]
    """Rows that an overruling package replaced."""
    read: Callable[[type, str], object]
    documents: Mapping[str, str] | None = None
    """Their texts, where one state may be read more than once."""

    def same_as(self, other: View) -> bool:
        """Whether another reading found the same state."""
        mine = (self.groups, self.log, self.files, self.parked, self.kept, self.documents, self.fence, self.spooled)
        theirs = (
            other.groups,
            other.log,
            other.files,
            other.parked,
            other.kept,
            other.documents,
            other.fence,
            other.spooled,
        )
        return mine == theirs

    def document(self, cls: type[T], name: str) -> T | None:
        """A document of this commit."""
        found = self.read(cls, name)
        return found if isinstance(found, cls) else None

    def of(self, channel: Channel, home: str) -> Mapping[Group, Rows]:
        """The groups of one home on one channel."""
        return self.by_line.get((channel, home), {})


TABLES = {table.name: table for table in SCHEMA.tables}


@cache
def home_of_group(group: Group) -> str | None:
    """The home pool of a group."""
    return SCHEMA.home(TABLES[group[0]], group[1])


@cache
def channel_of_group(group: Group) -> Channel:
    """The channel that carries a group."""
    return TABLES[group[0]].channel


def sorted_by_line(groups: Mapping[Group, Rows]) -> Mapping[tuple[Channel, str | None], Mapping[Group, Rows]]:
    """Groups by channel and home."""
    found: dict[tuple[Channel, str | None], dict[Group, Rows]] = {}
    for group, rows in groups.items():
        found.setdefault((channel_of_group(group), home_of_group(group)), {})[group] = rows
    return found


@dataclass(frozen=True, slots=True)
class Write:
    """The application lets a group consist of these rows; none deletes it."""

    table: str
    key: Key
    rows: Rows


class Database(Protocol):
    """One pool's database with the application that writes to it. `Locked` and `RowRefused` tell why a write failed."""

    def open(self, clock: Clock) -> Store:
        """A handle of its own, as another process has it."""
        ...

    def join(self, store: Store, clock: Clock) -> Store:
        """A second handle of the same service, under the same lease."""
        ...

    def write(self, writes: tuple[Write, ...], *, fenced: bool = True) -> None:
        """One transaction of the application, or of somebody who takes the fence away for it. Raises STORE_LOCKED, RowRefused."""
        ...

    def begin_long(self, writes: tuple[Write, ...]) -> None:
        """A transaction that stays open. Raises STORE_LOCKED, RowRefused."""
        ...

    def end_long(self, *, commit: bool) -> None:
        """End it; nothing if none is open."""
        ...

    def view(self) -> View:
        """What is committed now."""
        ...

    def save(self) -> object:
        """A backup."""
        ...

    def restore(self, saved: object) -> None:
        """Put a backup back, in place."""
        ...

    def clone(self) -> Database:
        """A copy at another place."""
        ...

    def refuse(self, values: frozenset[int]) -> None:
        """From now on the application's tables refuse rows whose value modulo 7 is one of these."""
        ...

    def lose_lock(self) -> None:
        """The file system forgets the lock of the living service."""
        ...

    def close(self) -> None:
        """Give everything back at the end of a run."""
        ...
