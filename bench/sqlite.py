"""`python -m bench.sqlite`: our pair on SQLite and Litestream side by side, with the ceilings of the same minutes."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sqlite3
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

from bench import sqlite_table as table
from bench.litestream import Litestream, program
from bench.peer import wait_until
from bench.report import Report, machine
from bench.sqlite_pair import SqlitePair
from bench.sqlite_table import Lots
from bench.writers import interval_of_median

COPY, CATCH, HOT = "first copy, s", "catch-up, s", "hot rows, s"
PER_BYTE, HOT_BYTES = "bytes shipped per changed byte", "hot rows, MB shipped"
CEILING = "ceiling: executemany of the same changes, s"
OURS, THEIRS = "poolpair", "litestream"
REACHED_WITHIN_S = 120
"""A follower that has not everything by then is not waited for."""


class Copy(Protocol):
    """What is looked at while somebody writes."""

    a: Path
    b: Path


def options() -> argparse.Namespace:
    """What is measured, and how much of it."""
    parser = argparse.ArgumentParser(prog="bench.sqlite", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="copy,catchup,hot,lag,writer", help="which measurements")
    parser.add_argument("--litestream", type=Path, help="where its program is; else it is installed for this run")
    parser.add_argument("--lag-seconds", type=int, default=20)
    parser.add_argument("--slots", type=int, default=12)
    parser.add_argument("--slot-seconds", type=int, default=5)
    return parser.parse_args()


def check_equal(who: str, copy: Copy) -> None:
    """Count and hash of every row. Of ours that ends the run; a peer's is said, and what it took counts for nothing then."""
    ours, theirs = table.fingerprint(copy.a), table.fingerprint(copy.b)
    if ours == theirs:
        return
    said = f"{who}: the copies differ: {ours} and {theirs}"
    if who == OURS:
        raise SystemExit(said)
    print(said, flush=True)


def first_copies(pair: SqlitePair, other: Litestream, filled: Path, rows: int, report: Report) -> None:
    """Onto nothing: ours with both services up, until the last row is there, then proved; theirs replicated and restored."""
    pair.begin(filled)
    pair.start("b")
    began = time.monotonic()
    pair.start("a")
    wait_until("our copy", lambda: pair.document("b", "inbound/users").get("applied_rows", 0) >= rows + 1)
    report.note(COPY, OURS, time.monotonic() - began)
    pair.prove()
    report.note("first copy proved equal by digests, s", OURS, time.monotonic() - began)
    check_equal(OURS, pair)
    other.begin(filled)
    began = time.monotonic()
    other.once()
    other.restore()
    report.note(COPY, THEIRS, time.monotonic() - began)
    check_equal(THEIRS, other)


def catch_up(pair: SqlitePair, other: Litestream, lots: Lots, report: Report, what: str) -> None:
    """What was changed while nothing was sent: ours from the resumption until it is there, theirs a restore, which is all it has."""
    pair.rest()
    pair.pause()
    wanted = table.write(pair.a, lots)
    began = time.monotonic()
    pair.resume()
    pair.wait_for_mark(wanted)
    report.note(what, OURS, time.monotonic() - began)
    pair.rest()
    note_bytes(report, OURS, what, pair.shipped(), table.text_bytes(table.final_rows(pair.a, lots)))
    check_equal(OURS, pair)

    before = other.replica_bytes()
    table.write(other.a, lots)
    other.rest()
    shipped = other.replica_bytes() - before
    began = time.monotonic()
    other.restore()
    report.note(what, THEIRS, time.monotonic() - began)
    note_bytes(report, THEIRS, what, shipped, table.text_bytes(table.final_rows(other.a, lots)))
    check_equal(THEIRS, other)


def note_bytes(report: Report, who: str, what: str, shipped: int, changed: int) -> None:
    """By the text of the changed rows in their final state; of hot rows as they are."""
    if what == CATCH:
        report.note(PER_BYTE, who, shipped / changed)
    else:
        report.note(HOT_BYTES, who, shipped / 1e6)


def ceiling(filled: Path, folder: Path, lots: Lots, report: Report) -> None:
    """The same changes' final rows, known beforehand, by executemany into a copy: what SQLite does in Python at best."""
    origin, target = folder / "origin.db", folder / "target.db"
    for path in (origin, target):
        shutil.copy(filled, path)
    table.write(origin, lots)
    rows = table.final_rows(origin, lots)
    with closing(table.opened(target)) as connection:
        began = time.monotonic()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(table.DELETE, [row for row in rows if len(row) == 3])
        connection.executemany(table.UPSERT, [row for row in rows if len(row) > 3])
        connection.execute("COMMIT")
        report.note(CEILING, OURS, time.monotonic() - began)


def look(path: Path, last: int) -> list[tuple[int, float]]:
    """Which version was seen when, until the last one is; looks every millisecond."""
    found: list[tuple[int, float]] = []
    deadline_s = time.monotonic() + REACHED_WITHIN_S
    with closing(table.reading(path)) as watcher:
        while (found[-1][0] if found else 0) < last and time.monotonic() < deadline_s:
            version = table.mark(watcher)
            if version > (found[-1][0] if found else 0):
                found.append((version, time.monotonic()))
            time.sleep(0.001)
    return found


