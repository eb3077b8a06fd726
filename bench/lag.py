"""How late a change is seen at the target: one process writes at a steady rate, another looks every millisecond."""

from __future__ import annotations

import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import psycopg

from bench import userdata
from bench.peer import Peer

_WRITE = (
    "UPDATE userdata t SET value = value_of($1, $2), version = version + 1, mtime = now() WHERE host = 'a.example'"
    ' AND "user" = user_of($1) AND store = store_of($1) AND key = md5($1::text)'
)
_MARK = f"UPDATE userdata SET version = version + 1 WHERE {userdata.MARK}"
_SEEN = f"SELECT version FROM userdata WHERE {userdata.MARK}"


@dataclass(frozen=True, slots=True)
class Lag:
    """Milliseconds from the writer's COMMIT to the look that saw it."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    rate_s: float


def look(url: str, last: int) -> list[tuple[int, float]]:
    """Which version was seen when, until the last one is."""
    found: list[tuple[int, float]] = []
    with psycopg.connect(url, autocommit=True) as watcher:
        seen = 0
        while seen < last:
            row = watcher.execute(_SEEN).fetchone()
            now = time.monotonic()
            if row is not None and row[0] > seen:
                seen = row[0]
                found.append((seen, now))
            time.sleep(0.001)
    return found


def measure(peer: Peer, rows: int, rate: int, seconds: int, *, rows_each: int = 1) -> Lag:
    """Write `rate` transactions a second for some seconds, each of so many of the first `rows` rows and the mark."""
    first = userdata.mark(peer.a, peer.database)
    count, rng = rate * seconds, random.Random(first)
    committed: list[float] = []
    with (
        ProcessPoolExecutor(1) as other,
        psycopg.connect(peer.a.url(peer.database), cursor_factory=psycopg.RawCursor) as writer,
    ):
        looking = other.submit(look, peer.b.url(peer.database), first + count)
        time.sleep(1)
        began = time.monotonic()
        for n in range(count):
            time.sleep(max(0.0, began + n / rate - time.monotonic()))
            for _ in range(rows_each):
                writer.execute(_WRITE, (rng.randrange(rows), n))
            writer.execute(_MARK)
            writer.commit()
            committed.append(time.monotonic())
        took = time.monotonic() - began
        seen = looking.result(timeout=300)
    lags, at = [], 0
    for n, when in enumerate(committed):
        while seen[at][0] < first + n + 1:
            at += 1
        lags.append(max(0.0, seen[at][1] - when) * 1000)
    lags.sort()
    return Lag(lags[count // 2], lags[count * 99 // 100], lags[-1], count / took)
