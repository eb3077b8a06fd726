"""Two databases with the same tables: what an application writes into the first is carried into the second, package by package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from poolpair.model import BucketSet, Channel
from poolpair.slice import Slice
from poolpair.store.buckets import differing
from poolpair.store.port import Transaction
from poolpair.store.postgres import setup
from poolpair.store.postgres.store import PostgresStore
from poolpair.store.profile import Profile
from poolpair.store.profile_file import parse_profile
from poolpair.store.values import Applied, ApplyPlan, Cut
from poolpair.testing.clock import VirtualClock
from tests.cluster import Cluster

USERS = Channel.USERS
HOMES = [(1, "shared", "a")]
_NUMBER = count(1)


def entry(name: str, *key: str, more: str = "") -> str:
    """A profile's entry for a table that belongs to the pair as a whole."""
    keys = ", ".join(f'"{column}"' for column in key)
    return f"[[tables]]\nname = '{name}'\nkey = [{keys}]\nhome = \"shared\"\n{more}\n"


class Copies:
    """Origin and target. `tables` are quoted names, whose whole content is compared."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        schema: str,
        profile: str,
        target: Cluster | None = None,
        databases: str = "",
    ) -> None:
        self.cluster = cluster
        self.clusters = (cluster, target or cluster)
        self.rows = folder / "package.rows"
        self.profile: Profile = parse_profile(profile.encode(), "copies")
        self.databases = tuple(f"copies_{next(_NUMBER)}" for _ in range(2))
        if databases:  # both begin as this one, which is the origin
            cluster.create(self.databases[1], databases)
            self.databases = (databases, self.databases[1])
        self.origin_name, self.target_name = self.databases
        for database, server in zip(self.databases, self.clusters, strict=True):
            if not databases:
                server.create(database)
            with server.connect(database) as connection:
                connection.execute(schema)
            self.install(database)
        self.origin, self.target = self.open(self.origin_name), self.open(self.target_name)
        self.token = 0

    def install(
        self, database: str, homes: Sequence[tuple[int, str, str]] = HOMES, lock_wait_s: float = 2.0
    ) -> tuple[str, ...]:
        """What `init` does; gives what it put back."""
        url = self._server(database).url(database)
        return setup.install(url, self.profile, homes, "settings", lock_wait_s, record=lambda *_: None).repaired

    def open(self, database: str, lock_wait_s: float = 2.0) -> PostgresStore:
        """A handle."""
        return self.open_url(self._server(database).url(database), lock_wait_s)

    def open_url(self, url: str, lock_wait_s: float = 2.0) -> PostgresStore:
        """A handle on any database."""
        return PostgresStore(url, self.profile, VirtualClock(), lock_wait_s=lock_wait_s)

    def connect(
        self, *, autocommit: bool = True, at: str = "origin", role: str = "app"
    ) -> psycopg.Connection[TupleRow]:
        """The application's connection."""
        database = self.origin_name if at == "origin" else self.target_name
        return self._server(database).connect(database, role, autocommit=autocommit)

    def _server(self, database: str) -> Cluster:
        return self.clusters[self.databases.index(database)]

    def write(self, *statements: str, at: str = "origin") -> None:
        """Each statement in a transaction of its own."""
        with self.connect(at=at) as connection:
            for statement in statements:
                connection.execute(statement)

    @contextmanager
    def writing(self, begin: str = "BEGIN") -> Iterator[psycopg.Connection[TupleRow]]:
        """An open transaction of the application's; the test commits it."""
        with self.connect() as connection:
            connection.execute(begin)
            yield connection

    def fill(self, part: Slice, believed: str = "a") -> Applied:
        """One package of a first copy: this slice and no delta. The target takes it for the rows of pool `believed`."""
        cut = Cut(channel=USERS, served=("a",), since=None, slices=(part,))
        return self._carried(cut, fills=True, believed=believed)

    def carry(self, *, prune: bool = True, buckets: tuple[BucketSet, ...] = (), beside: int = 0) -> Applied:
        """One package from the last token to now, acknowledged at once; `beside` groups are changed at the target meanwhile."""
        self.origin.check_capture()
        with self.origin.transaction() as tx:
            fresh = tx.advance()
        cut = Cut(channel=USERS, served=("a",), since=self.token, buckets=buckets)
        done = self._carried(cut, beside=beside)
        self.token = fresh
        if prune:
            with self.origin.transaction() as tx:
                tx.prune(USERS, fresh)
        return done

    def _carried(self, cut: Cut, *, beside: int = 0, fills: bool = False, believed: str = "a") -> Applied:
        with self.origin.snapshot(self.rows) as view:
            view.list_files(())
            exported = view.export(cut, frozenset())
        plan = ApplyPlan(
            channel=USERS,
            package_id="package",
            served=(believed,),
            buckets=cut.buckets,
            fills=fills,
            guard_fraction=1.0,
            guard_groups=1000,
            parked_max=100,
            approved=True,
            left_behind=(),
            keep_replaced=False,
            now_utc="2026-01-01T00:00:00+00:00",
        )
        before = self.target.pending(USERS, 0)
        with self.target.incoming(self.rows, USERS, exported.tables) as incoming:
            done = incoming.apply(plan, (), _nothing)
        assert isinstance(done, Applied)
        assert self.target.pending(USERS, 0) == before + beside, "an apply is captured again"
        return done

    def differences(self) -> tuple[BucketSet, ...]:
        """Buckets that differ, as the pools themselves compare."""
        with self.origin.snapshot() as theirs, self.target.snapshot() as ours:
            there = theirs.digests(USERS, ("a",), None, frozenset())
            return differing(there, ours.digests(USERS, ("a",), there, frozenset()))

    def content(self, table: str, columns: str = "*", at: str = "origin") -> list[str]:
        """Every row of a table as the server writes it, in order."""
        with self.connect(at=at) as connection:
            return sorted(
                str(row) for (row,) in connection.execute(f"SELECT t::text FROM (SELECT {columns} FROM {table}) t")
            )

    def assert_equal(self, tables: Iterable[str], columns: str = "*") -> None:
        """Both hold the same, by their own comparison and by ours."""
        for table in tables:
            assert self.content(table, columns) == self.content(table, columns, at="target"), table
        assert self.differences() == ()

    def close_stores(self) -> None:
        """Close the handles."""
        self.origin.close()
        self.target.close()

    def close(self) -> None:
        """Close the handles and drop the databases."""
        self.close_stores()
        for database, server in zip(self.databases, self.clusters, strict=True):
            server.drop(database)


def _nothing(_tx: Transaction, _applied: Applied) -> None:
    """Record nothing."""
