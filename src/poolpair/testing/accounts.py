"""The sum over all writes: whatever a pool ever accepted is there, or is an ancestor of what is there, or was given up knowingly.

A version is what a group consisted of after a write; every write brings values that no other one brought. Each knows the version that
it replaced where it was written: that one was overwritten knowingly. What is there: rows of either store, parked and spooled groups,
both sides of ledger entries, what an overruling repair kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from poolpair.store.ledger import COLUMNS, TABLE
from poolpair.store.memory.schema import Row
from poolpair.store.row_text import rows_from_text
from poolpair.store.values import Choice
from poolpair.testing.view import Database, Group, Rows, View, Write

Version = tuple[Group, Rows]


class Held(Protocol):
    """A pool, as far as it is looked at here."""

    @property
    def database(self) -> Database:
        """Its store."""
        ...


@dataclass(slots=True)
class Accounts:
    """Every accepted version that is neither given up nor deleted knowingly, and what it replaced."""

    replaced: dict[Version, Version] = field(default_factory=dict)
    open: dict[Version, str] = field(default_factory=dict)
    """Accepted versions that must be found, and where they were accepted."""
    entries: dict[Group, bool] = field(default_factory=dict)
    """Every entry that a ledger ever had, and whether anybody decided on it."""

    def accepted(self, pool: str, before: View, writes: Iterable[Write]) -> None:
        """A transaction committed at a pool."""
        stands: dict[Group, Rows] = {}
        for write in writes:
            group = (write.table, write.key)
            old, new = (group, stands.get(group, before.groups.get(group, ()))), (group, write.rows)
            stands[group] = write.rows
            if not write.rows:
                self._settle(old)
                continue
            if old != new:
                self.replaced[new] = old
            self.open[new] = pool

    def _settle(self, version: Version) -> None:
        """A version, and all that it replaced, need not be found any more."""
        at: Version | None = version
        while at is not None:
            self.open.pop(at, None)
            at = self.replaced.get(at)

    def give_up_groups(self, groups: set[Group]) -> None:
        """Somebody tampered with these, or an operator dropped them."""
        for version in [version for version in self.open if version[0] in groups]:
            del self.open[version]

    def lost_with_a_store(self, pools: Mapping[str, Held]) -> None:
        """A store was set back just now. Until then all was accounted for; what is not any more is lost with it."""
        views = [pool.database.view() for pool in pools.values()]
        held = {version for view in views for version in versions(view)}
        for version, _ in self.missing(held, frozenset(row for view in views for row in view.kept)):
            del self.open[version]
        self.entries = decisions(held)

    def undone(self, held: Iterable[Version]) -> list[Group]:
        """Entries of a ledger that are nowhere any more, or open again."""
        found = decisions(held)
        return [group for group, decided in self.entries.items() if group not in found or decided > found[group]]

    def missing(self, held: Iterable[Version], kept: AbstractSet[tuple[str, Row]]) -> list[tuple[Version, str]]:
        """Accepted versions that are nowhere; `kept` are single rows that an overruling repair put aside."""
        known = self.open.keys() | self.replaced.keys()
        aside = {version for version in known if all((version[0][0], row) in kept for row in version[1])}
        alive = self._with_ancestors((*held, *aside))
        return [(version, where) for version, where in self.open.items() if version not in alive]

    def absent(self, wanted: Iterable[Version], held: Iterable[Version]) -> list[Version]:
        """Of these versions those that must be found and are not among what is held, nor replaced by it."""
        mine = [version for version in wanted if version in self.open]
        alive = self._with_ancestors(held) if mine else set()
        return [version for version in mine if version not in alive]

    def _with_ancestors(self, held: Iterable[Version]) -> set[Version]:
        found: set[Version] = set()
        for version in held:
            at: Version | None = version
            while at is not None and at not in found:
                found.add(at)
                at = self.replaced.get(at)
        return found


def decisions(held: Iterable[Version]) -> dict[Group, bool]:
    """Entries of ledgers among these, and whether anybody decided on each."""
    found: dict[Group, bool] = {}
    for group, rows in held:
        if group[0] == TABLE and rows:
            decided = Choice(str(rows[0][COLUMNS.index("state")])).is_decided
            found[group] = found.get(group, False) or decided
    return found


def versions(view: View) -> Iterator[Version]:
    """Every version that a store holds in any way."""
    yield from view.groups.items()
    yield from ((group, rows) for group, (_, rows) in view.parked.items())
    yield from view.spooled
    for (table, _), rows in chain(view.groups.items(), view.spooled):
        if table == TABLE and rows:
            entry = dict(zip(COLUMNS, rows[0], strict=True))
            (key,) = rows_from_text(str(entry["tkey"]))
            for side in ("theirs", "ours"):
                yield (str(entry["tbl"]), key), rows_from_text(str(entry[side]))
