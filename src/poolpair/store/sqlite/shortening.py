"""Takes out of a long log what says a second time that a group changed: of a group's entries the one with the highest stamp stays.

That one counts after every token after which another would. The triggers only add, so nothing else keeps the log of a partner that is away
from growing with each write. What may go is found in a read view, while writers go on. It is taken out in small transactions, each of
which sees for itself that the entry which stays is there, whatever became of the log since. A key may be called `rowid`, so the row number
is called `_rowid_` here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from poolpair.store.sqlite.binding import Bound

SHORTEN_ENTRIES = 10_000
"""Fewer new entries are worth no work."""
BATCH_ENTRIES = 2_000
"""At most so many are taken out at once, for the application waits meanwhile: some milliseconds."""


class Shortening:
    """What one connection remembers of how long the logs were."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._c = connection
        self._shortened: dict[int, tuple[int, int]] = {}
        """Per entry of the profile its log's last row number, and how many entries stayed, when it was last shortened."""

    def shorten(self, bound: Iterable[Bound], transaction: Callable[[], AbstractContextManager[object]]) -> None:
        """Shorten those that have grown to twice their length. Raises what `transaction` raises; the rest is for the next time."""
        for b in bound:
            top = self._c.execute(f"SELECT max(_rowid_) FROM {b.log}").fetchone()[0] or 0
            seen, stayed = self._shortened.get(b.n, (0, 0))
            if top < seen:  # the log was emptied meanwhile, and numbers are given again
                seen, stayed = 0, 0
            if top - seen > max(SHORTEN_ENTRIES, stayed):
                self._shorten(b, transaction)
                self._shortened[b.n] = (top, self._c.execute(f"SELECT count(*) FROM {b.log}").fetchone()[0])

    def _shorten(self, b: Bound, transaction: Callable[[], AbstractContextManager[object]]) -> None:
        self._c.execute("DROP TABLE IF EXISTS temp.poolpair_twice")
        self._c.execute(
            "CREATE TABLE temp.poolpair_twice AS SELECT poolpair_entry, poolpair_stays FROM (SELECT _rowid_ AS poolpair_entry,"
            f" first_value(_rowid_) OVER (PARTITION BY {b.key} ORDER BY poolpair_gen DESC, _rowid_ DESC) AS poolpair_stays FROM {b.log})"
            " WHERE poolpair_entry <> poolpair_stays"
        )
        last = self._c.execute("SELECT coalesce(max(_rowid_), 0) FROM temp.poolpair_twice").fetchone()[0]
        for first in range(1, last + 1, BATCH_ENTRIES):
            with transaction():
                self._take_out(b, first)
        self._c.execute("DROP TABLE temp.poolpair_twice")

    def _take_out(self, b: Bound, first: int) -> None:
        """Numbers are given again in a log that was emptied, so both rows are looked at once more, now that nobody else writes."""
        found = "e._rowid_ = w.poolpair_entry AND s._rowid_ = w.poolpair_stays"
        still = f"s.poolpair_gen >= e.poolpair_gen AND {b.same_key('e', 's')}"
        self._c.execute(
            f"DELETE FROM {b.log} WHERE _rowid_ IN (SELECT e._rowid_ FROM temp.poolpair_twice w CROSS JOIN {b.log} e CROSS JOIN {b.log} s"
            f" WHERE w._rowid_ BETWEEN ? AND ? AND {found} AND {still})",
            (first, first + BATCH_ENTRIES - 1),
        )
