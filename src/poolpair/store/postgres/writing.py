"""Writes every table of a package, in an order that references between them allow."""

from __future__ import annotations

from poolpair.store.postgres.applying import TableApply
from poolpair.store.postgres.circles import circles, write_at_once
from poolpair.store.postgres.database import Database
from poolpair.store.values import Applied


def write(database: Database, tables: list[TableApply], filled: int) -> Applied:
    """Delete from the tables that refer to others first, write to them last. So many rows are written already, each a group."""
    for table in tables:
        table.set_aside()
    for circle in reversed(circles(tables)):
        write_at_once(database, circle, TableApply.deletion, TableApply.deleted)
        for table in circle:
            table.delete()
    for circle in circles(tables):
        write_at_once(database, circle, TableApply.writing, TableApply.written)
        for table in circle:
            table.write()
    done = [table.done() for table in tables]
    return Applied(
        groups=filled + sum(each.groups for each in done),
        rows=filled + sum(each.rows for each in done),
        deleted=sum(each.deleted for each in done),
        parked=sum(each.parked for each in done),
    )
