"""In which order the tables of a package are written, and which of them by one statement.

The server looks at references that do not wait when a statement ends, cascades included, and at its end all that its parts wrote is
there. So tables that refer to each other in a circle, of which none can be written first, are written by one. So are deletions, with
all writes, where a row may be deleted from which its children were taken in the same package: if the deletion came first it would be
refused, or would take them and all that hangs on them; if it came last the unique values of the deleted row would not be free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

import psycopg

from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database
from poolpair.store.postgres.refusals import is_refusal
from poolpair.store.postgres.skipping import as_replica, without_triggers
from poolpair.store.postgres.statements import together


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
    """Delete from the tables that refer to others first, write to them last; what may only be done at once is tried so before.

    If that is refused, what would take its children with it is deleted after the writes.
    """
    ordered = _circles(tables)
    late = [each for tied in _tied(ordered) if not _at_once(database, tied, tied) for each in tied]
    late = [each for each in late if each.bound.on.is_cascaded]
    _delete(database, [[table for table in circle if table not in late] for circle in ordered])
    for circle in ordered:
        _at_once(database, (), circle)
        for table in circle:
            table.write()
    _delete(database, [[table for table in circle if table in late] for circle in ordered])
    while any([table.again() for circle in ordered for table in circle]):  # each of them, every time
        pass
    for table in tables:
        table.give_up()


def _delete(database: Database, ordered: Sequence[Sequence[Writes]]) -> None:
    for circle in reversed(ordered):
        _at_once(database, circle, ())
        for table in circle:
            table.delete()


def _circles(tables: Iterable[Writes]) -> list[list[Writes]]:
    """By the rank of their tables: those that refer to each other together, every other one alone."""
    found: list[list[Writes]] = []
    for each in sorted(tables, key=lambda each: (each.bound.rank, each.bound.circle)):
        if found and each.bound.circle and found[-1][-1].bound.circle == each.bound.circle:
            found[-1].append(each)
        else:
            found.append([each])
    return found


def _tied(ordered: Sequence[Sequence[Writes]]) -> list[list[Writes]]:
    """Tables that references tie together, where rows are deleted to which rows that are written may have referred."""
    every = [table for circle in ordered for table in circle]
    gone, fresh = [each for each in every if each.deletion()], [each for each in every if each.writing()]
    lost = [one for one in gone if any(_refers(other, one) for other in fresh)]
    found: list[list[Writes]] = []
    for each in every if lost else ():
        joined = [tied for tied in found if any(_refers(each, other) or _refers(other, each) for other in tied)]
        found = [tied for tied in found if tied not in joined]
        found.append([*(table for tied in joined for table in tied), each])
    return [[each for each in every if each in tied] for tied in found if any(each in tied for each in lost)]


def _refers(one: Writes, other: Writes) -> bool:
    """Whether a foreign key of one table refers to the other, or to itself."""
    on, to = one.bound.on, other.bound.on.place.oid
    return to in on.refers_to or (on.refers_to_itself and on.place.oid == to)


def _at_once(database: Database, deletes: Sequence[Writes], writes: Sequence[Writes]) -> bool:
    """What several tables have to do, by one statement; if something is refused nothing is done, and each may try alone.

    Says whether it was done.
    """
    gone = [(each, text) for each in reversed(deletes) if (text := each.deletion())]
    fresh = [(each, text) for each in writes if (text := each.writing())]
    named = {each.bound.n: each for each, _ in (*gone, *fresh)}.values()
    if len(gone) + len(fresh) < 2 or any(as_replica(database, each.bound) for each in named):
        return False
    with ExitStack() as quiet:
        for each in named:
            quiet.enter_context(without_triggers(database, each.bound))
        try:
            (written,) = database.tried([together([text for _, text in gone], [text for _, text in fresh])])
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            return False
    for each, _ in gone:
        each.deleted(0)
    for each, _ in fresh:
        each.written(written)
        written = 0  # nobody asks which of them wrote how many
    return True
