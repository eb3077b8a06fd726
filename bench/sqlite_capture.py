"""`python -m bench.sqlite_capture`: what capture costs a writer on SQLite, counted, so that a busy machine spoils nothing but the seconds.

One row a transaction, rows at random, nothing sent meanwhile. Of each transaction: frames of the write-ahead log, pages that checkpoints of
1,000 frames put into the file, bytes handed to the system, processor time.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import sqlite_table as table
from bench.report import Report, machine
from bench.sqlite_pair import SqlitePair

WITH, WITHOUT = "poolpair", "no capture"
FRAME_HEADER_BYTES, LOG_HEADER_BYTES = 24, 32
CHECKPOINT_FRAMES = 1_000


class Counted:
    """Empties the write-ahead log as SQLite would by itself, and counts what it did."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._c = connection
        self._log = path.with_name(path.name + "-wal")
        self._page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self.frames = self.pages = 0
        connection.execute("PRAGMA wal_autocheckpoint = 0")

    def checkpoint(self, *, at_frames: int = 1) -> None:
        """If that many frames stand there."""
        frames = (self._log.stat().st_size - LOG_HEADER_BYTES) // (FRAME_HEADER_BYTES + self._page_bytes)
        if frames < at_frames:
            return
        self.frames += frames
        self.pages += len(set(self._numbers(frames)))
        self._c.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _numbers(self, frames: int) -> Iterator[bytes]:
        with self._log.open("rb") as log:
            for number in range(frames):
                log.seek(LOG_HEADER_BYTES + number * (FRAME_HEADER_BYTES + self._page_bytes))
                yield log.read(4)


def written_bytes() -> int:
    """What this process handed to the system so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


@contextmanager
def copied(path: Path, folder: Path) -> Iterator[Path]:
    """A copy to write into."""
    copy = folder / "copy.db"
    shutil.copy(path, copy)
    yield copy
    for left in folder.glob("copy.db*"):
        left.unlink()


def count(path: Path, who: str, rows: int, transactions: int, report: Report) -> None:
    """Write, and say what each transaction cost."""
    rng = random.Random(1)
    numbers = [rng.randrange(rows * 4 // 5) for _ in range(transactions)]
    changes = [(table.value_of(number, n + 1), *table.key_of(number)) for n, number in enumerate(numbers)]
    with closing(table.opened(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        counted, bytes_before, before = (
            Counted(connection, path),
            written_bytes(),
            resource.getrusage(resource.RUSAGE_SELF),
        )
        for n, change in enumerate(changes):
            connection.execute(table.UPDATE, change)
            if n % 50 == 49:
                counted.checkpoint(at_frames=CHECKPOINT_FRAMES)
        counted.checkpoint()
        after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    report.note("frames of the write-ahead log a transaction", who, counted.frames / transactions)
    report.note("pages put into the file a transaction", who, counted.pages / transactions)
    report.note("bytes written a transaction", who, (written_bytes() - bytes_before) / transactions)
    report.note("processor time a transaction, microseconds", who, seconds / transactions * 1e6)


def main() -> None:
    """The same transactions with capture and without, by turns."""
    parser = argparse.ArgumentParser(prog="bench.sqlite_capture", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--transactions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    about = machine() | {"rows": chosen.rows, "transactions": chosen.transactions, "sqlite": sqlite3.sqlite_version}
    report = Report(about)
    with TemporaryDirectory(prefix="poolpair-bench-") as made:
        folder, filled = Path(made), Path(made) / "filled.db"
        table.fill(filled, chosen.rows)
        pair = SqlitePair(folder / "pair")
        pair.begin(filled)
        for _ in range(chosen.rounds):
            for who, path in ((WITHOUT, filled), (WITH, pair.a)):
                with copied(path, folder) as copy:
                    count(copy, who, chosen.rows, chosen.transactions, report)
    print(report.table([WITH, WITHOUT]))
    print(report.write("sqlite-capture"))


if __name__ == "__main__":
    main()
