"""Where a database is: what tells a copy of it from itself."""

from __future__ import annotations

from hashlib import sha256

from poolpair.store.postgres.database import Database

_LOCATION = "SELECT system_identifier::text, current_database()::text FROM pg_control_system()"


def location_of(database: Database) -> str:
    """A digest of cluster and database: a dump that was loaded elsewhere differs, a promoted standby of the same cluster does not.

    What a standby had not received when it was promoted is told by positions: the partner names a package that this store never made.
    """
    row = database.row(_LOCATION)
    assert row is not None
    return sha256("\n".join(row).encode()).hexdigest()
