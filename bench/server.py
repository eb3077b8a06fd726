"""A PostgreSQL server of the benchmark's own: durable, as an operator would run it, in a folder that goes when it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

NOBODY = 65534
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = logical
shared_buffers = {buffers_mb}MB
max_wal_size = 8GB
checkpoint_timeout = 30min
max_connections = 60
max_replication_slots = 10
max_wal_senders = 10
max_worker_processes = 16
"""


def programs() -> Path:
    """Where the programs of the newest release lie that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise SystemExit("install PostgreSQL: make system")
    return found[-1].parent


class Server:
    """One cluster. `dba` is its superuser, `app` owns the application's databases."""

    def __init__(self, folder: Path, port: int, buffers_mb: int = 512) -> None:
        self.folder = folder
        self.port = port
        self._user = NOBODY if os.geteuid() == 0 else None
        folder.mkdir(parents=True)
        if self._user is not None:
            os.chown(folder, NOBODY, NOBODY)
        self._call("initdb", "-D", self.data, "-U", "dba", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS.format(folder=folder, port=port, buffers_mb=buffers_mb))
        self._call("pg_ctl", "-D", self.data, "-l", folder / "log", "-w", "-s", "start")
        self.run("postgres", "CREATE ROLE app LOGIN CREATEDB")

    @property
    def data(self) -> Path:
        """The data directory."""
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
        if done.returncode:
            raise SystemExit(f"{program}: {done.stdout}")

    def end(self) -> None:
        """Stop the server and remove everything."""
        if (self.data / "postmaster.pid").exists():
            self._call("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "-s", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str, role: str = "app") -> str:
        """How a role reaches a database through the socket."""
        return f"postgresql://{role}@/{database}?host={self.folder}&port={self.port}"

    def tcp(self, database: str) -> str:
        """How the other server reaches a database: by TCP, whose bytes can be counted."""
        return f"host=127.0.0.1 port={self.port} dbname={database} user=dba"

    def connect(self, database: str, role: str = "dba") -> psycopg.Connection[TupleRow]:
        """A connection that commits each statement."""
        return psycopg.connect(self.url(database, role), autocommit=True)

    def run(self, database: str, *statements: str) -> list[TupleRow]:
        """Run statements as the superuser; gives the rows of the last."""
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def number(self, database: str, statement: str) -> float:
        """The first column of the first row."""
        return float(self.run(database, statement)[0][0] or 0)

    def create(self, database: str, template: str = "template0") -> None:
        """Make a database anew, copied file by file where the release can."""
        self.drop(database)
        copied = " STRATEGY file_copy" if self.number("postgres", "SHOW server_version_num") >= 150000 else ""
        self.run("postgres", f"CREATE DATABASE {database} TEMPLATE {template} OWNER app{copied}")

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected."""
        self.run("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def checkpoint(self) -> None:
        """Begin a measurement with nothing left to write; each page then costs one full image in the WAL."""
        self.run("postgres", "CHECKPOINT")
