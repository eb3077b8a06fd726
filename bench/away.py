"""`python -m bench.away`: a few keys changed again and again while the partner is away; how long the log gets, and what is felt of it."""

from __future__ import annotations

import argparse
import threading
import time
from contextlib import closing
from dataclasses import dataclass

from bench import userdata
from bench.__main__ import TEMPLATE, servers
from bench.pair import Ours
from bench.report import Report, machine
from bench.server import Server

PROBE_S = 0.02


def options() -> argparse.Namespace:
    """How many keys and changes."""
    parser = argparse.ArgumentParser(prog="bench.away", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=4_320_000, help="43,200,000 is a day at 500 a second")
    parser.add_argument("--lot", type=int, default=500, help="changes in one transaction")
    return parser.parse_args()


@dataclass(slots=True)
class Probe:
    """An application that changes one row, fifty times a second, and feels what others hold."""

    server: Server
    database: str
    slowest_s: float = 0.0
    count: int = 0
    over: bool = False

    def run(self) -> None:
        """Until `over`."""
        with self.server.connect(self.database, "app") as app:
            while not self.over:
                began = time.monotonic()
                app.execute(f"UPDATE userdata SET version = version + 1 WHERE {userdata.MARK}")
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.count += 1
                time.sleep(PROBE_S)


def main() -> None:
    """Copy, send the partner away, change, and let it come back."""
    chosen = options()
    report = Report(machine() | {"keys": chosen.keys, "changes": chosen.changes})
    with servers(["away-a", "away-b"]) as made:
        a, b = made["away-a"], made["away-b"]
        userdata.fill(a, TEMPLATE, chosen.keys)
        with closing(Ours(a, b, TEMPLATE, a.folder.parent / "pair")) as pair:
            pair.begin()
            pair.copy()
            pair.prove()
            pair.rest()
            pair.pause("b")
            for what, value in away(pair, chosen).items():
                report.note(what, pair.name, value)
            began = time.monotonic()
            pair.resume("b")
            pair.rest()
            report.note("caught up after the return, s", pair.name, time.monotonic() - began)
            report.note("log after it, MB", pair.name, log_mb(a, pair.database))
            if userdata.fingerprint(a, pair.database) != userdata.fingerprint(b, pair.database):
                raise SystemExit("the copies differ")
            pair.end()
    print(report.table([pair.name]))
    print(report.write("away"))


def log_mb(server: Server, database: str) -> float:
    """What the log takes on disk, with what is dead in it."""
    return server.number(database, "SELECT pg_total_relation_size('poolpair.log_1')") / 1e6


def away(pair: Ours, chosen: argparse.Namespace) -> dict[str, float]:
    """Change the keys in rounds; look at the log after each."""
    each = min(chosen.changes, 20 * chosen.keys)
    userdata.pick_hot(pair.a, pair.database, chosen.keys, each // chosen.keys)
    probe = Probe(pair.a, pair.database)
    thread = threading.Thread(target=probe.run)
    thread.start()
    cpu, began, largest_mb, longest = pair.cpu_s("a"), time.monotonic(), 0.0, 0.0
    try:
        for number in range(chosen.changes // each):
            userdata.change(pair.a, pair.database, number + 1, chosen.lot)
            largest_mb = max(largest_mb, log_mb(pair.a, pair.database))
            longest = max(longest, pair.a.number(pair.database, "SELECT count(*) FROM poolpair.log_1"))
    finally:
        probe.over = True
        thread.join()
    took = time.monotonic() - began
    return {
        "changes per second": chosen.changes / took,
        "log, most entries seen": longest,
        "log, most MB seen": largest_mb,
        "service's processor time, share of a core": (pair.cpu_s("a") - cpu) / took,
        "slowest statement of the application, ms": probe.slowest_s * 1000,
    }


if __name__ == "__main__":
    main()
