"""`python -m bench.memory`: how much memory a service takes at most, whatever it copies: many rows, and one large file."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

from bench import sqlite_table as table
from bench.peer import wait_until
from bench.report import Report, machine
from bench.sqlite_pair import SqlitePair

BLOCK_BYTES = 1 << 20
RAISED = '[sync]\nconference_max = "8GiB"\npackage_max = "8GiB"\n'


def options() -> argparse.Namespace:
    """How much is copied."""
    parser = argparse.ArgumentParser(prog="bench.memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--file-mib", type=int, default=2048)
    parser.add_argument("--only", default="rows,file", help="which of both")
    parser.add_argument("--folder", default="/var/tmp", help="below it everything lies, and goes in the end")  # noqa: S108
    return parser.parse_args()


def rows(folder: Path, count: int, report: Report) -> None:
    """A first copy of many rows, proved equal, then every fifth of them changed at once."""
    filled = folder / "filled.db"
    table.fill(filled, count)
    pair = SqlitePair(folder / "rows")
    with ExitStack() as stack:
        stack.callback(pair.end)
        pair.begin(filled)
        began = time.monotonic()
        for pool in "ba":
            pair.start(pool)
        pair.prove()
        report.note("first copy proved equal, s", "poolpair", time.monotonic() - began)
        pair.wait_for_mark(table.write(pair.a, table.changes(count, 0)))
        note(pair, report, f"{count} rows")


def file(folder: Path, mib: int, report: Report) -> None:
    """One file that no memory would hold."""
    pair = SqlitePair(folder / "file", files=True, extra=RAISED)
    with ExitStack() as stack:
        stack.callback(pair.end)
        pair.begin(None)
        with (pair.tree("a") / "large.bin").open("wb") as sink:
            for _ in range(mib):
                sink.write(os.urandom(BLOCK_BYTES))
        began = time.monotonic()
        for pool in "ba":
            pair.start(pool)
        there = pair.tree("b") / "large.bin"
        wait_until("the file at b", lambda: there.exists() and there.stat().st_size == mib * BLOCK_BYTES, poll_s=0.2)
        report.note(f"a file of {mib} MiB, s", "poolpair", time.monotonic() - began)
        note(pair, report, f"a file of {mib} MiB")


def note(pair: SqlitePair, report: Report, what: str) -> None:
    """The largest resident set of each service."""
    pair.end()
    for pool, peak in sorted(pair.peak_bytes.items()):
        report.note(f"peak memory of the service at {pool}, {what}, MB", "poolpair", peak / 1e6)


def main() -> None:
    """Copy both, one after the other."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else whoever ends this leaves its services running
    report = Report(machine())
    folder = Path(mkdtemp(prefix="poolpair-bench-", dir=chosen.folder))
    try:
        if "rows" in chosen.only:
            rows(folder, chosen.rows, report)
        if "file" in chosen.only:
            file(folder, chosen.file_mib, report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.write("memory"))


if __name__ == "__main__":
    main()
