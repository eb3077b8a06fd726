"""A PostgreSQL server of the tests' own, with roles that have no privileges."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import psycopg
from psycopg.rows import TupleRow

from poolpair.server import LOOSE, Server


class Cluster(Server):
    """One server. `dba` is its superuser; `app` and `other` are roles without privileges."""

    def __init__(self, binaries: Path | None = None, settings: str = "") -> None:
        super().__init__(Path(mkdtemp(prefix="poolpair-pg-")), binaries)
        self.initialise(LOOSE + settings)
        self.start()
        with self.connect("postgres", "dba") as connection:
            self.major = connection.info.server_version // 10000
        self.dba("CREATE ROLE app LOGIN CREATEDB", "CREATE ROLE other LOGIN")

    def url(self, database: str, role: str = "app") -> str:
        """How a role reaches a database."""
        return super().url(database, role)

    def connect(self, database: str, role: str = "app", *, autocommit: bool = True) -> psycopg.Connection[TupleRow]:
        """A connection as the application has it."""
        return super().connect(database, role, autocommit=autocommit)

    def create(self, database: str, template: str = "template0", owner: str = "app") -> None:
        """Make a database; whoever is connected to the template is thrown out."""
        self.throw_out(template)
        super().create(database, template, owner)

    def throw_out(self, database: str, condition: str = "true") -> None:
        """End connections to a database, and wait until they are gone."""
        self.dba(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            f" WHERE datname = '{database}' AND pid <> pg_backend_pid() AND {condition}"
        )
