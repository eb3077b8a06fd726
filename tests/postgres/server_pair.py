"""Two pools on PostgreSQL with the example's rows, stepped by hand on a virtual clock."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from poolpair.keyfile import new_key_file
from poolpair.server import Server
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import initialise
from tests.cluster import Cluster
from tests.pair import EXAMPLES, HOMES, Pair

SCHEMA = """
CREATE TABLE prosody (
  host text NOT NULL, "user" text NOT NULL, store text NOT NULL, key text NOT NULL, type text NOT NULL, value text NOT NULL);
CREATE INDEX prosody_index ON prosody (host, "user", store, key);
CREATE TABLE prosodyarchive (
  sort_id bigserial PRIMARY KEY, host text NOT NULL, "user" text NOT NULL, store text NOT NULL, key text NOT NULL,
  "when" integer NOT NULL, "with" text NOT NULL, type text NOT NULL, value text NOT NULL);
CREATE UNIQUE INDEX prosodyarchive_index ON prosodyarchive (host, "user", store, key);
"""
PLAIN = 'host, "user", store, key, type, value'
ARCHIVE = 'host, "user", store, key, "when", "with", type, value'
SITE_LOCAL = "('cron', 'upload_stats', 'smacks_h', 'state')"
_NUMBER = count(1)


@dataclass
class ServerPair(Pair):
    """A pair whose stores are databases of one server; every pool has its own role."""

    cluster: Cluster | None = None
    databases: dict[str, str] = field(default_factory=dict)
    moved: dict[str, Server] = field(default_factory=dict)
    """Pools whose database is on a server of its own now."""

    def connect(self, pool: str, *, autocommit: bool = True) -> psycopg.Connection[TupleRow]:
        """The database as the application opens it."""
        server = self.moved.get(pool) or self.cluster
        assert server is not None
        return server.connect(self.databases[pool], "app", autocommit=autocommit)

    def run(self, pool: str, statement: str, *values: object) -> None:
        """One statement of the application's."""
        with self.connect(pool) as connection:
            connection.execute(statement, values or None)

    def rows(self, pool: str) -> list[tuple[object, ...]]:
        """Every carried row, in a comparable order."""
        with self.connect(pool) as connection:
            plain = connection.execute(f"SELECT {PLAIN} FROM prosody WHERE store NOT IN {SITE_LOCAL}").fetchall()
            archive = connection.execute(f"SELECT {ARCHIVE} FROM prosodyarchive").fetchall()
        return sorted(plain, key=repr) + sorted(archive, key=repr)

    def end(self) -> None:
        """Stop what runs and drop the databases."""
        assert self.cluster is not None
        for pool in tuple(self.sites):
            self.sites.pop(pool).store.close()
        for pool, database in self.databases.items():
            if pool not in self.moved:
                self.cluster.drop(database)


def load_example(pool: str, connection: psycopg.Connection[TupleRow]) -> None:
    """Bring the example's rows from SQLite into empty tables."""
    connection.execute(SCHEMA)
    with closing(sqlite3.connect(EXAMPLES / pool / "prosody.sqlite")) as example, connection.cursor() as cursor:
        for table, columns, order in (("prosody", PLAIN, "rowid"), ("prosodyarchive", ARCHIVE, "sort_id")):
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in example.execute(f"SELECT {columns} FROM {table} ORDER BY {order}"):
                    copy.write_row(row)


def server_pair(cluster: Cluster, folder: Path, elsewhere: dict[str, Cluster] | None = None) -> ServerPair:
    """Prepare both pools, some on servers of their own; no service runs yet."""
    folder.mkdir(exist_ok=True)
    new_key_file(folder / "pair.key")
    own = elsewhere or {}
    pair = ServerPair(folder, VirtualClock(), cluster=cluster, moved=dict(own))
    for pool, other in (("a", "b"), ("b", "a")):
        database = pair.databases[pool] = f"prosody_{pool}_{next(_NUMBER)}"
        server = own.get(pool, cluster)
        server.create(database)
        with server.connect(database) as connection:
            load_example(pool, connection)
        shutil.copytree(EXAMPLES / pool, folder / f"data-{pool}", ignore=shutil.ignore_patterns("*.sqlite"))
        (folder / f"share-{pool}").mkdir()
        lines = "\n".join(f'"{pattern}" = "{owner}"' for pattern, owner in HOMES.items())
        pair.toml(pool).write_text(
            f'pool = "{pool}"\nstore = "{server.url(database)}"\nprofile = "prosody"\nscratch = "{folder}/scratch-{pool}"\n'
            f'share = "{folder}/share-{pool}"\nfiles = "{folder}/data-{pool}"\nfront_end = "fe-{pool}"\n'
            f'[partner]\npool = "{other}"\nshare = "{folder}/share-{other}"\nkey_file = "{folder}/pair.key"\n[homes]\n{lines}\n'
        )
        initialise(pair.config(pool))
    return pair
