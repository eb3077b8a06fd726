"""What a first copy is sent in, and whether there is room for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poolpair.model import Slice
from poolpair.store.postgres.binding import Bound
from poolpair.store.postgres.database import Database

SLICE_BLOCKS = 8192
"""64 MiB of a table in one package of a first copy."""
WHOLE_BLOCKS = 32768
"""A table that cannot be sliced is sent whole up to 256 MiB; a larger one is left to the comparison."""


def slices_of(database: Database, b: Bound) -> Iterator[Slice]:
    """What a first copy of a table is sent in."""
    oids = [place.oid for place in (b.on.place, *b.on.partitions)]
    blocks = database.number(
        "SELECT sum(pg_relation_size(oid::oid::regclass)) / current_setting('block_size')::int FROM unnest($1::bigint[]) o (oid)",
        oids,
    )
    if b.conflict is not None and not b.on.partitions:
        for low in range(0, blocks, SLICE_BLOCKS):
            yield Slice(table=b.n, low=low, high=low + SLICE_BLOCKS)
    elif 0 < blocks <= WHOLE_BLOCKS:
        yield Slice(table=b.n, low=0, high=0)


def holds_any(database: Database, bound: Iterable[Bound], homes: tuple[str, ...]) -> bool:
    """Whether there is any row of these homes."""
    for b in bound:
        mine = f"{b.scope} AND {b.home} = ANY ($1::text[])"
        if database.row(f"SELECT FROM {b.table} WHERE {mine} LIMIT 1", list(homes)) is not None:
            return True
    return False
