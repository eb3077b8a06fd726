"""What below an application's folder of files is no file to be carried: its database, and what poolpair keeps there.

A database that is written to is no file: a copy of it is torn, and one that arrives would take the partner's own from under its
application. Whatever a profile's patterns say, these are never looked at, sent or placed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

BESIDE_A_DATABASE = ("", "-wal", "-shm", "-journal")


def database_files(path: Path) -> tuple[Path, ...]:
    """The files that SQLite keeps for one database."""
    return tuple(path.with_name(path.name + ending) for ending in BESIDE_A_DATABASE)


def scratch_beside(database: Path) -> Path:
    """The scratch folder that lies beside a database, if no other is set."""
    return database.with_name(database.name + ".poolpair")


def outside(root: Path, places: Iterable[Path]) -> Callable[[bytes], bool]:
    """Whether a path below `root` is none of these places and lies below none of them. Links above either do not matter."""
    top = os.path.realpath(root)
    found = {os.path.relpath(os.path.realpath(place.parent), top) + "/" + place.name for place in places}
    inside = {os.fsencode(os.path.normpath(place)) for place in found if not place.startswith("../")}

    def is_outside(path: bytes) -> bool:
        return not any(path == place or path.startswith(place + b"/") for place in inside)

    return is_outside
