"""What is said of a capture log: what a token saw of it, what is logged again, and what may be forgotten."""

from __future__ import annotations

from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import SCHEMA, Database, literal

SEEN = "pg_visible_in_snapshot(poolpair_xid, {0}::pg_snapshot)"


def relog(database: Database, b: Bound, condition: str, *parameters: object, more: str = "") -> int:
    """Log again, under our own id, what is logged; with `more` keys."""
    return database.changed(
        f"WITH gone AS (DELETE FROM {b.log} WHERE {condition} RETURNING {b.key})"
        f" INSERT INTO {b.log} ({b.key}) SELECT {b.key} FROM gone UNION {more or f'SELECT {b.key} FROM gone'}",
        *parameters,
    )


def pruning(b: Bound, seen: str) -> str:
    """Forget what was seen; gives how many entries, and of how many groups."""
    gone = f"DELETE FROM {b.log} WHERE {SEEN.format(literal(seen))} RETURNING {b.key}"
    return f"WITH gone AS ({gone}) SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT * FROM gone) g) FROM gone"


def unparking(b: Bound) -> str:
    """The query for parked groups that somebody wrote since."""
    return (
        f"SELECT DISTINCT k.poolpair_id FROM {SCHEMA}.parked_key_{b.n} k JOIN {SCHEMA}.parked p ON p.id = k.poolpair_id"
        f" JOIN {b.log} l ON {b.same_key('l', 'k')} WHERE NOT pg_visible_in_snapshot(l.poolpair_xid, p.snapshot)"
    )
