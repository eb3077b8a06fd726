"""Digests computed by the server: per bucket the number of rows and the sum, modulo 2**64, of one hash per row.

Each hash is MD5 over the row as it is sent or written, which is the same on every release; it guards against differences, not against
forgers. A sum does not depend on the order of rows. A parked group counts as if it were applied.
"""

from __future__ import annotations

from poolpair.model import TableDigests
from poolpair.store.postgres.bound import Bound, bucket_of, listed
from poolpair.store.postgres.catalogue import FILE, TREE
from poolpair.store.postgres.database import SCHEMA, Database

_MODULUS = 1 << 64
_BY_DIGITS = {1 << power for power in range(13)}
"""So many buckets are told by three hexadecimal digits, the last of the 32 bits: grouping by these costs the server least."""


def digest_table(database: Database, b: Bound, home: str, of: int, left: list[str]) -> TableDigests:
    """Sum live rows except parked groups, plus the parked rows."""
    parked = f"{SCHEMA}.parked_key_{b.n}"
    mine = f"{b.home} = $1 AND {b.carried('$2::text[]')} AND $2::text[] IS NOT NULL"
    columns = listed(dict.fromkeys((*b.spec.key, *b.columns)))
    live = f"SELECT {columns} FROM {b.table} t WHERE {b.scope} AND {mine}"
    if database.row(f"SELECT 1 FROM {parked} LIMIT 1"):
        live = (
            f"SELECT {columns} FROM ({live}) t WHERE NOT EXISTS (SELECT 1 FROM {parked} p WHERE {b.same_key('p', 't')})"
            f" UNION ALL SELECT {columns} FROM {SCHEMA}.parked_row_{b.n} WHERE {mine}"
        )
    bucket = f"substr(md5({b.written(b.spec.key)}), 6, 3)" if of in _BY_DIGITS else b.bucket(str(of))
    summed = f"SELECT {bucket} AS bucket, {b.row_hash()} AS hash FROM ({live}) t"
    return _summed(database, b.n, home, of, summed, home, left)


def digest_named(database: Database, b: Bound, home: str, keys: str) -> TableDigests:
    """Digest the rows of one home in the groups of a table of keys, in one bucket."""
    home_of = f"(SELECT {b.home} FROM (SELECT {listed(b.spec.key, 't', named=True)}) poolpair_row)"
    hashes = f"SELECT 0 AS bucket, {b.row_hash('t')} AS hash FROM {keys} k JOIN {b.table} t ON {b.same_key('t', 'k')}"
    return _summed(database, b.n, home, 1, f"{hashes} WHERE {b.scoped('t')} AND {home_of} = $1", home)


def digest_files(database: Database, home: str, of: int, left: list[str]) -> TableDigests:
    """Digest the catalogue of one home."""
    row = "('x' || substr(md5(ROW(path, size, sha256)::text), 1, 16))::bit(64)::bigint"
    where = "home = $1 AND present AND conference <> ALL ($2::text[])"
    summed = f"SELECT {bucket_of('path', str(of))} AS bucket, {row} AS hash FROM {FILE} WHERE {where}"
    return _summed(database, TREE, home, of, summed, home, left)


def _summed(database: Database, table: int, home: str, of: int, hashes: str, *parameters: object) -> TableDigests:
    counts, sums = [0] * of, [0] * of
    text = f"SELECT bucket, count(*), sum(hash)::text FROM ({hashes}) hashed GROUP BY bucket"
    for found, count, total in database.rows(text, *parameters):
        bucket = int(found, 16) % of if isinstance(found, str) else int(found)
        counts[bucket], sums[bucket] = counts[bucket] + count, (sums[bucket] + int(total)) % _MODULUS
    return TableDigests(home=home, table=table, counts=tuple(counts), sums=tuple(f"{value:016x}" for value in sums))
