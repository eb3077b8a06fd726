"""A PostgreSQL server of the benchmark's own: durable, as an operator would run it, in a folder that goes when it ends."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from poolpair.server import Server as AnyServer

SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
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


class Server(AnyServer):
    """One cluster that runs. `dba` is its superuser, `app` owns the application's databases."""

    def __init__(self, folder: Path, port: int, buffers_mb: int = 512) -> None:
        super().__init__(folder)
        self.port = port
        self.initialise(SETTINGS.format(port=port, buffers_mb=buffers_mb))
        self.start()
        self.dba("CREATE ROLE app LOGIN CREATEDB")

    def processes(self) -> list[int]:
        """The server and all that it started, the oldest first: each works in the folder of its data."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):  # it has ended meanwhile
                if entry.readlink() == self.data:
                    found.append(int(entry.parent.name))
        return sorted(found)

    def url(self, database: str, role: str = "app") -> str:
        """How a role reaches a database through the socket."""
        return f"{super().url(database, role)}&port={self.port}"

    def tcp(self, database: str) -> str:
        """How the other server reaches a database: by TCP, whose bytes can be counted."""
        return f"host=127.0.0.1 port={self.port} dbname={database} user=dba"

    def connect(self, database: str, role: str = "dba", *, autocommit: bool = True) -> psycopg.Connection[TupleRow]:
        """A connection that commits each statement."""
        return super().connect(database, role, autocommit=autocommit)

    def run(self, database: str, *statements: str) -> list[TupleRow]:
        """Run statements as the superuser; gives the rows of the last."""
        return self.dba(*statements, database=database)

    def number(self, database: str, statement: str) -> float:
        """The first column of the first row."""
        return float(self.run(database, statement)[0][0] or 0)

    def create(self, database: str, template: str = "template0", owner: str = "app") -> None:
        """Make a database anew."""
        self.drop(database)
        super().create(database, template, owner)

    def checkpoint(self) -> None:
        """Begin a measurement with nothing left to write; each page then costs one full image in the WAL."""
        self.run("postgres", "CHECKPOINT")
