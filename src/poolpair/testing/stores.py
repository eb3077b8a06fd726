"""Which kind of database a run works on."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from poolpair.testing.database_memory import MemoryDatabase
from poolpair.testing.view import Database


class StoreKind(StrEnum):
    """Memory for volume."""

    MEMORY = "memory"


def maker(kind: StoreKind, _scratch: Path) -> Callable[[str], Database]:
    """How a pool gets its database."""
    makers: dict[StoreKind, Callable[[str], Database]] = {StoreKind.MEMORY: MemoryDatabase}
    return makers[kind]
