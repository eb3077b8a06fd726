"""The independent comparison of two pools: plain drivers and file hashing. Shares no code with the product, on purpose.

Rows are compared as multisets of raw bytes, so a lost, doubled or altered row shows, also in `prosody`, which has no key. Archives
are read in the order of `sort_id`, which each site numbers by itself; so that order is compared too.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from poolpair.lab.pool import Pool

SITE_LOCAL = ("cron", "upload_stats", "smacks_h", "state")
"""Stores that every Prosody keeps for itself."""

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one pool holds."""

    rows: Counter[Row]
    order: dict[Row, tuple[Row, ...]]
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two pools differ; all zero is equal."""

    rows: int
    files: int
    rows_only_at_first: int
    rows_only_at_second: int
    disordered_archives: int
    files_that_differ: int

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (
            self.rows_only_at_first or self.rows_only_at_second or self.disordered_archives or self.files_that_differ
        )

    def __str__(self) -> str:
        if self.equal:
            return f"{self.rows} rows and {self.files} files, equal in every byte"
        return (
            f"{self.rows_only_at_first} rows only at the first pool, {self.rows_only_at_second} only at the second, "
            f"{self.disordered_archives} archives in another order, {self.files_that_differ} files differ"
        )


def content(pool: Pool) -> Content:
    """Read everything that one pool holds of what is carried."""
    marks = ", ".join("?" * len(SITE_LOCAL))
    plain = pool.store.raw(f"SELECT * FROM prosody WHERE store NOT IN ({marks})", *SITE_LOCAL)
    archive = pool.store.raw(
        'SELECT host, "user", store, key, "when", "with", type, value FROM prosodyarchive ORDER BY sort_id'
    )
    data = pool.data
    order: dict[Row, list[Row]] = {}
    for row in archive:
        order.setdefault(row[:3], []).append(row[3:4])
    return Content(
        rows=Counter([(b"prosody", *row) for row in plain] + [(b"prosodyarchive", *row) for row in archive]),
        order={archive_of: tuple(keys) for archive_of, keys in order.items()},
        files={
            str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(data.glob("share*/http_file_share/*.bin"))
        },
    )


def compare(first: Pool, second: Pool) -> Comparison:
    """Compare two pools."""
    one, other = content(first), content(second)
    names = one.files.keys() | other.files.keys()
    return Comparison(
        rows=one.rows.total(),
        files=len(one.files),
        rows_only_at_first=(one.rows - other.rows).total(),
        rows_only_at_second=(other.rows - one.rows).total(),
        disordered_archives=sum(
            one.order.get(key) != other.order.get(key) for key in one.order.keys() | other.order.keys()
        ),
        files_that_differ=sum(one.files.get(name) != other.files.get(name) for name in names),
    )


def doubled(pool: Pool) -> int:
    """Rows of `prosody` beyond the first of each (host, user, store, key): its writer never makes any."""
    groups = 'SELECT count(*) AS n FROM prosody GROUP BY host, "user", store, key'
    found = pool.ask(f"SELECT coalesce(sum(n - 1), 0) FROM ({groups}) grouped")
    return int(found[0][0])
