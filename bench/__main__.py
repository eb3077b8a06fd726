"""`python -m bench`: our pair and native logical replication side by side, on four clusters of this machine."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from bench import lag, userdata, writers
from bench.bucardo import Bucardo
from bench.native import Native
from bench.pair import Ours
from bench.peer import Peer, wait_until
from bench.report import Report, machine
from bench.server import Server

TEMPLATE = "filled"
COPY, COPY_RATE = "first copy, s", "first copy, rows per second"
CATCH, CATCH_RATE = "catch-up, s", "catch-up, changes per second"
HOT = "hot rows, s"
PER_BYTE, HOT_BYTES = "bytes shipped per changed byte", "hot rows, MB shipped"
LAG50, LAG99 = "lag p50, ms", "lag p99, ms"


def options() -> argparse.Namespace:
    """What is measured, and how much of it."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="copy,catchup,hot,lag,writer", help="which measurements")
    parser.add_argument("--peers", default="poolpair,native", help="beside ours: native, bucardo")
    parser.add_argument("--lag-seconds", type=int, default=20)
    parser.add_argument("--slots", type=int, default=12)
    parser.add_argument("--slot-seconds", type=int, default=5)
    return parser.parse_args()


@contextmanager
def servers(names: list[str]) -> Iterator[dict[str, Server]]:
    """Clusters in a folder of their own, ended whatever happens."""
    folder = Path(mkdtemp(prefix="poolpair-bench-", dir="/var/tmp"))
    folder.chmod(0o755)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # else whoever ends the benchmark leaves its clusters running
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        made = {}
        for place, name in enumerate(names):
            made[name] = Server(folder / name, 56400 + place)
            stack.callback(made[name].end)
        yield made


def timed(peer: Peer, report: Report, what: str, rate: str, count: int, wanted: int) -> None:
    """From `resume` until the mark is there."""
    for server in (peer.a, peer.b):
        server.checkpoint()
    with peer.b.connect(peer.database) as watcher:
        began = time.monotonic()
        peer.resume()
        text = f"SELECT version FROM userdata WHERE {userdata.MARK}"
        wait_until(what, lambda: watcher.execute(text).fetchone() == (wanted,))
        took = time.monotonic() - began
    report.note(what, peer.name, took)
    if rate:
        report.note(rate, peer.name, count / took)


def check_equal(peer: Peer) -> None:
    """Count and hash of every row."""
    peer.rest()
    ours, theirs = (userdata.fingerprint(server, peer.database) for server in (peer.a, peer.b))
    if ours != theirs:
        raise SystemExit(f"{peer.name}: the copies differ: {ours} and {theirs}")


def copy(peer: Peer, report: Report, rows: int) -> None:
    """The first copy, onto an empty table."""
    peer.begin()
    for server in (peer.a, peer.b):
        server.checkpoint()
    began = peer.copy()
    took = time.monotonic() - began
    report.note(COPY, peer.name, took)
    report.note(COPY_RATE, peer.name, rows / took)
    if isinstance(peer, Ours):
        peer.prove()
        report.note("first copy proved equal by digests, s", peer.name, time.monotonic() - began)
    check_equal(peer)


