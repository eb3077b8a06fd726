"""How soon a front end takes over from another that was killed, or stands still: five times each, in a lab.

    python -m bench.front_ends [--rounds 5]

Taken from the signal on: until the share names another front end, and until a note that was committed right after the signal is at the
partner. The lab is made for it, and removed.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from poolpair.lab.deployment import parts
from poolpair.lab.deployment.application import notes, put
from poolpair.lab.deployment.layout import Layout
from poolpair.lab.deployment.making import make, remove
from poolpair.lab.deployment.process import send
from poolpair.lab.waiting import wait_for

WAIT_S = 120.0
POLL_S = 0.01


def at_work(layout: Layout) -> str:
    """The front end that the share of pool a names."""
    path = layout.share("a") / "TaskAssignment" / "backup-service.txt"
    return path.read_text().strip() if path.exists() else ""


def measure(layout: Layout, number: int, kind: str) -> tuple[float, float]:
    """Seconds until another is named, and until a note is at the partner."""
    before = at_work(layout)
    begun_s = time.monotonic()
    send(parts.mark(layout, before), signal.SIGKILL if kind == "kill -9" else signal.SIGSTOP)
    note = f"measured-{kind}-{number}"
    put(layout, "a", "a", note)
    wait_for("another front end", lambda: at_work(layout) not in ("", before), WAIT_S, poll_s=POLL_S)
    named_s = time.monotonic() - begun_s
    wait_for("the note at b", lambda: ("a", note) in notes(layout, "b"), WAIT_S, poll_s=POLL_S)
    there_s = time.monotonic() - begun_s
    said = layout.log(before).stat().st_size
    parts.start(layout, before)
    parts.await_service(layout, before, said)  # so that two stand by when the next one is met
    return named_s, there_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with TemporaryDirectory() as folder:
        layout = make(Path(folder) / "lab", "postgresql", print)
        try:
            for kind in ("kill -9", "SIGSTOP"):
                found = [measure(layout, number, kind) for number in range(rounds)]
                for what, seconds in zip(
                    ("another at work", "a note at the partner"), zip(*found, strict=True), strict=True
                ):
                    each = " ".join(f"{second:.2f}" for second in sorted(seconds))
                    print(
                        f"{kind}: {what}: median {statistics.median(seconds):.2f} s ({each}), load {os.getloadavg()[0]:.1f}"
                    )
        finally:
            remove(layout)


if __name__ == "__main__":
    main()
