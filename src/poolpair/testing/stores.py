"""Which kind of database a run works on."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from poolpair.testing.database_memory import MemoryDatabase
from poolpair.testing.database_postgres import PostgresDatabase
from poolpair.testing.database_sqlite import SqliteDatabase
from poolpair.testing.view import Database


class StoreKind(StrEnum):
    """Memory for volume, the others for truth."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    POSTGRES = "postgresql"


def maker(kind: StoreKind, scratch: Path) -> Callable[[str], Database]:
    """How a pool gets its database."""
    if kind is StoreKind.SQLITE:
        return lambda name: SqliteDatabase.make(scratch / f"database-{name}", name)
    if kind is StoreKind.POSTGRES:
        return PostgresDatabase.make
    return MemoryDatabase