def catch_up(peer: Peer, report: Report, rows: int, number: int) -> None:
    """What was changed while nothing was sent."""
    userdata.pick_changes(peer.a, peer.database, rows, number)
    peer.rest()
    peer.pause()
    wanted = userdata.change(peer.a, peer.database, number + 1)
    changed = userdata.changed_bytes(peer.a, peer.database)
    timed(peer, report, CATCH, CATCH_RATE, rows // 5 + rows // 25, wanted)
    if shipped := peer.shipped():  # 0 of whoever's bytes are not counted
        report.note(PER_BYTE, peer.name, shipped / changed)
    check_equal(peer)


def hot(peer: Peer, report: Report, rows: int) -> None:
    """A few rows, changed again and again while nothing was sent."""
    userdata.pick_hot(peer.a, peer.database, min(10_000, rows // 2), 20)
    peer.rest()
    peer.pause()
    wanted = userdata.change(peer.a, peer.database, 1000)
    timed(peer, report, HOT, "", 0, wanted)
    report.note(HOT_BYTES, peer.name, peer.shipped() / 1e6)
    check_equal(peer)


def note_lag(peer: Peer, report: Report, rows: int, seconds: int) -> None:
    """At 200 transactions a second."""
    peer.rest()
    found = lag.measure(peer, rows * 4 // 5, 200, seconds)
    report.note(LAG50, peer.name, found.p50_ms)
    report.note(LAG99, peer.name, found.p99_ms)
    report.note("lag max, ms", peer.name, found.max_ms)
    check_equal(peer)


def note_writers(a: Server, report: Report, peer: Ours, rows: int, slots: int, seconds: int) -> None:
    """Capture off and on; nothing is sent meanwhile."""
    peer.end()
    a.create("plain", TEMPLATE)
    found = writers.measure(a, "plain", peer.database, rows, slots=slots, seconds=seconds)
    report.about["writers"] = {name: getattr(found, name) for name in found.__slots__}
    report.note("writer with capture off, transactions per second", "poolpair", found.off_tps)
    report.note("writer with capture on, transactions per second", "poolpair", found.on_tps)
    report.note("writer's rate with capture, median of ratios", "poolpair", found.median)
    report.note("the same, 90 % interval from", "poolpair", found.low)
    report.note("the same, to", "poolpair", found.high)


def main() -> None:
    """Measure round by round, each peer after the other, so that a slow minute strikes all."""
    chosen = options()
    only, names = chosen.only.split(","), chosen.peers.split(",")
    report = Report(machine() | {"rows": chosen.rows, "rounds": chosen.rounds})
    with servers([f"{name}-{side}" for name in names for side in "ab"]) as made, ExitStack() as stack:
        report.about["postgresql"] = str(next(iter(made.values())).run("postgres", "SHOW server_version")[0][0])
        for name in names:
            userdata.fill(made[f"{name}-a"], TEMPLATE, chosen.rows)
        folder = next(iter(made.values())).folder.parent
        pair = stack.enter_context(closing(Ours(made["poolpair-a"], made["poolpair-b"], TEMPLATE, folder / "pair")))
        peers: list[Peer] = [pair]
        if "native" in names:
            peers.append(Native(made["native-a"], made["native-b"], TEMPLATE))
        run(chosen, only, peers, report)
        if "bucardo" in names:
            rare = Bucardo(made["bucardo-a"], made["bucardo-b"], TEMPLATE, folder / "bucardo")
            copy(rare, report, chosen.rows)
            catch_up(rare, report, chosen.rows, 0)
            peers.append(rare)
        if "writer" in only:
            note_writers(pair.a, report, pair, chosen.rows, chosen.slots, chosen.slot_seconds)
        for peer in peers:
            peer.end()
        report.note("peak memory of the service, MB", "poolpair", max(pair.peak_bytes.values()) / 1e6)
    print(report.table([peer.name for peer in peers]))
    print(report.write("pg"))


def run(chosen: argparse.Namespace, only: list[str], peers: list[Peer], report: Report) -> None:
    """Every measurement that takes rounds."""
    copies = chosen.rounds if "copy" in only else 1
    for number in range(copies):
        for peer in peers:
            copy(peer, report, chosen.rows)
            if number < copies - 1:
                peer.end()
    for number in range(chosen.rounds if "catchup" in only else 0):
        for peer in peers:
            catch_up(peer, report, chosen.rows, number)
    for _ in range(chosen.rounds if "hot" in only else 0):
        for peer in peers:
            hot(peer, report, chosen.rows)
    for _ in range(chosen.rounds if "lag" in only else 0):
        for peer in peers:
            note_lag(peer, report, chosen.rows, chosen.lag_seconds)


if __name__ == "__main__":
    main()
