"""Tables that refer to each other in a circle: none of them can be written first, so all are, by one statement.

The server looks at references that do not wait when a statement ends, and at its end all that its parts wrote is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

import psycopg

from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database
from poolpair.store.postgres.refusals import is_refusal
from poolpair.store.postgres.skipping import without_triggers


def ranks_of(refers_to: Mapping[int, Collection[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """How deep each table's chain of references is, and of those in a circle the lowest number in it. Circles have one rank."""
    reached = {one: _reached(one, refers_to) for one in refers_to}
    around = {one: {other for other in reached[one] if one in reached[other]} | {one} for one in refers_to}
    ranks: dict[int, int] = {}

    def rank(one: int) -> int:
        if one not in ranks:
            below = {other for each in around[one] for other in refers_to[each] if other in reached} - around[one]
            ranks.update(dict.fromkeys(around[one], max((1 + rank(other) for other in below), default=0)))
        return ranks[one]

    return {one: rank(one) for one in refers_to}, {one: min(all_) for one, all_ in around.items() if len(all_) > 1}


def _reached(one: int, refers_to: Mapping[int, Collection[int]]) -> set[int]:
    found: set[int] = set()
    left = [one]
    while left:
        fresh = {other for other in refers_to[left.pop()] if other in refers_to} - found
        found |= fresh
        left += fresh
    return found


class Writes(Protocol):
    """Whatever writes one table: by itself, or as a part of one statement for more than one."""

    @property
    def bound(self) -> Bound:
        """The table."""
        ...

    def deletion(self) -> str:
        """One statement that deletes all that is to go; empty if there is none."""
        ...

    def deleted(self, rows: int, /) -> None:
        """That statement was run."""
        ...

    def delete(self) -> None:
        """Delete what is to go, unless it was."""
        ...

    def writing(self) -> str:
        """One statement that writes all there is; empty if there is none."""
        ...

    def written(self, rows: int, /) -> None:
        """That statement was run, and wrote so many rows that nobody else counts."""
        ...

    def write(self) -> None:
        """Write what there is, unless it was."""
        ...

    def again(self) -> bool:
        """Try once more what was refused. Says whether any of it was taken."""
        ...

    def give_up(self) -> None:
        """Nothing more is tried: what was refused stays so."""
        ...


def write_in_order(database: Database, tables: Sequence[Writes]) -> None:
    """Delete from the tables that refer to others first, write to them last."""
    ordered = _circles(tables)
    for circle in reversed(ordered):
        _at_once(database, circle, lambda each: each.deletion(), lambda each, rows: each.deleted(rows))
        for table in circle:
            table.delete()
    for circle in ordered:
        _at_once(database, circle, lambda each: each.writing(), lambda each, rows: each.written(rows))
        for table in circle:
            table.write()
    while any([table.again() for circle in ordered for table in circle]):  # each of them, every time
        pass
    for table in tables:
        table.give_up()


def _circles(tables: Iterable[Writes]) -> list[list[Writes]]:
    """By the rank of their tables: those that refer to each other together, every other one alone."""
    found: list[list[Writes]] = []
    for each in sorted(tables, key=lambda each: (each.bound.rank, each.bound.circle)):
        if found and each.bound.circle and found[-1][-1].bound.circle == each.bound.circle:
            found[-1].append(each)
        else:
            found.append([each])
    return found


def _at_once(
    database: Database,
    circle: Sequence[Writes],
    statement: Callable[[Writes], str],
    done: Callable[[Writes, int], None],
) -> None:
    """What several tables have to do, and how many rows it wrote; if something is refused nothing is done, and each may try alone."""
    mine = [(each, text) for each in circle if (text := statement(each))]
    if len(mine) < 2:
        return
    with ExitStack() as quiet:
        for each, _ in mine:
            quiet.enter_context(without_triggers(database, each.bound))
        parts = ", ".join(f"poolpair_{n} AS ({text} RETURNING 1)" for n, (_, text) in enumerate(mine))
        rows = " UNION ALL ".join(f"SELECT 1 FROM poolpair_{n}" for n in range(len(mine)))
        try:
            (written,) = database.tried([f"WITH {parts} {rows}"])
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            return
    for each, _ in mine:
        done(each, written)
        written = 0  # nobody asks which of them wrote how many
