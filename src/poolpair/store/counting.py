"""What a profile would carry, counted: one query per table, the same on every kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from poolpair.store.profile import ProfileTable

Owner = Callable[[str], str | None]
"""Which pool a home key belongs to; None: no pattern matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What one entry of a profile holds now. Sizes are those of the values, in bytes."""

    table: str
    shared: bool
    groups: int = 0
    rows: int = 0
    size_bytes: int = 0
    unhomed: int = 0
    """Groups that belong to no pool."""


def contents_query(spec: ProfileTable, table: str, key: str, scope: str, row_bytes: str) -> str:
    """Counts groups, rows and bytes per home key, of a table that is already named, quoted and qualified."""
    groups = f"SELECT {key}, count(*) AS poolpair_rows, sum({row_bytes}) AS poolpair_bytes FROM {table} WHERE {scope} GROUP BY {key}"
    home_key = "NULL" if spec.shared else f"({spec.home_key})"
    return f"SELECT {home_key}, count(*), sum(poolpair_rows), sum(poolpair_bytes) FROM ({groups}) poolpair_groups GROUP BY 1"


def counted(spec: ProfileTable, rows: Iterable[tuple[str | None, int, int, int]], owner: Owner) -> Contents:
    """Sum up; a home key that is NULL belongs to nobody, unless the table is shared."""
    found = Contents(table=spec.name, shared=spec.shared)
    for home_key, groups, count, size_bytes in rows:
        homeless = not spec.shared and (home_key is None or owner(home_key) is None)
        found = replace(
            found,
            groups=found.groups + groups,
            rows=found.rows + count,
            size_bytes=found.size_bytes + size_bytes,
            unhomed=found.unhomed + (groups if homeless else 0),
        )
    return found
