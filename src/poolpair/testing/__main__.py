"""`python -m poolpair.testing`: fixed seeds for every change, fresh seeds for as long as wished, and one seed again.

seeds FIRST COUNT [--steps N] [--store memory|sqlite|postgresql]   a fixed set; exit status 1 if one fails
regressions FILE                                        the runs that once found something
soak SECONDS [--store ...]                              fresh seeds; also fails if a fault or checker was never used
sweep [--stride N] [--scenario NAME] [--store ...]      one scenario, and every N-th port call of it goes wrong in every way
replay SEED [--steps N | --history FILE] [--store ...] [--shrink] [--keep FILE]
                                                        one seed, its whole trace; --keep writes its steps down
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from itertools import count
from math import isfinite
from pathlib import Path
from secrets import randbelow

from poolpair.testing.options import DEFAULT_STEPS
from poolpair.testing.regressions import Run, keep, read_regressions
from poolpair.testing.report import Tally, again, commit, failure
from poolpair.testing.scenarios import SCENARIOS
from poolpair.testing.schema import POOLS
from poolpair.testing.shrink import shrink
from poolpair.testing.simulation import Outcome, play
from poolpair.testing.steps import History
from poolpair.testing.stores import StoreKind
from poolpair.testing.sweep import WAYS, sweep

FAST_DISK = Path("/dev/shm")  # noqa: S108 - scratch files of made-up data
USAGE, UNPLAYED, INTERRUPTED = 64, 74, 130
SAY_EVERY_S = 5.0


def main() -> int:
    """Run what the arguments say."""
    parser = _parser()
    arguments = parser.parse_args()
    kind = StoreKind(arguments.store)
    try:
        match arguments.command:
            case "seeds":
                seeds = range(arguments.first, arguments.first + arguments.count)
                return _run_all((Run.drawn(seed, arguments.steps, kind) for seed in seeds), None)
            case "regressions":
                return _run_all(iter(read_regressions(arguments.file)), None)
            case "soak":
                first = arguments.first if arguments.first is not None else randbelow(1 << 40)
                return _run_all((Run.drawn(seed, arguments.steps, kind) for seed in count(first)), arguments.seconds)
            case "sweep":
                return _sweep(kind, arguments.scenario, arguments.stride)
            case _:
                kept = arguments.history
                run = Run.kept(arguments.seed, kept, kind) if kept else Run.drawn(arguments.seed, arguments.steps, kind)
                return _replay(run, shorter=arguments.shrink, path=arguments.keep)
    except (OSError, ValueError) as error:
        parser.exit(USAGE, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(INTERRUPTED, f"{parser.prog}: interrupted\n")


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more: nothing that runs proves nothing")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (seconds > 0 and isfinite(seconds)):
        raise argparse.ArgumentTypeError("must be more than 0, and end some time")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m poolpair.testing", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    seeds = commands.add_parser("seeds", help="a fixed set of histories; exit status 1 if one fails")
    seeds.add_argument("first", type=int, help="the first seed")
    seeds.add_argument("count", type=_natural, help="how many, one after the other")
    regressions = commands.add_parser("regressions", help="the runs that once found something")
    regressions.add_argument("file", type=Path, help="per line a run, and the store that it found it on")
    regressions.set_defaults(store=StoreKind.MEMORY.value)
    soak = commands.add_parser("soak", help="fresh seeds; fails, too, if a fault or checker was never used")
    soak.add_argument("seconds", type=_seconds, help="the seed that is running then is the last")
    soak.add_argument("--first", type=int, help="the first seed; one at random if it is not said")
    swept = commands.add_parser("sweep", help="one scenario, and every port call of it goes wrong in every way")
    swept.add_argument("--scenario", choices=SCENARIOS, default="edits", help="which (default: %(default)s)")
    swept.add_argument("--stride", type=_natural, default=1, help="only every so many-th call (default: %(default)s)")
    replay = commands.add_parser("replay", help="one seed again, with its whole trace")
    replay.add_argument("seed", type=int, help="as a failing run prints it")
    replay.add_argument(
        "--history",
        type=Path,
        help="steps that were kept in a file, instead of those that the seed draws: tests/simulation/found/NAME.txt",
    )
    replay.add_argument("--shrink", action="store_true", help="leave out whatever the violation does not need")
    replay.add_argument("--keep", type=Path, help="write the steps down, for --history and the list of regressions")
    for each in (seeds, soak, replay):
        each.add_argument(
            "--steps", type=_natural, default=DEFAULT_STEPS, help="steps that a seed draws (default: %(default)s)"
        )
    for each in (seeds, soak, swept, replay):
        each.add_argument(
            "--store",
            choices=[kind.value for kind in StoreKind],
            default=StoreKind.MEMORY.value,
            help="what both pools keep their rows in (default: %(default)s)",
        )
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _run_all(wanted: Iterator[Run], limit_s: float | None) -> int:
    """Make runs until none is left or the time is up; a limited time must also use every fault and checker."""
    tally, begun_s, status = Tally(), time.monotonic(), 0
    said_s = begun_s
    try:
        for run in wanted:
            if not tally.seeds:
                _say(f"from seed {run.seed} on, {run.kind} stores, commit {commit()}")
            outcome = _play(run)
            tally.add(run.seed, outcome)
            if sys.stderr.isatty() and time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                sys.stderr.write(f"{tally.seeds} seeds, {tally.steps} steps, {len(tally.failed)} failed so far\n")
            if outcome.violation:
                for line in failure(run, outcome):
                    _say(line)
            if limit_s is not None and time.monotonic() - begun_s >= limit_s:
                break
    except OSError as error:
        _say(f"seed {run.seed} could not be played to its end, {again(run)}: {error}")
        status = UNPLAYED
    except KeyboardInterrupt:
        _say("interrupted; until then:")
        status = INTERRUPTED
    complete = limit_s is not None and not status
    for line in tally.lines(time.monotonic() - begun_s, complete=complete):
        _say(line)
    return status or (1 if tally.failed or (complete and tally.unused()) else 0)


def _play(run: Run, history: History | None = None) -> Outcome:
    scratch = FAST_DISK if FAST_DISK.is_dir() else None
    return play(run.history if history is None else history, run.seed, run.kind, scratch=scratch)


def _replay(run: Run, *, shorter: bool, path: Path | None) -> int:
    if path and not path.parent.is_dir():
        raise ValueError(f"{path.parent} is no folder: the steps could not be kept there")
    history, outcome = run.history, _play(run)
    violation = outcome.violation
    if violation and shorter:
        said_s = time.monotonic()

        def fails(tried: History) -> bool:
            nonlocal said_s
            found = _play(run, tried).violation
            still = found is not None and found.checker == violation.checker
            if still and time.monotonic() - said_s > SAY_EVERY_S:
                sys.stderr.write(f"{len(tried)} steps still fail\n")
                said_s = time.monotonic()
            return still

        history = shrink(history[: outcome.steps], fails)
        outcome = _play(run, history)
        _say(f"{len(history)} steps are left, in {outcome.steps} with those that heal")
    for line in outcome.trace:
        _say(line)
    if path:
        keep(history, path)
    _say(f"seed {run.seed}, {run.again}, {run.kind} stores, commit {commit()}")
    if violation is None:
        _say(f"no checker objects: {outcome.steps} steps, {outcome.simulated_s / 3600:.1f} simulated hours")
    return 1 if violation else 0


def _sweep(kind: StoreKind, scenario: str, stride: int) -> int:
    failed = total = 0
    for way in WAYS:
        for victim in POOLS:
            places = bad = 0
            for each in sweep(kind, victim, way, scenario=scenario, stride=stride):
                places += 1
                if each.outcome.violation:
                    bad += 1
                    violation = each.outcome.violation
                    _say(f"{way} at call {each.at}, {each.point} of {victim}: {violation.checker}: {violation.story}")
            failed, total = failed + bad, total + places
            _say(f"{way} at {victim}: {places} places, {bad} failed")
    _say(f"{scenario}: {total} places in all, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads this may stop reading
    sys.exit(main())