def lag(copy: Copy, who: str, rows: int, seconds: int, report: Report, rate: int = 200) -> bool:
    """Writes at a steady rate, each transaction one row and the mark. Returns whether the copy ever had all of it."""
    rng, count = random.Random(5), rate * seconds
    raise_mark = f"UPDATE userdata SET version = version + 1 WHERE {table.MARK}"
    committed: list[float] = []
    with ProcessPoolExecutor(1) as other, closing(table.opened(copy.a)) as writer:
        first = table.mark(writer)
        looking = other.submit(look, copy.b, first + count)
        time.sleep(1)
        began = time.monotonic()
        for n in range(count):
            time.sleep(max(0.0, began + n / rate - time.monotonic()))
            number = rng.randrange(rows * 4 // 5)
            writer.execute("BEGIN IMMEDIATE")
            writer.execute(table.UPDATE, (table.value_of(number, n), *table.key_of(number)))
            writer.execute(raise_mark)
            writer.execute("COMMIT")
            committed.append(time.monotonic())
        seen = looking.result(timeout=2 * REACHED_WITHIN_S)
    if not seen or seen[-1][0] < first + count:
        print(f"{who}: not everything was there after {REACHED_WITHIN_S} s: its lag is not measured", flush=True)
        return False
    lags, at = [], 0
    for n, when in enumerate(committed):
        while seen[at][0] < first + n + 1:
            at += 1
        lags.append(max(0.0, seen[at][1] - when) * 1000)
    lags.sort()
    for what, value in (("p50", lags[count // 2]), ("p99", lags[count * 99 // 100]), ("max", lags[-1])):
        report.note(f"lag {what}, ms", who, value)
    return True


def writer_rate(path: Path, rows: int, seconds: float, seed: int) -> float:
    """Transactions of one row a second, one writer."""
    rng, count = random.Random(seed), 0
    with closing(table.opened(path)) as connection:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            number = rng.randrange(rows * 4 // 5)
            connection.execute(table.UPDATE, (table.value_of(number, count), *table.key_of(number)))
            count += 1
        return count / (time.monotonic() - began)


def writers(pair: SqlitePair, filled: Path, folder: Path, chosen: argparse.Namespace, report: Report) -> None:
    """Capture off and on in alternating slots, nothing sent meanwhile; the first pair of slots only warms up."""
    pair.end()
    plain = folder / "plain.db"
    shutil.copy(filled, plain)
    rates: dict[Path, list[float]] = {plain: [], pair.a: []}
    for slot in range(chosen.slots + 1):
        for path in (plain, pair.a) if slot % 2 else (pair.a, plain):
            found = writer_rate(path, chosen.rows, chosen.slot_seconds, slot)
            if slot:
                rates[path].append(found)
    ratios = sorted(on / off for on, off in zip(rates[pair.a], rates[plain], strict=True))
    low, high = interval_of_median(ratios)
    for on in ratios:
        report.note("writer's rate with capture, of without", OURS, on)
    report.note("the same, 90 % interval from", OURS, low)
    report.note("the same, to", OURS, high)


def main() -> None:
    """Measure round by round, each after the other, so that a slow minute strikes all."""
    chosen = options()
    only = chosen.only.split(",")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else whoever ends this leaves its services running
    folder = Path(mkdtemp(prefix="poolpair-bench-", dir="/var/tmp"))
    about = machine() | {"rows": chosen.rows, "rounds": chosen.rounds, "sqlite": sqlite3.sqlite_version}
    report = Report(about | {"litestream": "0.5.17"})
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        binary = chosen.litestream or program(folder / "program")
        filled = folder / "filled.db"
        table.fill(filled, chosen.rows)
        pair, other = SqlitePair(folder / "pair"), Litestream(binary, folder / "litestream")
        stack.callback(pair.end)
        stack.callback(other.end)
        run(chosen, only, pair, other, filled, report)
        if "writer" in only:
            writers(pair, filled, folder, chosen, report)
        pair.end()
        for pool, peak in pair.peak_bytes.items():
            report.note(f"peak memory of the service at {pool}, MB", OURS, peak / 1e6)
    print(report.table([OURS, THEIRS]))
    print(report.write("sqlite"))


def run(
    chosen: argparse.Namespace, only: list[str], pair: SqlitePair, other: Litestream, filled: Path, report: Report
) -> None:
    """Every measurement that takes rounds."""
    for _ in range(chosen.rounds if "copy" in only else 1):
        first_copies(pair, other, filled, chosen.rows, report)
    other.replicate()
    if "catchup" in only:
        for number in range(chosen.rounds):
            lots = table.changes(chosen.rows, number)
            ceiling(filled, filled.parent, table.changes(chosen.rows, 0), report)
            catch_up(pair, other, lots, report, CATCH)
    if "hot" in only:
        for _ in range(chosen.rounds):
            catch_up(pair, other, table.hot(min(10_000, chosen.rows // 2), 20), report, HOT)
    if "lag" in only:
        other.begin(filled)
        other.once()
        other.replicate()
        other.follow()
        follows = True
        for _ in range(chosen.rounds):
            pair.rest()
            lag(pair, OURS, chosen.rows, chosen.lag_seconds, report)
            follows = follows and lag(other, THEIRS, chosen.rows, chosen.lag_seconds, report)
        check_equal(OURS, pair)


if __name__ == "__main__":
    main()
