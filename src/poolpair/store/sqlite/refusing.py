"""The application's own triggers at the target: kept from firing where the profile says so, and survived where they roll back.

RAISE(ABORT) ends one statement, and the savepoint around it. RAISE(ROLLBACK) ends the whole transaction, and going on would commit
the rest piece by piece. So the apply begins anew and takes the groups of that table in ranges; the range that ended it is halved each
time, until a single group is left, which is parked before anything of it is tried. Few triggers do this, so it need not be quick.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import OWN_TRIGGERS, quote, text


class RolledBack(Exception):
    """Something of the application's ended the transaction while groups `low` to `high` of a table were written."""

    def __init__(self, reason: str, table: int = 0, low: int = 0, high: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.table = table
        self.low = low
        self.high = high


@dataclass(slots=True)
class Ranges:
    """In which ranges the groups that a package names of one table are written, and which are not, with the reason."""

    named: int
    parts: list[tuple[int, int]] = field(init=False)
    refused: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = [(1, self.named)]

    def narrow(self, found: RolledBack) -> None:
        """Halve the range that ended the transaction; a single group is refused."""
        low, high = found.low, found.high
        if low == high:
            self.refused[low] = found.reason
            return
        middle = (low + high) // 2
        parts: list[tuple[int, int]] = []
        for first, last in self.parts:
            if first <= low and high <= last:
                parts += [(first, low - 1), (low, middle), (middle + 1, high), (high + 1, last)]
            else:
                parts.append((first, last))
        self.parts = [(first, last) for first, last in parts if first <= last]


_OF_A_ROW = frozenset({"SQLITE_ERROR", "SQLITE_TOOBIG"})
_OF_THE_SCHEMA = re.compile(
    r"no such |error in |unknown |near |wrong number of |misuse of |.* has no column named |.* has \d+ columns but "
    r"|too many (?!levels)|Expression tree |at most |parser stack "
)
"""What SQLite says when it cannot compile what runs at a table; that is no group's fault."""


def refusal_of(error: sqlite3.Error) -> sqlite3.IntegrityError | None:
    """The same error as a constraint's, if the values of a row are at fault: an index or trigger may compute over them what cannot be."""
    if isinstance(error, sqlite3.IntegrityError):
        return error
    if getattr(error, "sqlite_errorname", "") not in _OF_A_ROW or _OF_THE_SCHEMA.match(str(error)):
        return None
    return sqlite3.IntegrityError(str(error))


@contextmanager
def savepoint(connection: sqlite3.Connection, name: str, table: int = 0, low: int = 0, high: int = 0) -> Iterator[None]:
    """Undo what is done inside if the store refuses it: then raises IntegrityError, or RolledBack if the whole transaction is gone."""
    connection.execute(f"SAVEPOINT {name}")
    try:
        yield
    except sqlite3.Error as error:
        refused = refusal_of(error)
        if refused is None:
            raise
        if not connection.in_transaction:
            raise RolledBack(str(error), table, low, high) from error
        connection.execute(f"ROLLBACK TO {name}")
        connection.execute(f"RELEASE {name}")
        raise refused from None
    connection.execute(f"RELEASE {name}")


@contextmanager
def without_triggers(connection: sqlite3.Connection, b: Bound) -> Iterator[None]:
    """Those of the application's triggers that do not run are taken away, and put back in this same transaction."""
    if b.spec.triggers == "fire":
        yield
        return
    with _taken_away(connection, b, lambda name: not b.spec.runs(name)):
        yield


@contextmanager
def without_any(connection: sqlite3.Connection, b: Bound) -> Iterator[None]:
    """The same for all of them, whatever the profile says."""
    with _taken_away(connection, b, lambda _: True):
        yield


@contextmanager
def _taken_away(connection: sqlite3.Connection, b: Bound, away: Callable[[str], bool]) -> Iterator[None]:
    query = f"SELECT name, sql FROM main.sqlite_master WHERE {OWN_TRIGGERS}"
    listed = [(text(name), text(sql)) for name, sql in connection.execute(query, (b.spec.name,)).fetchall()]
    theirs = [(name, sql) for name, sql in listed if away(name)]
    for name, _ in theirs:
        connection.execute(f"DROP TRIGGER main.{quote(name)}")
    yield
    for _, sql in theirs:
        connection.execute(sql)
