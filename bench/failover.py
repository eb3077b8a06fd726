"""`python -m bench.failover`: how long users wait, and how much is lost, when a home moves while its application writes."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field

import psycopg

from bench import userdata
from bench.__main__ import TEMPLATE, servers
from bench.pair import Ours
from bench.peer import wait_until
from bench.report import Report, machine
from bench.server import Server

ROWS_PER_TRANSACTION = 10
_WRITE = f"""
INSERT INTO userdata SELECT 'a.example', 'writer', 'writes', %s::bigint::text || '.' || n, repeat(md5(%s::bigint::text || n), 9), 1, now()
FROM generate_series(1::bigint, {ROWS_PER_TRANSACTION}) n
"""
_THERE = "SELECT coalesce(max(split_part(key, '.', 1)::bigint), 0) FROM userdata WHERE store = 'writes'"
_COUNT = "SELECT count(DISTINCT split_part(key, '.', 1)) FROM userdata WHERE store = 'writes'"


@dataclass
class Writer:
    """The application: one transaction after another at a steady rate, at whichever server takes it."""

    servers: tuple[Server, Server]
    database: str
    rate: float
    committed: dict[int, float] = field(default_factory=dict)
    """When each transaction was committed."""
    gaps: list[float] = field(default_factory=list)
    """Between the last commit at one server and the first at the other, s."""
    at: int = 0
    _moved: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write until `end`; where a server refuses or is away, try the other one at once."""
        number, last_s = 0, time.monotonic()
        while not self._ended.is_set():
            try:
                with psycopg.connect(self.servers[self.at].url(self.database, "app"), autocommit=True) as connection:
                    while not self._ended.is_set():
                        connection.execute(_WRITE, (number + 1, number + 1))
                        number, now_s = number + 1, time.monotonic()
                        self.committed[number] = now_s
                        if self._moved:
                            self.gaps.append(now_s - last_s)
                            self._moved = False
                        last_s = now_s
                        self._ended.wait(1 / self.rate)
            except psycopg.Error:
                self.at, self._moved = 1 - self.at, True
                self._ended.wait(0.005)

    def end(self) -> None:
        """Write no more."""
        self._ended.set()


def options() -> argparse.Namespace:
    """How large, how busy, how often."""
    parser = argparse.ArgumentParser(prog="bench.failover", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rows-per-user", type=int, default=5, help="200,000 principals in 1,000,000 rows")
    parser.add_argument("--rate", type=int, default=500, help="rows written in a second")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Planned there and back, then a disaster, its return and the way home; in each round."""
    chosen = options()
    report = Report(machine() | {"rows": chosen.rows, "principals": chosen.rows // chosen.rows_per_user})
    with servers(["failover-a", "failover-b"]) as made:
        a, b = made["failover-a"], made["failover-b"]
        userdata.fill(a, TEMPLATE, chosen.rows, chosen.rows_per_user)
        with closing(Ours(a, b, TEMPLATE, a.folder.parent / "pair")) as pair:
            pair.begin()
            pair.copy()
            pair.prove()
            pair.rest()
            writer = Writer((a, b), pair.database, chosen.rate / ROWS_PER_TRANSACTION)
            thread = threading.Thread(target=writer.run, daemon=True)
            thread.start()
            try:
                for _ in range(chosen.rounds):
                    time.sleep(5)
                    planned(pair, writer, report, "failover", "a")
                    time.sleep(5)
                    planned(pair, writer, report, "failback", "b")
                    time.sleep(5)
                    disaster(pair, writer, report)
                    planned(pair, writer, report, "failback after a disaster", "b")
            finally:
                writer.end()
                thread.join()
            pair.end()
    print(report.table([pair.name]))
    print(report.write("failover"))


def planned(pair: Ours, writer: Writer, report: Report, what: str, at: str) -> None:
    """One command at the pool that serves."""
    known, began = len(writer.gaps), time.monotonic()
    pair.command(at, what.split(maxsplit=1)[0], "a", "--yes")
    report.note(f"{what}, the command, s", pair.name, time.monotonic() - began)
    wait_until("writes at the other side", lambda: len(writer.gaps) > known)
    report.note(f"{what}, no write was taken for, s", pair.name, writer.gaps[-1])


def disaster(pair: Ours, writer: Writer, report: Report) -> None:
    """Server and service of one side die at once; the other takes over; the dead one returns with what never left it."""
    known = len(writer.gaps)
    dying = [pair.pid("a"), *pair.a.processes()]
    died_s = time.monotonic()
    for process in dying:
        with suppress(ProcessLookupError):  # a connection may have ended meanwhile
            os.kill(process, signal.SIGKILL)
    wait_until("the end of the server", lambda: not pair.a.processes())
    accepted = max(number for number, when_s in list(writer.committed.items()) if when_s <= died_s)
    pair.died("a")
    began = time.monotonic()
    pair.command("b", "failover", "a", "--disaster", "--yes")
    report.note("disaster, the command, s", pair.name, time.monotonic() - began)
    wait_until("writes at the other side", lambda: len(writer.gaps) > known)
    with pair.b.connect(pair.database) as connection:
        row = connection.execute(f"{_THERE} AND split_part(key, '.', 1)::bigint <= {accepted}").fetchone()
    assert row is not None
    report.note(
        "disaster, newest write that arrived was older than the death by, s",
        pair.name,
        died_s - writer.committed[row[0]],
    )
    report.note("disaster, transactions that had not arrived", pair.name, accepted - row[0])
    began = time.monotonic()
    pair.a.start()
    pair.start("a")
    arrived = f"{_COUNT} AND split_part(key, '.', 1)::bigint <= {accepted}"
    wait_until("what never left the dead side", lambda: pair.b.number(pair.database, arrived) >= accepted)
    report.note("return, until all that it had accepted is at the server, s", pair.name, time.monotonic() - began)
    ledger = pair.b.number(pair.database, "SELECT count(*) FROM poolpair.ledger WHERE state IN ('open', 'standing')")
    report.note("return, groups in the ledger that wait for a decision", pair.name, ledger)
    began = time.monotonic()
    pair.brought_together()
    report.note("return, from then until both copies are proved equal, s", pair.name, time.monotonic() - began)


if __name__ == "__main__":
    main()
