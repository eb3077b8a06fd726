"""What a first copy is sent in, and whether there is room for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poolpair.slice import Slice
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database

SLICE_BLOCKS = 1024
"""8 MiB of a table in one package of a first copy: while one is applied the next is cut, and the first is there soon."""
WHOLE_BLOCKS = 32768
"""A table that cannot be sliced is sent whole up to 256 MiB; a larger one is left to the comparison."""


def slices_of(database: Database, bound: Iterable[Bound]) -> Iterator[Slice]:
    """What a first copy of tables is sent in: those that others refer to first.

    Where rows refer to each other in a circle, one slice may need the next: that is left to the comparison.
    """
    ordered = sorted(bound, key=lambda b: b.rank)
    rank = {b.on.place.oid: b.rank for b in ordered}
    for b in ordered:
        if not b.on.refers_to_itself and all(rank.get(other, -1) < b.rank for other in b.on.refers_to):
            yield from _slices_of(database, b)


def _slices_of(database: Database, b: Bound) -> Iterator[Slice]:
    oids = [place.oid for place in (b.on.place, *b.on.partitions)]
    blocks = database.number(
        "SELECT sum(pg_relation_size(oid::oid::regclass)) / current_setting('block_size')::int FROM unnest($1::bigint[]) o (oid)",
        oids,
    )
    if b.is_plain:
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
