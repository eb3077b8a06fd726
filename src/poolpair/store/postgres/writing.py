"""Writes every table of a package, in an order that references between them allow."""

from __future__ import annotations

from poolpair.store.postgres.applying import TableApply
from poolpair.store.postgres.circles import write_in_order
from poolpair.store.postgres.database import Database
from poolpair.store.values import Applied


def write(database: Database, tables: list[TableApply], filled: int) -> Applied:
    """Write all of it. So many rows are written already, each a group."""
    for table in tables:
        table.set_aside()
    write_in_order(database, tables)
    done = [table.done() for table in tables]
    return Applied(
        groups=filled + sum(each.groups for each in done),
        rows=filled + sum(each.rows for each in done),
        deleted=sum(each.deleted for each in done),
        parked=sum(each.parked for each in done),
    )
