"""`python -m poolpair.testing`: fixed seeds for every change, fresh seeds for as long as wished, and one seed again.

seeds FIRST COUNT [--steps N] [--store memory|sqlite|postgresql]   a fixed set; exit status 1 if one fails
regressions FILE                                        the seeds that once found something
soak SECONDS [--store ...]                              fresh seeds; also fails if a fault or checker was never used
replay SEED [--steps N] [--store ...] [--shrink]        one seed, its whole trace
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from secrets import randbelow

from poolpair.testing.options import DEFAULT_STEPS, draw_history
from poolpair.testing.regressions import Regression, read_regressions
from poolpair.testing.report import Tally, failure
from poolpair.testing.shrink import History, shrink
from poolpair.testing.simulation import Outcome, play
from poolpair.testing.stores import StoreKind

FAST_DISK = Path("/dev/shm")  # noqa: S108 - scratch files of made-up data


def main() -> int:
    """Run what the arguments say."""
    arguments = _arguments()
    kind, steps = StoreKind(arguments.store), arguments.steps
    match arguments.command:
        case "seeds":
            wanted = (
                Regression(seed, steps, kind) for seed in range(arguments.first, arguments.first + arguments.count)
            )
            return _run_all(wanted, time.monotonic() + 1e9, complete=False)
        case "regressions":
            return _run_all(iter(read_regressions(arguments.file)), time.monotonic() + 1e9, complete=False)
        case "soak":
            first = arguments.first if arguments.first is not None else randbelow(1 << 40)
            fresh = (Regression(seed, steps, kind) for seed in count(first))
            return _run_all(fresh, time.monotonic() + arguments.seconds, complete=True)
        case _:
            return _replay(arguments.seed, steps, kind, shorter=arguments.shrink)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m poolpair.testing", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    seeds = commands.add_parser("seeds")
    seeds.add_argument("first", type=int)
    seeds.add_argument("count", type=int)
    regressions = commands.add_parser("regressions")
    regressions.add_argument("file", type=Path)
    soak = commands.add_parser("soak")
    soak.add_argument("seconds", type=float)
    soak.add_argument("--first", type=int)
    replay = commands.add_parser("replay")
    replay.add_argument("seed", type=int)
    replay.add_argument("--shrink", action="store_true")
    for each in (seeds, regressions, soak, replay):
        each.add_argument("--steps", type=int, default=DEFAULT_STEPS)
        each.add_argument("--store", choices=[kind.value for kind in StoreKind], default=StoreKind.MEMORY.value)
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _run_all(wanted: Iterator[Regression], deadline_s: float, *, complete: bool) -> int:
    tally, begun_s = Tally(), time.monotonic()
    for each in wanted:
        outcome = _play(draw_history(each.seed, each.steps), each.seed, each.kind)
        tally.add(each.seed, outcome)
        if outcome.violation:
            for line in failure(each.seed, each.steps, each.kind, outcome):
                _say(line)
        if time.monotonic() >= deadline_s:
            break
    for line in tally.lines(time.monotonic() - begun_s):
        _say(line)
    return 1 if tally.failed or (complete and tally.unused()) else 0


def _play(history: History, seed: int, kind: StoreKind) -> Outcome:
    return play(history, seed, kind, scratch=FAST_DISK if FAST_DISK.is_dir() else None)


def _replay(seed: int, steps: int, kind: StoreKind, *, shorter: bool) -> int:
    history = draw_history(seed, steps)
    outcome = _play(history, seed, kind)
    violation = outcome.violation
    if violation and shorter:

        def fails(tried: History) -> bool:
            found = _play(tried, seed, kind).violation
            return found is not None and found.checker == violation.checker

        history = shrink(history[: outcome.steps], fails)
        outcome = _play(history, seed, kind)
        _say(f"{len(history)} steps are left, in {outcome.steps} with those that heal")
    for line in outcome.trace:
        _say(line)
    return 1 if violation else 0


if __name__ == "__main__":
    sys.exit(main())
