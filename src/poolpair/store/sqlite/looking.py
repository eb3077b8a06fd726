"""Looks at a capture log only as far as it is new: that of a partner who is away is long."""

from __future__ import annotations

import sqlite3

from poolpair.store.sqlite.binding import Bound


def logs_foreign(connection: sqlite3.Connection, b: Bound, homes: str, looked: dict[int, int]) -> bool:
    """Whether anything of other homes than these (a JSON list) was logged since the last look that found nothing."""
    top = connection.execute(f"SELECT max(rowid) FROM {b.log}").fetchone()[0] or 0
    seen = looked.get(b.n, 0)
    if top < seen:  # numbers above were pruned and will be given again
        seen = 0
    query = f"SELECT 1 FROM {b.log} WHERE rowid > ? AND coalesce({b.home}, '') NOT IN (SELECT value FROM json_each(?)) LIMIT 1"
    if connection.execute(query, (seen, homes)).fetchone():
        return True
    looked[b.n] = top
    return False
