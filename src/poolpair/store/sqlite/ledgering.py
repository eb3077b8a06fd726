"""Recovery on SQLite: groups of a returned pool are merged, found equal, or put into the ledger with both versions.

This is the slow and careful way: group by group, inside one transaction. What is written here is captured like a write of the
application's, so that what stands afterwards flows back to the pool that returned.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.store.buckets import Text
from poolpair.store.ledger import COLUMNS, TABLE, entry_of, ledger_row, row_of
from poolpair.store.row_text import Row, rows_from_text, rows_to_text
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import PREFIX, chained, quote, text
from poolpair.store.sqlite.fencing import deciding
from poolpair.store.sqlite.refusing import refusal_of, savepoint, without_triggers
from poolpair.store.values import Choice, LedgerEntry, LedgerNote, Reclaimed, RecoverPlan

CHANGED = "temp.poolpair_changed"
"""Keys of the groups that were logged after the token in question."""
BROUGHT = "temp.poolpair_brought"
"""The keys of the rows that a returned pool brings, and where each lies."""


class Ledgering:
    """Works on one table within a transaction."""

    def __init__(self, connection: sqlite3.Connection, b: Bound, note: LedgerNote) -> None:
        self._c = connection
        self._b = b
        self._note = note
        self._followed = -1
        """Up to which row the log was looked at, for `recover`; nothing is taken out of it in the transaction."""

    def reclaim(self, keys: str, rows: str, number: str, value: int) -> int:
        """Log every group of a list; put those whose kept rows differ from what stands here into the ledger. Returns how many."""
        b, written = self._b, 0
        with deciding(self._c):
            for key in self._c.execute(f"SELECT {b.key} FROM {keys} WHERE {number} = ?", (value,)).fetchall():
                theirs = self._rows(rows, key, f"{number} = {value}")
                if b.spec.home_is_pool:
                    self._unite(key, theirs)
                else:
                    written += self._differing(key, theirs)
                self._log(key)
        return written

    def recover(self, plan: RecoverPlan) -> Reclaimed:
        """Take in what the attached rows file names of this table, or list what differs."""
        if plan.lists:
            return self._list_standing(plan)
        b, total = self._b, Reclaimed()
        refused: list[Row] = []
        self._find_by_key()
        with deciding(self._c):
            for key in self._c.execute(f"SELECT {b.key} FROM pkg.k{b.n} ORDER BY rowid").fetchall():
                theirs = self._brought(key)
                if b.spec.home_is_pool:
                    self._unite(key, theirs)
                elif _same(theirs, self._here(key)):
                    total = replace(total, equal=total.equal + 1)
                elif plan.merge and not self._was_changed(key, plan.reign_token):
                    if self._replaced(key, theirs):
                        total = replace(total, merged=total.merged + 1)
                    else:
                        refused.append(key)
                else:
                    total = replace(total, in_ledger=total.in_ledger + self._differing(key, theirs))
                self._log(key)
            left = self._tried_again(refused)
            in_ledger = sum(self._differing(key, self._brought(key)) for key in left)
        if plan.merge:
            self._returned(plan)
        merged = total.merged + len(refused) - len(left)
        return replace(total, merged=merged, in_ledger=total.in_ledger + in_ledger)

    def _tried_again(self, refused: list[Row]) -> list[Row]:
        """Try each once more as long as any is taken: another may have given up the unique value that it takes. Gives the others."""
        left, before = refused, len(refused) + 1
        while left and len(left) < before:
            before = len(left)
            left = [key for key in reversed(left) if not self._replaced(key, self._brought(key))]
        return left

    def _list_standing(self, plan: RecoverPlan) -> Reclaimed:
        b, listed = self._b, 0
        self._find_by_key()
        keys = f"SELECT {b.key} FROM pkg.k{b.n} WHERE {b.scope} ORDER BY rowid"
        for key in self._c.execute(keys).fetchall() if not b.spec.home_is_pool else ():
            if self._home(key) == plan.home:
                listed += self._differing(key, self._brought(key))
        return Reclaimed(in_ledger=listed)

    def _returned(self, plan: RecoverPlan) -> None:
        """What was standing for groups of this table is handed in now."""
        for row in entries(self._c, f"WHERE state = '{Choice.STANDING}'"):
            entry = entry_of(row)
            if (entry.home, entry.channel, entry.table) == (plan.home, plan.channel, self._b.spec.name):
                (key,) = rows_from_text(entry.key)
                query = f"SELECT 1 FROM pkg.k{self._b.n} WHERE {_is_key(self._b, key)}"
                if self._c.execute(query, _bindable(key)).fetchone():
                    replace_entry(self._c, replace(entry, state=Choice.RETURNED, decided_utc=plan.note.now_utc))

    def _unite(self, key: Row, theirs: tuple[Row, ...]) -> None:
        """Take in an entry that the other ledger had: one that is unknown here, or that only there somebody decided on."""
        here = self._here(key)
        if theirs and (not here or (_is_decided(theirs[0]) and not _is_decided(here[0]))):
            self.write(key, theirs)

    def _was_changed(self, key: Row, token: int) -> bool:
        self._follow_log(token)
        query = f"SELECT 1 FROM {CHANGED} WHERE {_is_key(self._b, key)} LIMIT 1"
        return self._c.execute(query, _bindable(key)).fetchone() is not None

    def _follow_log(self, token: int) -> None:
        """Have what was logged after a token by its key, up to now: the log itself has no index, and what is merged adds to it."""
        b = self._b
        if self._followed < 0:
            self._c.execute(f"DROP TABLE IF EXISTS {CHANGED}")
            self._c.execute(f"CREATE TABLE {CHANGED} ({b.key_types})")
            self._c.execute(f"CREATE INDEX {CHANGED}_key ON {CHANGED.removeprefix('temp.')} ({b.key})")
        later = f"SELECT {b.key} FROM {b.log} WHERE _rowid_ > ? AND poolpair_gen > ?"
        self._c.execute(f"INSERT INTO {CHANGED} {later}", (self._followed, token))
        self._followed = self._c.execute(f"SELECT coalesce(max(_rowid_), 0) FROM {b.log}").fetchone()[0]

    def _replaced(self, key: Row, rows: tuple[Row, ...]) -> bool:
        """Let the group consist of these rows; False, and nothing changed, if the table refuses them."""
        try:
            with savepoint(self._c, "recover"), without_triggers(self._c, self._b):
                self.write(key, rows)
        except sqlite3.IntegrityError:
            return False
        return True

    def write(self, key: Row, rows: tuple[Row, ...]) -> None:
        """Write a group; where it is a single row it is updated in place, so that columns of this site keep their values."""
        b = self._b
        names = ", ".join(map(quote, b.columns))
        marks = ", ".join(_mark(value) for value in rows[0]) if rows else ""
        if b.conflict is not None and len(rows) == 1:
            updates = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in b.columns)
            conflict = f"ON CONFLICT ({', '.join(map(quote, b.conflict))}) DO UPDATE SET {updates}"
            # OR ABORT: a constraint of the table's own with ON CONFLICT REPLACE would delete a row that the server accepted.
            insert = f"INSERT OR ABORT INTO {b.table} AS poolpair_here ({names}) VALUES ({marks}) {conflict}"
            self._c.execute(insert, _bindable(rows[0]))
            return
        self._c.execute(f"DELETE FROM {b.table} WHERE {_is_key(self._b, key)} AND {b.scope}", _bindable(key))
        for row in rows:
            marks = ", ".join(map(_mark, row))
            self._c.execute(f"INSERT OR ABORT INTO {b.table} ({names}) VALUES ({marks})", _bindable(row))

    def _here(self, key: Row) -> tuple[Row, ...]:
        b = self._b
        columns = ", ".join(f"t.{quote(name)}" for name in b.columns)
        query = f"SELECT {columns} FROM {b.table} AS t WHERE {_is_key(self._b, key, 't')} AND {b.scoped('t')} ORDER BY {b.order}"
        return tuple(self._c.execute(query, _bindable(key)).fetchall())

    def _rows(self, table: str, key: Row, extra: str = "1") -> tuple[Row, ...]:
        query = f"SELECT {self._b.column_list} FROM {table} WHERE {_is_key(self._b, key)} AND {extra} ORDER BY rowid"
        return tuple(self._c.execute(query, _bindable(key)).fetchall())

    def _find_by_key(self) -> None:
        """Have the rows that were brought by their key: a rows file has no index, and each group is looked up in it."""
        b = self._b
        self._c.execute(f"DROP TABLE IF EXISTS {BROUGHT}")
        self._c.execute(f"CREATE TABLE {BROUGHT} ({b.key_types}, poolpair_row INTEGER)")
        self._c.execute(f"CREATE INDEX {BROUGHT}_key ON {BROUGHT.removeprefix('temp.')} ({b.key})")
        self._c.execute(f"INSERT INTO {BROUGHT} SELECT {b.key}, rowid FROM pkg.r{b.n}")

    def _brought(self, key: Row) -> tuple[Row, ...]:
        b = self._b
        columns = ", ".join(f"r.{quote(name)}" for name in b.columns)
        query = (
            f"SELECT {columns} FROM {BROUGHT} g CROSS JOIN pkg.r{b.n} r ON r.rowid = g.poolpair_row"
            f" WHERE {_is_key(b, key, 'g')} ORDER BY r.rowid"
        )
        return tuple(self._c.execute(query, _bindable(key)).fetchall())

    def _differing(self, key: Row, theirs: tuple[Row, ...]) -> int:
        ours = self._here(key)
        home = self._home(key)
        if _same(ours, theirs) or home is None:
            return 0
        texts = (
            rows_to_text((_plain(key),)),
            rows_to_text(tuple(map(_plain, theirs))),
            rows_to_text(tuple(map(_plain, ours))),
        )
        row = ledger_row(home, self._b.spec.channel, self._b.spec.name, *texts, self._note)
        put_entry(self._c, row)
        return 1

    def _home(self, key: Row) -> str | None:
        b = self._b
        columns = ", ".join(f"{_mark(value)} AS {quote(name)}" for name, value in zip(b.spec.key, key, strict=True))
        (home,) = self._c.execute(f"SELECT {b.home} FROM (SELECT {columns})", _bindable(key)).fetchone()
        return text(home) if home is not None else None

    def _log(self, key: Row) -> None:
        b, bindable = self._b, _bindable(key)
        marks = ", ".join(map(_mark, key))
        stamp = f"(SELECT value FROM main.{PREFIX}gen)"
        self._c.execute(f"INSERT INTO {b.log} ({b.key}, poolpair_gen) VALUES ({marks}, {stamp})", bindable)

    def _let_stand(self, key: Row, entry: LedgerEntry) -> None:
        """Write what the returned pool had. Raises PARKED if the table refuses it; the entry stays as it is then."""
        try:
            with deciding(self._c), without_triggers(self._c, self._b):
                self.write(key, rows_from_text(entry.theirs))
        except sqlite3.Error as error:
            if refusal_of(error) is None:
                raise
            raise PoolpairError(Code.PARKED, f"table {entry.table} refuses the rows of the entry: {error}") from error

    def decide(self, entry: LedgerEntry, choice: Choice, *, force: bool) -> LedgerEntry:
        """Let the chosen version stand. Raises LEDGER_MOVED if the rows are no longer what the entry says of them."""
        (key,) = rows_from_text(entry.key)
        here = rows_to_text(tuple(map(_plain, self._here(key))))
        if choice is Choice.THEIRS and here not in {entry.ours, entry.theirs} and not force:
            raise PoolpairError(Code.LEDGER_MOVED, f"a group of {entry.table} was written again since")
        if choice is Choice.THEIRS:
            self._let_stand(key, entry)
        elif entry.state is Choice.STANDING:  # else it would be merged over when it is handed in
            self._log(key)
        replaced = here if choice is Choice.THEIRS and here != entry.theirs else entry.ours
        decided = replace(entry, state=choice, decided_utc=self._note.now_utc, ours=replaced)
        replace_entry(self._c, decided)
        return decided


def put_entry(connection: sqlite3.Connection, row: tuple[str, ...]) -> None:
    """An entry that is there already stays as it is, decided or not."""
    marks = ", ".join("?" * len(row))
    with deciding(connection):
        connection.execute(f"INSERT OR IGNORE INTO main.{TABLE} ({', '.join(COLUMNS)}) VALUES ({marks})", row)


def replace_entry(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    """Let an entry be this one."""
    listed, here = ", ".join(f"{name} = ?" for name in COLUMNS), "home = ? AND entry_id = ?"
    with deciding(connection):
        connection.execute(
            f"UPDATE main.{TABLE} SET {listed} WHERE {here}", (*row_of(entry), entry.home, entry.entry_id)
        )


def entries(connection: sqlite3.Connection, chosen: str = "") -> Iterable[tuple[object, ...]]:
    """Every ledger entry, or those `chosen` by a condition, as a row of COLUMNS, oldest first."""
    for row in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM main.{TABLE} {chosen} ORDER BY rowid").fetchall():
        yield tuple(map(text, row))


def _is_decided(row: Row) -> bool:
    """Whether somebody decided on an entry of the ledger."""
    return entry_of(tuple(map(text, row))).state.is_decided


def _is_key(b: Bound, key: Row, alias: str = "") -> str:
    prefix = f"{alias}." if alias else ""
    pairs = zip(b.spec.key, key, strict=True)
    return chained("AND", (f"{prefix}{quote(name)} IS {_mark(value)}{b.as_compared(name)}" for name, value in pairs))


def _same(one: tuple[Row, ...], other: tuple[Row, ...]) -> bool:
    """Whether the rows are the same, storage classes included: 1 and 1.0 are two values."""
    return [[(type(value), value) for value in row] for row in one] == [
        [(type(value), value) for value in row] for row in other
    ]


def _plain(row: Row) -> Row:
    """Texts as `str` where they are UTF-8."""
    return tuple(_decoded(value) for value in row)


def _decoded(value: object) -> object:
    if not isinstance(value, Text):
        return value
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return value


def _mark(value: object) -> str:
    """A text that was read as bytes is bound as bytes, and said to be text."""
    return "CAST(? AS TEXT)" if isinstance(value, Text) else "?"


def _bindable(row: Row) -> tuple[object, ...]:
    return tuple(_decoded(value) if isinstance(value, Text) else value for value in row)
