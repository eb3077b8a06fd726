"""The shape of a memory store: its tables, which rows are tracked, and whose they are.

Where a profile says SQL over the key columns, a `MemoryTable` takes a function of the key. Values are those of SQLite: None, int,
float, str, bytes; a text that is not valid UTF-8 is a `buckets.Text`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from poolpair.homes import SHARED, Homes, home_of, home_ranks
from poolpair.model import Channel, TableShape
from poolpair.store import ledger

Key = tuple[object, ...]
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTable:
    """One tracked table. `columns` are those that travel, key columns included; keys and rows hold values in these orders."""

    number: int
    """1-based, as in a profile."""
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    channel: Channel = Channel.USERS
    unique: bool = False
    """Every group is one row, updated in place. False: groups are replaced whole."""
    home_key: Callable[[Key], str] | None = None
    """None: the table is shared and belongs to the pool that the homes map names as `shared`."""
    home_is_pool: bool = False
    """The first column of the key names the home pool itself: only the ledger."""
    tracked: Callable[[Key], bool] | None = None
    """None: every row is tracked; else rows of other groups are site-local."""
    conference: Callable[[Key], str] | None = None

    def key_of(self, row: Row) -> Key:
        """The group that a row belongs to."""
        return tuple(row[self.columns.index(name)] for name in self.key)

    def is_tracked(self, key: Key) -> bool:
        """Whether this group is captured and carried."""
        return self.tracked is None or self.tracked(key)

    def shape(self) -> TableShape:
        """What a manifest says of this table."""
        return TableShape(name=self.name, key=self.key, columns=self.columns)

    def waits(self, key: Key, left_behind: AbstractSet[str]) -> bool:
        """Whether this group belongs to a conference that waits."""
        return self.conference is not None and self.conference(key) in left_behind

    def describe(self, key: Key) -> str:
        """Name a group for people."""
        return ", ".join(f"{name}={_shown(value)}" for name, value in zip(self.key, key, strict=True))


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "NULL" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class MemorySchema:
    """All tables, in the order of their numbers, and the homes map. The ledger is always the last table."""

    tables: tuple[MemoryTable, ...]
    homes: Homes
    _pools: dict[str, str | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Home keys that were looked up before."""

    def __post_init__(self) -> None:
        numbered = MemoryTable(
            number=len(self.tables) + 1,
            name=ledger.TABLE,
            key=ledger.KEY,
            columns=ledger.COLUMNS,
            channel=Channel.CMS if any(table.channel is Channel.CMS for table in self.tables) else Channel.USERS,
            unique=True,
            home_is_pool=True,
        )
        object.__setattr__(self, "tables", (*self.tables, numbered))
        assert [table.number for table in self.tables] == list(range(1, len(self.tables) + 1)), "numbers count from 1"

    @property
    def ledger(self) -> MemoryTable:
        """The ledger."""
        return self.tables[-1]

    @property
    def application(self) -> tuple[MemoryTable, ...]:
        """The application's own tables."""
        return self.tables[:-1]

    def of(self, channel: Channel) -> tuple[MemoryTable, ...]:
        """The tables of a channel."""
        return tuple(table for table in self.tables if table.channel is channel)

    def named(self, name: str) -> MemoryTable:
        """A table by its name."""
        return next(table for table in self.tables if table.name == name)

    def home(self, table: MemoryTable, key: Key) -> str | None:
        """The home pool of a group, None if no pattern matches."""
        if table.home_is_pool:
            return str(key[0])
        if table.home_key is None:
            return dict(self.homes).get(SHARED)
        home_key = table.home_key(key)
        if home_key not in self._pools:
            self._pools[home_key] = home_of(home_key, home_ranks(self.homes))
        return self._pools[home_key]
