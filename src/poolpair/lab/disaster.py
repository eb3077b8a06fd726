"""The worst day as it is seen in two terminals: a site dies under writes, the other takes over, the dead one returns, everybody goes home.

`python -m poolpair.lab.disaster [--store sqlite] [--record FILE]` runs it with real services, and prints what an operator and
plain clients type and are told. Each step is waited for until it is seen; the end is an independent comparison of both sites.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg

from poolpair.lab.compare import compare
from poolpair.lab.demo import end_services, fresh_folder
from poolpair.lab.pool import PROGRAM, NotSeen, Pool, run_command, wait_for
from poolpair.lab.server_database import ROLE, ServerDatabase
from poolpair.lab.steps import wait_final

SEEN_S = 60.0
BUDDY = "UPDATE prosody SET value = ? WHERE host = 'a.example' AND \"user\" = 'myriel' AND key = 'napoleon@b.example'"
VERSION = (
    "UPDATE prosody SET value = ? WHERE host = 'a.example' AND \"user\" = 'judge' AND store = 'roster' AND key = ''"
)


class Teller:
    """Writes down what is typed and what is answered."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """A sentence for the reader."""
        self._add(f"# {text}", before=True)

    def types(self, pool: Pool, *words: str, ends: int = 0) -> None:
        """An operator types a command at a pool. Raises NotSeen if it ends otherwise than it should."""
        self._add(f"{pool.name}$ poolpair {' '.join(words)}")
        told = subprocess.run(
            [*PROGRAM, "-c", str(pool.toml), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "100", "PYTHONUNBUFFERED": "1"},
        )
        for line in told.stdout.splitlines():
            self._add(f"   {line}")
        if told.returncode != ends:
            raise NotSeen(f"{' '.join(words)} at {pool.name} ended with {told.returncode}")

    def client(self, pool: Pool, statement: str, value: str, *, refused: bool = False) -> None:
        """A client of the application, which knows nothing of poolpair, writes. Raises NotSeen if the answer is not the one expected."""
        self._add(f"{pool.name}=> {statement.replace('?', repr(value))}")
        try:
            pool.change((statement, (value,)))
            said = "UPDATE 1"
        except (sqlite3.Error, psycopg.Error) as error:
            said = f"ERROR:  {str(error).splitlines()[0]}"
        self._add(f"   {said}")
        if said.startswith("ERROR") is not refused:
            raise NotSeen(f"a write at {pool.name}: {said}")

    def _add(self, line: str, *, before: bool = False) -> None:
        fresh = [*([""] if before and self.lines else []), line.replace(self._folder, "~").rstrip()]
        self.lines += fresh
        print("\n".join(fresh), flush=True)


def tell(teller: Teller, a: Pool, b: Pool) -> None:
    """The whole day. Raises NotSeen at the first thing that was not seen."""
    teller.say("Two sites, a and b; a's users are served by a. At b a drill says what a disaster would cost.")
    teller.types(b, "status")
    teller.types(b, "drill", "a")
    teller.say(
        "The service at a is killed (kill -9). Its application and database go on for a while: these two writes never leave a."
    )
    a.kill()
    teller.client(a, BUDDY, "only at a")
    teller.client(a, VERSION, "at a")
    teller.say("Nobody reaches a any more. Its users cannot be served at b before somebody decides.")
    teller.client(b, BUDDY, "too early", refused=True)
    teller.types(b, "failover", "a", "--disaster", "--what-if")
    teller.types(b, "failover", "a", "--disaster", "--yes")
    teller.client(b, VERSION, "at b")
    teller.say(
        "a returns, its application still running. Within one pass of its service it is fenced, and what it had written goes out."
    )
    a.start()
    wait_for("what was written at both being brought together", lambda: _is_settled(b, "a"), SEEN_S)
    teller.client(a, BUDDY, "after the return", refused=True)
    teller.say("What b had not touched since is merged; what both had written is in the ledger, with both versions.")
    teller.types(b, "status", ends=1)
    teller.types(b, "ledger", "list")
    entry = str(json.loads(b.must("ledger", "list", "--json").out.splitlines()[0])["entry_id"])
    teller.types(b, "ledger", "show", entry)
    teller.types(b, "ledger", "resolve", entry, "--theirs")
    teller.say("Home again: planned, nothing is lost.")
    wait_final(a, b)
    teller.types(a, "failback", "a", "--what-if")
    teller.types(a, "failback", "a", "--yes")
    teller.client(a, BUDDY, "home again")
    teller.client(b, BUDDY, "too late", refused=True)
    wait_final(a, b)
    teller.types(a, "status")
    teller.say(f"Both sites, compared by plain drivers: {_equal(a, b)}.")


def _is_settled(pool: Pool, home: str) -> bool:
    (found,) = [each for each in pool.status()["homes"] if each["home"] == home]
    return not (found["recovering"] or found["plan"])


def _equal(a: Pool, b: Pool) -> str:
    found = compare(a, b)
    if not found.equal:
        raise NotSeen(f"the sites are not equal: {found}")
    return str(found)


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m poolpair.lab.disaster", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="scratch folder, made anew (default: demo)")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="postgresql", help="what keeps the rows")
    parser.add_argument("--record", type=Path, help="write the story down here, too")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    a, b = Pool("a", "b", folder), Pool("b", "a", folder)
    servers: list[ServerDatabase] = []
    failure = ""
    teller = Teller(folder)
    try:
        fresh_folder(folder)
        _prepare(folder, (a, b), servers, arguments.store)
        tell(teller, a, b)
    except NotSeen as reason:
        failure = str(reason)
    finally:
        failure = "; ".join(filter(None, (failure, end_services(a, b))))
        for server in servers:
            server.end()
    if failure:
        sys.stderr.write(f"FAILED: {failure}\n")
        return 1
    if arguments.record is not None:
        arguments.record.write_text("\n".join(teller.lines) + "\n", encoding="utf-8")
    return 0


def _prepare(folder: Path, pools: tuple[Pool, Pool], servers: list[ServerDatabase], store: str) -> None:
    made = run_command("key", "new", str(folder / "pair.key"))
    if made.exit_status:
        raise NotSeen(made.talk.strip())
    for pool in pools:
        if store == "postgresql":
            servers.append(ServerDatabase(folder / f"server-{pool.name}"))
            pool.elsewhere = servers[-1]
        pool.settings.update(interval='"5s"', heartbeat_max='"1s"')
        pool.prepare()
        if store == "postgresql":
            servers[-1].server.dba(f"ALTER ROLE {ROLE} CREATEDB")  # for the drill
        pool.must("init")
        pool.start()
    wait_final(*pools)


if __name__ == "__main__":
    sys.exit(main())
