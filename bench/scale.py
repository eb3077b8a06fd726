"""`python -m bench.scale`: many principals, a fifth of them active. Lag, what the service costs, how long verify takes."""

from __future__ import annotations

import argparse
import time
from contextlib import closing

from bench import lag, userdata
from bench.__main__ import TEMPLATE, servers
from bench.pair import Ours
from bench.report import Report, machine

IDLE_S = 30
ROWS_PER_TRANSACTION = 10


def options() -> argparse.Namespace:
    """How large, how busy, how long."""
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="20,000,000 are 6 GB at each side")
    parser.add_argument("--rate", type=int, default=500, help="rows changed in a second")
    parser.add_argument("--seconds", type=int, default=600)
    return parser.parse_args()


def main() -> None:
    """Copy, rest, change, verify."""
    chosen = options()
    report = Report(machine() | {"rows": chosen.rows, "principals": chosen.rows // userdata.ROWS_PER_USER})
    with servers(["scale-a", "scale-b"]) as made:
        a, b = made["scale-a"], made["scale-b"]
        userdata.fill(a, TEMPLATE, chosen.rows)
        with closing(Ours(a, b, TEMPLATE, a.folder.parent / "pair")) as pair:
            pair.begin()
            began = pair.copy()
            report.note("first copy, s", pair.name, time.monotonic() - began)
            pair.prove()
            report.note("first copy proved equal by digests, s", pair.name, time.monotonic() - began)
            pair.rest()
            measure(pair, chosen, report)
            pair.end()
            report.note("peak memory of the service, MB", pair.name, max(pair.peak_bytes.values()) / 1e6)
    print(report.table([pair.name]))
    print(report.write("scale"))


def measure(pair: Ours, chosen: argparse.Namespace, report: Report) -> None:
    """What it costs at rest and at work."""
    before = {pool: pair.cpu_s(pool) for pool in "ab"}
    time.sleep(IDLE_S)
    for pool in "ab":
        report.note(
            f"service of {pool} at rest, share of a core", pair.name, (pair.cpu_s(pool) - before[pool]) / IDLE_S
        )
    before = {pool: pair.cpu_s(pool) for pool in "ab"}
    active = chosen.rows // 5
    found = lag.measure(
        pair, active, chosen.rate // ROWS_PER_TRANSACTION, chosen.seconds, rows_each=ROWS_PER_TRANSACTION
    )
    for pool in "ab":
        share = (pair.cpu_s(pool) - before[pool]) / chosen.seconds
        report.note(f"service of {pool} at work, share of a core", pair.name, share)
    report.note("lag p50, ms", pair.name, found.p50_ms)
    report.note("lag p99, ms", pair.name, found.p99_ms)
    log_bytes = pair.a.number(pair.database, "SELECT pg_total_relation_size('poolpair.log_1')")
    report.note("log, MB", pair.name, log_bytes / 1e6)
    pair.rest()
    began = time.monotonic()
    pair.command("a", "verify", "--timeout", "3600")
    report.note("verify, s", pair.name, time.monotonic() - began)


if __name__ == "__main__":
    main()
