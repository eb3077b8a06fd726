"""PostgreSQL as a kind of store, and what its role must be allowed to do there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.store.counting import Contents, Owner, contents_query, counted
from poolpair.store.drafting import Described
from poolpair.store.kind import StoreHandle
from poolpair.store.postgres import clearing, setup
from poolpair.store.postgres.binding import bind, problems_of
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import SCHEMA, Database, quote, shown
from poolpair.store.postgres.listing import describe_all
from poolpair.store.postgres.rehearsing import spare_database
from poolpair.store.postgres.schema import describe_tables
from poolpair.store.postgres.serials import sequences_of
from poolpair.store.postgres.store import PostgresStore
from poolpair.store.prepared import Farewell, Installed, InstalledSettings, Record
from poolpair.store.profile import Profile
from poolpair.store.profile_check import Problem
from poolpair.units import show_bytes

SEQUENCE_NEEDED = ("SELECT", "UPDATE")
NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER")


class PostgresKind:
    """Implements `store.kind.StoreKind` for one database of a server."""

    def __init__(self, url: str, lock_wait_s: float) -> None:
        self._url = url
        self._lock_wait_s = lock_wait_s

    def shown(self) -> str:
        return shown(self._url)

    def local_file(self) -> Path | None:
        return None

    def open(self, profile: Profile, clock: Clock) -> StoreHandle:
        return PostgresStore(self._url, profile, clock, lock_wait_s=self._lock_wait_s)

    def statements(self, profile: Profile, homes: Iterable[tuple[int, str, str]]) -> Iterator[str]:
        return setup.statements(self._url, profile, homes, self._lock_wait_s)

    def install(
        self, profile: Profile, homes: Sequence[tuple[int, str, str]], settings: str, record: Record
    ) -> Installed:
        return setup.install(self._url, profile, homes, settings, self._lock_wait_s, record=record)

    def uninstalled(self, *, keep_wal: bool) -> AbstractContextManager[tuple[str, ...]]:
        return clearing.uninstalled(self._url, self._lock_wait_s)

    def unpaired(self, profile: Profile, pool: str, farewell: Farewell) -> tuple[str, ...]:
        return clearing.unpaired(self._url, profile, pool, self._lock_wait_s, farewell=farewell)

    def described(self) -> Described:
        with self._opened() as database:
            return describe_all(database)

    def prepared(self) -> InstalledSettings | None:
        with self._opened() as database:
            return setup.known_settings(database)

    def problems(self, profile: Profile) -> tuple[Problem, ...]:
        with self._opened() as database:
            return problems_of(database, profile, describe_tables(database, {spec.name for spec in profile.tables}))

    def contents(self, profile: Profile, owner: Owner) -> Iterator[Contents]:
        with self._opened() as database:
            for b in bind(database, profile):
                if b.spec.home_is_pool:
                    continue
                size = " + ".join(f"coalesce(pg_column_size({quote(name)}), 0)" for name in b.columns)
                rows = database.rows(contents_query(b.spec, b.table, b.key, b.scope, size))
                typed = (
                    (None if home is None else str(home), int(groups), int(count), int(size))
                    for home, groups, count, size in rows
                )
                yield counted(b.spec, typed, owner)

    def health(self, profile: Profile) -> str:
        with self._opened() as database:
            lacking = list(_lacking(database, bind(database, profile)))
            found = database.row("SELECT current_setting('server_version'), current_user::text")
        if lacking:
            raise PoolpairError(
                Code.STORE_BROKEN,
                f"the role of {self.shown()} lacks {', '.join(lacking)}",
                hint="`poolpair -c FILE init --print-sql` prints what a DBA grants",
            )
        assert found is not None
        return f"{self.shown()} is PostgreSQL {found[0]}, {show_bytes(self.size_bytes())}, and {found[1]} has its privileges"

    def spare(self, folder: Path, name: str, *, keep: bool) -> AbstractContextManager[str]:
        return spare_database(self._url, self._lock_wait_s, name, keep=keep)

    def size_bytes(self) -> int:
        with self._opened() as database:
            return database.number("SELECT pg_database_size(current_database())")

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        with closing(Database(self._url, self._lock_wait_s)) as database, database.translated():
            yield database


def _lacking(database: Database, bound: tuple[Bound, ...]) -> Iterator[str]:
    """Name every privilege that is missing."""
    here = "current_database()"
    if not _yes(database, f"SELECT has_database_privilege({here}, 'TEMPORARY')"):
        yield "TEMPORARY on the database"
    owned = f"EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA}' AND pg_has_role(nspowner, 'USAGE'))"
    if not _yes(database, f"SELECT {owned} OR has_database_privilege({here}, 'CREATE')"):
        yield f"CREATE on the database, or a schema {SCHEMA} of its own"
    for name, place in sorted(
        {(b.spec.name, place) for b in bound if not b.spec.home_is_pool for place in (b.on.place, *b.on.partitions)},
        key=str,
    ):
        for privilege in NEEDED:
            if not _yes(database, "SELECT has_table_privilege($1::bigint::oid, $2)", place.oid, privilege):
                yield f"{privilege} on {place.schema}.{place.name}"
        skips = any(b.spec.name == name and b.spec.triggers == "skip" and b.on.info.triggers for b in bound)
        owns = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1::bigint::oid"
        if skips and not (_yes(database, owns, place.oid) or _may_be_replica(database)):
            yield f"ownership of {place.schema}.{place.name} or SET on session_replication_role (triggers = skip)"
    for called, oid in sequences_of(database, bound):
        for privilege in SEQUENCE_NEEDED:
            if not _yes(database, "SELECT has_sequence_privilege($1::bigint::oid, $2)", oid, privilege):
                yield f"{privilege} on sequence {called}"


def _may_be_replica(database: Database) -> bool:
    if _yes(database, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        return True
    newer = _yes(database, "SELECT current_setting('server_version_num')::int >= 150000")
    return newer and _yes(database, "SELECT has_parameter_privilege('session_replication_role', 'SET')")


def _yes(database: Database, question: str, *parameters: object) -> bool:
    row = database.row(question, *parameters)
    return bool(row and row[0])
