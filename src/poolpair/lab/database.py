"""Where a pool of the lab keeps its rows: driven from outside, by the plain drivers, as the application and an operator would.

Queries are written so that both kinds read them: `?` for values, and every name that is a word of SQL in quotes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

Row = tuple[object, ...]
Change = tuple[str, tuple[object, ...]]


class Watch(Protocol):
    """Looks from outside whether an apply is writing now."""

    def writes(self) -> bool:
        """Whether a transaction of the service's writes rows at this moment."""
        ...

    def unfinished(self) -> str:
        """After the kill: what tells that the transaction seen before never ended; empty if nothing does."""
        ...


class Database(Protocol):
    """One pool's database."""

    @property
    def url(self) -> str:
        """What the pool file says."""
        ...

    def prepare(self, example: Path) -> None:
        """Bring the example's rows in."""
        ...

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read rows."""
        ...

    def change(self, *changes: Change) -> None:
        """Carry out statements in one transaction."""
        ...

    def raw(self, query: str, *values: object) -> list[Row]:
        """Read rows to the byte, in one order that both pools of a pair agree on."""
        ...

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the pool remembers."""
        ...

    def watch(self) -> Watch:
        """Begin to look for an apply."""
        ...


class SqliteDatabase:
    """A file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        """Four slashes: the path is absolute."""
        return f"sqlite:///{self.path}"

    def prepare(self, example: Path) -> None:
        """The example is such a file, and was copied with its folder."""

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """As the application opens it; commits at the end."""
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            yield connection

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read rows."""
        with self.open() as connection:
            return connection.execute(query, values).fetchall()

    def change(self, *changes: Change) -> None:
        """One transaction."""
        with self.open() as connection:
            for statement, values in changes:
                connection.execute(statement, values)

    def raw(self, query: str, *values: object) -> list[Row]:
        """Values as bytes: text that is no text is compared too."""
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            connection.text_factory = bytes
            return connection.execute(query, values).fetchall()

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """From our table in the file."""
        for name, body in self.raw("SELECT name, body FROM poolpair_document"):
            assert isinstance(name, bytes)
            assert isinstance(body, bytes)
            yield name.decode(), json.loads(body)

    def watch(self) -> Watch:
        """By the write-ahead log."""
        return _LogWatch(self.path.with_name(self.path.name + "-wal"))


class _LogWatch:
    """SQLite spills a large transaction into the log before it commits: a log that grows is a transaction under way."""

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._before = self._size()

    def _size(self) -> int:
        return self._wal.stat().st_size if self._wal.exists() else 0

    def writes(self) -> bool:
        return self._size() > self._before

    def unfinished(self) -> str:
        left = uncommitted_bytes(self._wal)
        return f"B's log holds {left:,} bytes of an uncommitted transaction" if left else ""


def uncommitted_bytes(wal: Path) -> int:
    """Bytes of a write-ahead log after its last commit, by SQLite's file format: pages of a transaction that did not end."""
    data = wal.read_bytes()
    page_bytes, salts = int.from_bytes(data[8:12], "big"), data[16:24]
    frame_bytes = 24 + page_bytes
    open_frames = 0
    for at in range(32, len(data) - frame_bytes + 1, frame_bytes):
        if data[at + 8 : at + 16] != salts:
            break  # left over from before the log was begun anew
        is_commit = data[at + 4 : at + 8] != bytes(4)
        open_frames = 0 if is_commit else open_frames + 1
    return open_frames * frame_bytes
