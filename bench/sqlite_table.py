"""The table that pairs on SQLite copy: a million rows of some 300 bytes, and what is changed of it, the same for every peer."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

STORES = ("contacts", "groups", "acl", "presence", "settings")
TABLE = (
    "CREATE TABLE userdata (owner TEXT NOT NULL, store TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, version INTEGER NOT NULL,"
    " mtime REAL NOT NULL, PRIMARY KEY (owner, store, key)) WITHOUT ROWID"
)
UPDATE = "UPDATE userdata SET value = ?, version = version + 1, mtime = 1.0 WHERE owner = ? AND store = ? AND key = ?"
INSERT = "INSERT INTO userdata VALUES (?, ?, ?, ?, 1, 1.0)"
DELETE = "DELETE FROM userdata WHERE owner = ? AND store = ? AND key = ?"
UPSERT = (
    "INSERT INTO userdata VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (owner, store, key) DO UPDATE"
    " SET value = excluded.value, version = excluded.version, mtime = excluded.mtime"
)
MARK = "owner = 'mark@a.example'"
LOT = 100
"""Rows in one transaction."""
Lots = list[tuple[str, list[tuple[object, ...]]]]


def opened(path: Path) -> sqlite3.Connection:
    """As an application that wants its commits durable and waits for locks."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -262144"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def reading(path: Path) -> sqlite3.Connection:
    """For whoever only looks."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30, isolation_level=None)


def key_of(number: int) -> tuple[str, str, str]:
    """The key of a row."""
    return f"user{number // 20:06d}@a.example", STORES[number % 5], hashlib.md5(str(number).encode()).hexdigest()  # noqa: S324


def value_of(number: int, salt: int) -> str:
    """Some 280 characters that compress as contacts do."""
    x = random.Random(number * 31 + salt).getrandbits(62)
    name = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi")[x % 8]
    return (
        f'{{"etag":"{x:016x}","displayName":"{name} {x % 9973}","uri":"sip:{name.lower()}.{x % 99991}@a.example",'
        f'"groups":["Work","Team {x % 97}","All contacts"],"phone":"+1 (425) 555-{x % 10000:04d}","subscribed":{x & 1},'
        f'"note":"updated by client {x % 31}","modified":"2013-10-23T{x % 24:02d}:{x % 60:02d}:{x % 59:02d}Z"}}'
    )


def fill(path: Path, rows: int) -> None:
    """Make the table, with the mark."""
    with closing(opened(path)) as connection:
        connection.execute(TABLE)
        connection.execute("BEGIN")
        made = sorted((*key_of(n), value_of(n, 0), 1, 0.0) for n in range(rows))
        connection.executemany("INSERT INTO userdata VALUES (?, ?, ?, ?, ?, ?)", made)
        connection.execute("INSERT INTO userdata VALUES ('mark@a.example', 'mark', 'mark', '', 0, 0)")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def changes(rows: int, number: int) -> Lots:
    """20 % of the rows updated, 2 % inserted, 2 % deleted, in random order, in lots; another `number`, other rows."""
    rng, updates, each = random.Random(1000 + number), rows // 5, rows // 50
    chosen = rng.sample(range(rows * 4 // 5), updates)
    fresh = range(rows + number * each, rows + (number + 1) * each)
    gone = range(rows * 4 // 5 + number * each, rows * 4 // 5 + (number + 1) * each)
    lots: Lots = [(UPDATE, [(value_of(n, number + 1), *key_of(n)) for n in lot]) for lot in _lots(chosen)]
    lots += [(INSERT, [(*key_of(n), value_of(n, 0)) for n in lot]) for lot in _lots(fresh)]
    lots += [(DELETE, [key_of(n) for n in lot]) for lot in _lots(gone)]
    rng.shuffle(lots)
    return lots


def hot(rows: int, times: int) -> Lots:
    """The same rows again and again."""
    lots: Lots = []
    for turn in range(times):
        numbers = list(range(rows))
        random.Random(turn).shuffle(numbers)
        lots += [(UPDATE, [(value_of(n, turn + 100), *key_of(n)) for n in lot]) for lot in _lots(numbers)]
    return lots


def _lots(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[at : at + LOT] for at in range(0, len(numbers), LOT))


def write(path: Path, lots: Lots) -> int:
    """Do it, and raise the mark last; gives the mark's version."""
    with closing(opened(path)) as connection:
        for statement, values in lots:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, values)
            connection.execute("COMMIT")
        connection.execute(f"UPDATE userdata SET version = version + 1 WHERE {MARK}")
        return mark(connection)


def mark(connection: sqlite3.Connection) -> int:
    """The version of the mark; -1 if there is none yet."""
    try:
        row = connection.execute(f"SELECT version FROM userdata WHERE {MARK}").fetchone()
    except sqlite3.Error:
        return -1
    return int(row[0]) if row else -1


def fingerprint(path: Path) -> tuple[int, str]:
    """Count and hash of every row."""
    digest, count = hashlib.sha256(), 0
    with closing(reading(path)) as connection:
        for row in connection.execute("SELECT * FROM userdata ORDER BY owner, store, key"):
            digest.update(repr(row).encode())
            count += 1
    return count, digest.hexdigest()


def final_rows(path: Path, lots: Lots) -> list[tuple[object, ...]]:
    """What the changed rows are now: the whole row, or its key alone if it is gone."""
    keys = {values[-3:] if statement != INSERT else values[:3] for statement, listed in lots for values in listed}
    query = "SELECT * FROM userdata WHERE owner = ? AND store = ? AND key = ?"
    with closing(reading(path)) as connection:
        return [connection.execute(query, key).fetchone() or tuple(key) for key in sorted(keys, key=repr)]


def text_bytes(rows: list[tuple[object, ...]]) -> int:
    """How many bytes rows are as text."""
    return sum(len(str(value).encode()) + 1 for row in rows for value in row)
