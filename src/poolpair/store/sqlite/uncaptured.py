"""While a large package is written, our own triggers are away: nothing of it would be captured, and each row would ask for that.

They are put back in the same transaction, so nobody ever sees the database without them. What another trigger writes into other homes has
to be captured, so they stay where one runs. The catalogue has to come out in the same order, with the mark of `marking` behind
everything, so they stay too where a table came after them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from poolpair.store.sqlite import marking
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import PREFIX, quote, text

MANY = 10_000
"""Groups for which it is worth that every connection reads the schema again."""


@contextmanager
def uncaptured(connection: sqlite3.Connection, bound: Sequence[Bound], groups: int) -> Iterator[None]:
    """Take them away and put them back, if that is worth it and nothing can go unseen. An exception leaves that to the rollback."""
    runs = any(b.spec.runs(name) for b in bound for name in b.info.triggers)
    ours = [] if runs or groups < MANY else _last_of_all(connection, bound)
    if not ours:
        yield
        return
    with marking.mark_stays(connection, (b.spec.name for b in bound)):
        for name, _ in ours:
            connection.execute(f"DROP TRIGGER main.{quote(name)}")
        yield
        for _, sql in ours:
            connection.execute(sql)


def _last_of_all(connection: sqlite3.Connection, bound: Sequence[Bound]) -> list[tuple[str, str]]:
    """Our triggers in the order of the catalogue; none if a table that counts there lies behind one."""
    tracked = {b.spec.name for b in bound}
    query = "SELECT type, name, sql FROM main.sqlite_master WHERE type IN ('table', 'trigger') ORDER BY rowid"
    found: list[tuple[str, str]] = []
    for kind, name, sql in ((text(kind), text(name), text(sql)) for kind, name, sql in connection.execute(query)):
        if name in {marking.TABLE, marking.TRIGGER}:
            continue
        if kind == "trigger" and name.startswith(PREFIX):
            found.append((name, sql))
        elif found and kind == "table" and (name in tracked or name.startswith(PREFIX)):
            return []
    return found
