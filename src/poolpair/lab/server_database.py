"""A pool of the lab on PostgreSQL: a server of its own in the lab's folder, with the example's rows."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg

from poolpair.lab.database import Change, Row
from poolpair.lab.waiting import wait_for
from poolpair.server import Server

ROLE = "prosody"
TABLES = (
    """
CREATE TABLE prosody (
  host text NOT NULL, "user" text NOT NULL, store text NOT NULL, key text NOT NULL, type text NOT NULL, value text NOT NULL)
""",
    'CREATE INDEX prosody_index ON prosody (host, "user", store, key)',
    """
CREATE TABLE prosodyarchive (
  sort_id bigserial PRIMARY KEY, host text NOT NULL, "user" text NOT NULL, store text NOT NULL, key text NOT NULL,
  "when" integer NOT NULL, "with" text NOT NULL, type text NOT NULL, value text NOT NULL)
""",
    'CREATE UNIQUE INDEX prosodyarchive_index ON prosodyarchive (host, "user", store, key)',
)
"""As Prosody itself makes them on PostgreSQL."""
LOADED = (
    ("prosody", 'host, "user", store, key, type, value', "rowid"),
    ("prosodyarchive", 'host, "user", store, key, "when", "with", type, value', "sort_id"),
)
_APPLYING = """
SELECT a.backend_xid::text FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
WHERE a.datname = current_database() AND starts_with(a.application_name, 'poolpair') AND a.backend_xid IS NOT NULL
  AND l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock' AND l.relation = 'prosody'::regclass
"""
END_S = 20.0


class ServerDatabase:
    """Implements `database.Database` on a server that only this pool uses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = Server(reachable(folder))

    @property
    def url(self) -> str:
        """The role owns its database and is no superuser."""
        return self.server.url(ROLE, ROLE)

    def prepare(self, example: Path) -> None:
        """Make the server, and load the rows of the example's SQLite file."""
        self.server.initialise()
        self.server.start()
        self.server.dba(f"CREATE ROLE {ROLE} LOGIN")
        self.server.create(ROLE, owner=ROLE)
        with self._open() as connection:
            for statement in TABLES:
                connection.execute(statement)
            with closing(sqlite3.connect(example / "prosody.sqlite")) as source, connection.cursor() as cursor:
                for table, columns, order in LOADED:
                    with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                        for row in source.execute(f"SELECT {columns} FROM {table} ORDER BY {order}"):
                            copy.write_row(row)

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        return self.server.connect(ROLE, ROLE, autocommit=False)

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read rows."""
        with self._open() as connection:
            return connection.execute(query.replace("?", "%s"), values).fetchall()

    def change(self, *changes: Change) -> None:
        """One transaction."""
        with self._open() as connection:
            for statement, values in changes:
                connection.execute(statement.replace("?", "%s"), values)

    def raw(self, query: str, *values: object) -> list[Row]:
        """PostgreSQL's text is UTF-8 and nothing else: it is compared as it is."""
        return self.ask(query, *values)

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """From our schema."""
        for name, body in self.ask("SELECT name, body FROM poolpair.document"):
            yield name, json.loads(body)

    def watch(self) -> _LockWatch:
        """By the locks that the server knows of."""
        return _LockWatch(self._open())

    def end(self) -> None:
        """Stop the server; what it holds stays to be looked at, unless it had to lie elsewhere."""
        if self.server.postmaster is not None:
            self.server.stop("fast")
        if self.server.folder != self._folder:
            self.server.end()
        self.server.forget_socket()


class _LockWatch:
    """Whoever writes into a table holds a lock on it, and an id that the server knows the end of."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._c = connection
        self._c.autocommit = True
        self._xid = ""

    def writes(self) -> bool:
        found = self._c.execute(_APPLYING).fetchone()
        self._xid = str(found[0]) if found else self._xid
        return found is not None

    def unfinished(self) -> str:
        """The server notices a client's death when it next speaks to it; only then the transaction is over."""
        with self._c:
            if not self._xid:
                return ""

            def ended() -> str:
                row = self._c.execute("SELECT pg_xact_status(%s::xid8)", (self._xid,)).fetchone()
                return str(row[0]) if row and row[0] != "in progress" else ""

            state = wait_for("the end of the transaction", ended, END_S)
            return f"B's server says that transaction {self._xid} was aborted" if state == "aborted" else ""


def reachable(folder: Path) -> Path:
    """The folder, unless the server's user cannot reach it: PostgreSQL does not run as root, and root's home is root's alone."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        return folder
    nobody = subprocess.run(["test", "-x", folder], user=65534, group=65534, extra_groups=[], check=False)
    return Path(mkdtemp(prefix="poolpair-server-")) if nobody.returncode else folder
