"""Where a database is: what tells a copy of it from itself."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import SCHEMA, Database
from poolpair.store.postgres.documents import EVERYTHING, TOKEN

_LOCATION = "SELECT system_identifier::text, current_database()::text FROM pg_control_system()"


def location_of(database: Database) -> str:
    """A digest of cluster and database: a dump that was loaded elsewhere differs, a promoted standby of the same cluster does not.

    What a standby had not received when it was promoted is told by positions: the partner names a package that this store never made.
    """
    row = database.row(_LOCATION)
    assert row is not None
    return sha256("\n".join(row).encode()).hexdigest()


def log_anew(database: Database, bound: Iterable[Bound]) -> None:
    """On another server: transaction ids mean nothing there, so all that is logged counts as logged now. In a transaction."""
    database.run(f"UPDATE {TOKEN} SET snapshot = $1::pg_snapshot", EVERYTHING)
    database.run(f"UPDATE {SCHEMA}.parked SET snapshot = pg_current_snapshot()")
    for b in bound:
        database.run(f"UPDATE {b.log} SET poolpair_xid = pg_current_xact_id()")
