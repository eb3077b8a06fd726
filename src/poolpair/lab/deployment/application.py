"""The application of a lab: at each pool one process that takes its users' notes, and keeps a list of what was committed.

It tries to write for the users of both pools of its pair, as a server would whose clients try both. What another pool serves is refused
inside the database; so the one where the users are served takes the notes, whichever it is. Each note is listed once its commit was
confirmed, with the epoch in which it was taken: from that it can be told later what was lost, and whether two served at once.

    python -m poolpair.lab.deployment.application FOLDER POOL
"""

from __future__ import annotations

import secrets
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg

from poolpair import documents
from poolpair.clock import SystemClock
from poolpair.lab.deployment.layout import Layout, load
from poolpair.lab.deployment.servers import url_of
from poolpair.state import Serving
from poolpair.stopping import Stop

TABLE = "CREATE TABLE note (id text NOT NULL, owner text NOT NULL, body text NOT NULL, PRIMARY KEY (id, owner))"
PROFILE = '[[tables]]\nname = "note"\nkey = ["id", "owner"]\nhome_key = "owner"\nprincipal = "owner"\n'
EVERY_S = 0.5
NOTES_MAX = 20_000
"""Of one process; after that it only changes what is there."""
LATEST = "latest"
"""One note of each pool's users that is changed again and again, wherever they are served."""
_BUSY_S = 5.0
_PUT = "INSERT INTO note VALUES (?, ?, ?) ON CONFLICT (id, owner) DO UPDATE SET body = excluded.body"
_SERVING = "SELECT body FROM {} WHERE name = ?"


class Rows(Protocol):
    """One connection to either kind of database; both raise their own errors."""

    def execute(self, statement: str, values: tuple[str, ...]) -> Any:  # noqa: ANN401 - a cursor of either driver
        """Run a statement in the open transaction; `?` stands for a value."""
        ...


class _Server:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._c = connection

    def execute(self, statement: str, values: tuple[str, ...]) -> Any:  # noqa: ANN401 - a cursor
        return self._c.execute(statement.replace("?", "%s"), values)


@contextmanager
def transaction(layout: Layout, pool: str) -> Iterator[Rows]:
    """One transaction as the application has it, committed at the end. Raises what the driver raises."""
    if layout.pool(pool).kind == "postgresql":
        with psycopg.connect(url_of(layout, pool), connect_timeout=5, options="-c statement_timeout=10s") as connection:
            yield _Server(connection)
        return
    path = layout.database_file(pool)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)) as file, file:
        file.execute("BEGIN IMMEDIATE")
        yield file


@dataclass(frozen=True, slots=True)
class Committed:
    """One line of the list."""

    epoch: int
    owner: str
    note: str


def put(layout: Layout, pool: str, owner: str, *notes: str) -> int:
    """Take notes for a user of a pool, in one transaction; gives the epoch in which that was allowed. Raises what the driver raises."""
    table = "poolpair.document" if layout.pool(pool).kind == "postgresql" else "poolpair_document"
    with transaction(layout, pool) as rows:
        for note in notes:
            rows.execute(_PUT, (note, owner, f"taken at pool {pool}: {notes[0]}"))
        # Behind the first write: from there on, until the commit, no fence can be closed.
        found = rows.execute(_SERVING.format(table), (f"serving/{owner}",)).fetchone()
    return _epoch(found[0]) if found else 0


def _epoch(body: str) -> int:
    return documents.decode(Serving, body).present.epoch


def committed(layout: Layout, pool: str) -> list[Committed]:
    """What the application there was told is committed; a last line that was cut off by its end was not listed."""
    path = layout.committed(pool)
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [Committed(int(epoch), owner, note) for epoch, owner, note in whole]


def notes(layout: Layout, pool: str) -> dict[tuple[str, str], str]:
    """Every note that a pool holds: (owner, id) to what it says."""
    with transaction(layout, pool) as rows:
        found = rows.execute("SELECT owner, id, body FROM note", ()).fetchall()
    return {(owner, note): body for owner, note, body in found}


class Application:
    """The process."""

    def __init__(self, layout: Layout, pool: str, stop: Stop) -> None:
        self._layout, self._pool, self._stop = layout, pool, stop
        self._run = f"{pool}-{secrets.token_hex(3)}"
        """Two runs never give a note the same name, whatever became of the first."""
        self._taken = 0
        self._said: dict[str, str] = {}

    def run(self) -> None:
        """Write until told to end."""
        plan = self._layout.pool(self._pool)
        path = self._layout.committed(self._pool)
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as listed:
            if listed.tell() and not path.read_bytes().endswith(b"\n"):
                listed.write("\n")  # the last run was ended in the middle of a line
            while not self._stop.is_set():
                for owner in (plan.name, plan.partner):
                    for line in self._write(owner):
                        listed.write(line)
                        listed.flush()
                self._stop.wait(EVERY_S)

    def _write(self, owner: str) -> Iterator[str]:
        self._taken += 1
        note = f"{self._run}-{self._taken}" if self._taken <= NOTES_MAX else LATEST
        try:
            epoch = put(self._layout, self._pool, owner, note, LATEST)
        except (psycopg.Error, sqlite3.Error) as error:
            self._say(owner, f"refused: {str(error).splitlines()[0]}")
            return
        self._say(owner, f"taken, in epoch {epoch}")
        yield f"{epoch} {owner} {note}\n"

    def _say(self, owner: str, words: str) -> None:
        if self._said.get(owner) != words:
            self._said[owner] = words
            print(f"{SystemClock().utc_iso()} notes of {owner}'s users are {words}", flush=True)


def main() -> None:
    """Run one application until SIGTERM."""
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    folder, pool = sys.argv[1:]
    Application(load(Path(folder)), pool, stop).run()


if __name__ == "__main__":
    main()
