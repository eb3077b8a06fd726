"""A PostgreSQL server of the tests' own: fresh, on a socket in its own folder, run by a user without privileges."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from psycopg.rows import TupleRow

NOBODY = 65534
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
fsync = off
full_page_writes = off
shared_buffers = 64MB
max_connections = 60
autovacuum_naptime = 10min
deadlock_timeout = 200ms
max_prepared_transactions = 2
"""


def programs() -> Path:
    """Where the server's programs lie: of the newest release that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    assert there, "install PostgreSQL: make system"
    return Path(there).parent


class Cluster:
    """One server. `dba` is its superuser; `app` and `other` are roles without privileges."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="poolpair-pg-", dir="/tmp"))
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, NOBODY, NOBODY)
        self._call("initdb", "-D", self.data, "-U", "dba", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS.format(folder=self.folder))
        self.start()
        self.dba("CREATE ROLE app LOGIN CREATEDB", "CREATE ROLE other LOGIN")

    @property
    def data(self) -> Path:
        """The server's data directory."""
        return self.folder / "data"

    def _call(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [programs() / program, *arguments],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user is not None else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self._call("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-s", "start")

    def stop(self, how: str = "fast") -> None:
        """Stop the server; with `immediate` as a crash does."""
        self._call("pg_ctl", "-D", self.data, "-m", how, "-w", "-s", "stop")

    def end(self) -> None:
        """Stop the server if it runs, and remove everything."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def url(self, database: str, role: str = "app") -> str:
        """How a role reaches a database."""
        return f"postgresql://{role}@/{database}?host={self.folder}"

    def connect(self, database: str, role: str = "app", *, autocommit: bool = True) -> psycopg.Connection[TupleRow]:
        """A connection as the application has it."""
        return psycopg.connect(self.url(database, role), autocommit=autocommit)

    def dba(self, *statements: str, database: str = "postgres") -> list[TupleRow]:
        """Run statements as the superuser; gives the rows of the last."""
        with self.connect(database, "dba") as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create(self, database: str, template: str = "template0") -> None:
        """Make a database; whoever is connected to the template is thrown out."""
        self.throw_out(template)
        self.dba(f'CREATE DATABASE "{database}" TEMPLATE "{template}" OWNER app')

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected."""
        self.dba(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def throw_out(self, database: str, condition: str = "true") -> None:
        """End connections to a database, and wait until they are gone."""
        self.dba(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            f" WHERE datname = '{database}' AND pid <> pg_backend_pid() AND {condition}"
        )
