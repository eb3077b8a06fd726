"""Where a store lies, so that a copy of it is known as one."""

from __future__ import annotations

from hashlib import sha256

from poolpair.store.postgres.database import Database

_LOCATION = """
SELECT system_identifier::text,
       substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), current_database()::text FROM pg_control_system()
"""


def location_of(database: Database) -> str:
    """A digest of server, timeline and database. A copy elsewhere differs, and so does a promoted standby; a restore in place does not."""
    row = database.row(_LOCATION)
    assert row is not None
    return sha256("\n".join(row).encode()).hexdigest()
