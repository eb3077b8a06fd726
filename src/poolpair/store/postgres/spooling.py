"""The spool on PostgreSQL: groups kept as they were when another reign was adopted, sent from there, or taken back."""

from __future__ import annotations

from collections.abc import Iterator

from poolpair.model import Channel
from poolpair.store.postgres.bound import Bound, listed
from poolpair.store.postgres.catalogue import FILE, FOREIGN_GEN, STAMP
from poolpair.store.postgres.database import SCHEMA, Database, quote
from poolpair.store.postgres.documents import EVERYTHING, seen_at
from poolpair.store.postgres.fencing import begin_deciding
from poolpair.store.postgres.ledgering import Theirs, put_differing, unite
from poolpair.store.values import LedgerNote


def spool_tables(b: Bound) -> Iterator[str]:
    """The statements that make the tables of one entry."""
    yield f"CREATE TABLE IF NOT EXISTS {_keys(b)} (poolpair_spool bigint NOT NULL, {b.key_types})"
    columns = f"poolpair_spool bigint NOT NULL, poolpair_place bigint NOT NULL, {b.typed(b.columns)}"
    yield f"CREATE TABLE IF NOT EXISTS {_rows(b)} ({columns})"


def _keys(b: Bound) -> str:
    return f"{SCHEMA}.spool_key_{b.n}"


def _rows(b: Bound) -> str:
    return f"{SCHEMA}.spool_row_{b.n}"


def later_than(token_snapshot: str, parameter: str) -> str:
    """The condition for log entries that a token did not see."""
    if token_snapshot == EVERYTHING:
        return f"{parameter}::text IS NOT NULL"
    return f"NOT pg_visible_in_snapshot(poolpair_xid, {parameter}::pg_snapshot)"


def spool(database: Database, bound: tuple[Bound, ...], number: int, home: str, since: int | None) -> int:
    """Keep groups as they are; returns how many."""
    kept = 0
    forget_spool(database, bound, number)
    seen = EVERYTHING if since is None else seen_at(database, since)
    for b in bound:
        source = b.table if since is None else b.log
        later = "$3::text IS NOT NULL" if since is None else later_than(seen, "$3")
        kept += database.changed(
            f"INSERT INTO {_keys(b)} (poolpair_spool, {b.key})"
            f" SELECT DISTINCT $1::bigint, {b.key} FROM {source} WHERE {later} AND {b.scope} AND {b.home} = $2",
            number,
            home,
            seen,
        )
        database.run(
            f"INSERT INTO {_rows(b)} (poolpair_spool, poolpair_place, {b.column_list})"
            f" SELECT k.poolpair_spool, row_number() OVER ({b.order}), {listed(b.columns, 't')}"
            f" FROM {_keys(b)} k JOIN {b.table} t ON {b.same_key('t', 'k')} WHERE k.poolpair_spool = $1 AND {b.scoped('t')}",
            number,
        )
    return kept


def spooled(database: Database, b: Bound, number: int) -> int:
    """How many groups are spooled under a number."""
    return database.number(f"SELECT count(*) FROM {_keys(b)} WHERE poolpair_spool = $1", number)


def spooled_lines(b: Bound, number: int) -> str:
    """The query for the lines of a rows file: of each group its rows, in the order in which they lay, or one line that says it is gone."""
    key = ", ".join(f"coalesce(w.{quote(name)}, k.{quote(name)})" for name in b.spec.key)
    rest = "".join(f", w.{quote(name)}" for name in b.columns if name not in b.spec.key)
    mine = f"poolpair_spool = {int(number)}"
    return (
        f"SELECT w.poolpair_place IS NULL, {key}{rest} FROM (SELECT {b.key} FROM {_keys(b)} WHERE {mine}) k"
        f" LEFT JOIN (SELECT * FROM {_rows(b)} WHERE {mine}) w ON {b.same_key('w', 'k')} ORDER BY w.poolpair_place"
    )


def forget_spool(database: Database, bound: tuple[Bound, ...], number: int) -> None:
    """Let go of what was kept."""
    for b in bound:
        for table in (_keys(b), _rows(b)):
            database.run(f"DELETE FROM {table} WHERE poolpair_spool = $1", number)


def reclaim_spool(database: Database, bound: tuple[Bound, ...], ledger: Bound, number: int, note: LedgerNote) -> int:
    """Log every spooled group; what differs goes to the ledger."""
    begin_deciding(database)
    written = 0
    for b in bound:
        mine = f"poolpair_spool = {int(number)}"
        keys = f"SELECT row_number() OVER () AS poolpair_place, {b.key} FROM {_keys(b)} WHERE {mine}"
        rows = f"SELECT poolpair_place, {b.column_list} FROM {_rows(b)} WHERE {mine}"
        if b.spec.home_is_pool:
            unite(database, b, rows)
        else:
            written += put_differing(database, b, ledger, Theirs(keys=keys, rows=rows), note)
        homed = f"{mine} AND {b.home} IS NOT NULL"
        database.run(f"INSERT INTO {b.log} ({b.key}) SELECT {b.key} FROM {_keys(b)} WHERE {homed}")
    forget_spool(database, bound, number)
    return written


def reclaim_parked(database: Database, bound: tuple[Bound, ...], ledger: Bound, home: str, note: LedgerNote) -> int:
    """Parked groups of a home go to the ledger."""
    begin_deciding(database)
    written = 0
    for b in bound:
        parked_key, parked_row = f"{SCHEMA}.parked_key_{b.n}", f"{SCHEMA}.parked_row_{b.n}"
        found = database.rows(f"SELECT poolpair_id FROM {parked_key} WHERE {b.home} = $1", home)
        if not found:
            continue
        ids = ", ".join(str(int(group_id)) for (group_id,) in found)
        keys = f"SELECT poolpair_id AS poolpair_place, {b.key} FROM {parked_key} WHERE poolpair_id IN ({ids})"
        rows = f"SELECT poolpair_place, {b.column_list} FROM {parked_row} WHERE poolpair_id IN ({ids})"
        written += put_differing(database, b, ledger, Theirs(keys=keys, rows=rows), note)
        database.run(f"INSERT INTO {b.log} ({b.key}) SELECT {b.key} FROM {parked_key} WHERE poolpair_id IN ({ids})")
        database.run(f"DELETE FROM {SCHEMA}.parked WHERE id IN ({ids})")
        database.run(f"DELETE FROM {parked_key} WHERE poolpair_id IN ({ids})")
        database.run(f"DELETE FROM {parked_row} WHERE poolpair_id IN ({ids})")
    return written


def forget_log(database: Database, bound: tuple[Bound, ...], channel: Channel, home: str) -> int:
    """Nothing of this home is to be sent; its unsent files are foreign. Returns how many those are."""
    for b in bound:
        database.run(f"DELETE FROM {b.log} WHERE {b.home} = $1", home)
    if channel is not Channel.CONFERENCES:
        return 0
    logged = "home = $1 AND gen > 0"
    database.run(f"DELETE FROM {FILE} WHERE {logged} AND NOT present AND NOT deleting", home)
    database.run(f"UPDATE {FILE} SET gen = 0 WHERE {logged} AND NOT present", home)
    return database.changed(f"UPDATE {FILE} SET gen = {FOREIGN_GEN} WHERE {logged}", home)


def claim_files(database: Database, home: str) -> None:
    """Log foreign files of a home as changed."""
    database.run(f"UPDATE {FILE} SET gen = {STAMP} WHERE gen = {FOREIGN_GEN} AND home = $1", home)
