"""Looks at a capture log only as far as it is new, for that of a partner who is away is long; and at SQLite's own log."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from poolpair.store.sqlite.binding import Bound
from poolpair.units import show_bytes

COUNTED_MAX = 10_000
"""Entries among which groups are told apart in each pass."""
STUCK_MAX_BYTES = 16 << 20
"""What a write-ahead log may hold back: SQLite itself shortens it at 4 MB, if nobody reads what stood before."""


def logs_foreign(connection: sqlite3.Connection, b: Bound, homes: str, looked: dict[int, int]) -> bool:
    """Whether anything of other homes than these (a JSON list) was logged since the last look that found nothing."""
    top = connection.execute(f"SELECT max(_rowid_) FROM {b.log}").fetchone()[0] or 0
    seen = looked.get(b.n, 0)
    if top < seen:  # numbers above were pruned and will be given again
        seen = 0
    query = f"SELECT 1 FROM {b.log} WHERE _rowid_ > ? AND coalesce({b.home}, '') NOT IN (SELECT value FROM json_each(?)) LIMIT 1"
    if connection.execute(query, (seen, homes)).fetchone():
        return True
    looked[b.n] = top
    return False


def groups_since(connection: sqlite3.Connection, b: Bound, since: int) -> int:
    """How many groups were logged after a token. Of a long log entries are counted, and a group may have several until it is shortened."""
    (entries,) = connection.execute(f"SELECT count(*) FROM {b.log} WHERE poolpair_gen > ?", (since,)).fetchone()
    if 1 < entries <= COUNTED_MAX:
        query = f"SELECT count(*) FROM (SELECT DISTINCT {b.key} FROM {b.log} WHERE poolpair_gen > ?)"
        (entries,) = connection.execute(query, (since,)).fetchone()
    return int(entries)


def stuck_words(connection: sqlite3.Connection, path: Path) -> str:
    """That somebody's read transaction keeps more of the write-ahead log than that from being put into the file; empty if nobody's does.

    A short log is not looked into, so this mostly costs one `stat`; else what can be put into the file is put there, and nobody waited for.
    """
    try:
        if path.with_name(path.name + "-wal").stat().st_size <= STUCK_MAX_BYTES:
            return ""
    except OSError:
        return ""
    _, pages, done = connection.execute("PRAGMA main.wal_checkpoint(PASSIVE)").fetchone()
    (page_bytes,) = connection.execute("PRAGMA main.page_size").fetchone()
    stuck_bytes = max(0, int(pages) - int(done)) * int(page_bytes)
    if stuck_bytes <= STUCK_MAX_BYTES:
        return ""
    waits = f"{show_bytes(stuck_bytes)} of its write-ahead log wait for that"
    return f"another process reads {path} in one long transaction, and {waits}"
