"""What capture costs a writer: pgbench on two equal databases of one server, one with our triggers, in alternating slots."""

from __future__ import annotations

import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.server import Server

_SCRIPT = """\\set i random(0, {last})
\\set salt random(0, 1000000)
UPDATE userdata SET value = value_of(:i, :salt), version = version + 1, mtime = now() WHERE host = 'a.example'
 AND "user" = user_of(:i) AND store = store_of(:i) AND key = md5(:i::text);
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Ratios of the rate with capture to that without, slot beside slot."""

    median: float
    low: float
    high: float
    off_tps: float
    on_tps: float
    slots: int


def rate(server: Server, database: str, script: Path, seconds: int, clients: int) -> float:
    """Transactions a second of some clients."""
    done = subprocess.run(
        [server.programs / "pgbench", "-n", "-h", server.socket, "-p", str(server.port), "-U", "app",
         "-c", str(clients), "-j", "1", "-T", str(seconds), "-f", script, database],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout.split("tps = ")[1].split()[0])


def measure(server: Server, off: str, on: str, rows: int, *, slots: int, seconds: int, clients: int = 4) -> Cost:
    """Alternate, each pair in the other order than the one before; the first pair only warms up."""
    script = server.folder / "writer.sql"
    script.write_text(_SCRIPT.format(last=rows * 4 // 5 - 1))
    server.checkpoint()
    offs: list[float] = []
    ons: list[float] = []
    for slot in range(slots + 1):
        pair = [(off, offs), (on, ons)]
        for database, rates in pair if slot % 2 else reversed(pair):
            found = rate(server, database, script, seconds, clients)
            if slot:
                rates.append(found)
    ratios = sorted(with_it / without for with_it, without in zip(ons, offs, strict=True))
    low, high = interval_of_median(ratios)
    return Cost(statistics.median(ratios), low, high, statistics.median(offs), statistics.median(ons), slots)


def interval_of_median(ordered: list[float]) -> tuple[float, float]:
    """The 90 % interval of the median by order statistics, whatever the distribution: no more than 5 % lie beyond each end."""
    n, k, tail = len(ordered), 0, 0.5 ** len(ordered)
    term = tail
    while k < n // 2 and tail + (term := term * (n - k) / (k + 1)) <= 0.05:
        tail += term
        k += 1
    return ordered[k], ordered[n - 1 - k]
