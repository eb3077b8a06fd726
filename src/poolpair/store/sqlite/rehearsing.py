"""A whole copy of the database for a drill, as it stands at one read view."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from poolpair.errors import Code, PoolpairError


def copy_database(connection: sqlite3.Connection, target: Path) -> None:
    """Copy what the connection's open read transaction sees to a new file, for its owner alone. Writers of the original go on in WAL."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"{target}: {error.strerror}") from error
