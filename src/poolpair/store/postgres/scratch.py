"""Temporary tables that a connection keeps."""

from __future__ import annotations

from typing import Protocol

SCRATCH_ROWS = 1000
"""A temporary table through which more rows went is truncated; until then deleting is quicker."""


class Runs(Protocol):
    """The connection that has them."""

    def run(self, text: str) -> object:
        """Execute statements."""
        ...

    def send(self, text: str) -> None:
        """Execute statements, and do not wait for them: if they fail the connection is made anew."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...


class ScratchTables:
    """Temporary tables that stay as long as their connection: to make one costs more than to carry a small package.

    Emptied after use: a few rows by DELETE, many (or many times a few) by TRUNCATE, which gives the space back.
    """

    def __init__(self, database: Runs) -> None:
        self._db = database
        self._made: dict[str, str] = {}
        self._unsure: set[str] = set()
        """Made in a transaction that may yet be rolled back."""
        self._used: dict[str, int] = {}

    def forget(self) -> None:
        """They are gone with the connection."""
        self._made.clear()
        self._used.clear()

    def undone(self) -> None:
        """What a transaction made that was rolled back is gone."""
        for name in self._unsure:
            self._made.pop(name, None)
        self._unsure.clear()

    def make(self, name: str, columns: str) -> str:
        """An empty table of these columns; gives its qualified name."""
        if self._made.get(name) != columns:
            self._db.run(f"DROP TABLE IF EXISTS pg_temp.{name}")
            self._db.run(f"CREATE TEMPORARY TABLE {name} ({columns})")
            self._made[name] = columns
            if self._db.in_transaction:
                self._unsure.add(name)
        return f"pg_temp.{name}"

    def empty(self, rows: dict[str, int]) -> None:
        """Empty tables that hold about so many rows; outside of a transaction."""
        if statements := self.emptying(rows):
            self._db.send("; ".join(statements))

    def emptying(self, rows: dict[str, int]) -> list[str]:
        """What empties them, to be said after a COMMIT."""
        self._unsure.clear()
        statements = []
        for name, count in rows.items():
            if name not in self._made:
                continue
            self._used[name] = self._used.get(name, 0) + count
            if self._used[name] > SCRATCH_ROWS:
                self._used[name] = 0
                statements.append(f"TRUNCATE pg_temp.{name}")
            elif count:
                statements.append(f"DELETE FROM pg_temp.{name}")
        return statements
