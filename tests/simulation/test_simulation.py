"""The simulator: fixed seeds hold every guarantee, found seeds stay cured, and the same seed gives the same history."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.testing.__main__ import _run_all
from poolpair.testing.options import draw
from poolpair.testing.regressions import Run, keep, read_regressions
from poolpair.testing.report import failure
from poolpair.testing.shrink import shrink
from poolpair.testing.simulation import play
from poolpair.testing.steps import Step, Verb
from poolpair.testing.stores import StoreKind

STEPS = 150


def _holds(run: Run) -> None:
    outcome = play(run.history, run.seed, run.kind)
    if outcome.violation:
        pytest.fail("\n".join(failure(run, outcome)))


@pytest.mark.parametrize("seed", range(1, 21))
def test_a_fixed_seed_holds_every_guarantee(seed: int) -> None:
    """Twenty histories with faults end with both pools equal, and no checker has anything to say on the way."""
    _holds(Run.drawn(seed, STEPS, StoreKind.MEMORY))


def test_seeds_that_found_something_stay_cured() -> None:
    """What was found once is not found again."""
    for run in read_regressions(Path(__file__).parent / "seeds.txt"):
        _holds(run)


def test_the_same_seed_gives_the_same_trace() -> None:
    """Two processes with other hash seeds agree line by line, to the last id and second."""
    command = [sys.executable, "-m", "poolpair.testing", "replay", "5", "--steps", "150"]
    traces = [
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=False).stdout
        for seed in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert traces[0].count(b"\n") > 150


def test_a_history_that_is_written_down_is_the_same(tmp_path: Path) -> None:
    """Steps with all that goes wrong in them survive as text: a run that found something stays what it was."""
    path = tmp_path / "kept.txt"
    for seed in range(30):
        history = draw(seed, 250)
        keep(history, path)
        assert Run.kept(seed, path, StoreKind.MEMORY).history == history


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("seeds", "1", "0"), 2, "nothing that runs proves nothing"),
        (("regressions", "/nowhere/seeds.txt"), 64, "No such file"),
        (("replay", "1", "--history", __file__), 64, "not a step"),
        (("replay", "1", "--history", "/dev/null"), 64, "holds nothing to be played"),
        (("replay", "1", "--steps", "5", "--keep", "/nowhere/kept.txt"), 64, "/nowhere is no folder"),
        (("replay", "1", "--steps", "5"), 0, "no checker objects"),
        (("regressions", "/dev/null"), 64, "holds nothing to be played"),
        (("regressions", __file__), 64, "line 1: "),
        (("soak", "0.001", "--first", "3", "--steps", "5"), 1, "so this run fails"),
        (("soak", "0"), 2, "must be more than 0"),
        (("soak", "inf"), 2, "must be more than 0"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: tuple[str, ...], status: int, words: str) -> None:
    """Neither a wrong argument nor a run that proved little ends with success or with a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "poolpair.testing", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert words in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ending", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted; until then:"),
        (OSError("no space is left"), 74, "seed 1 could not be played to its end, again: "),
    ],
)
def test_what_ends_a_soak_early_leaves_its_counts(
    ending: BaseException, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C, or a disk that is full: what was done until then is told, and which seed it was."""

    def wanted() -> Iterator[Run]:
        yield Run.drawn(1, 5, StoreKind.MEMORY)
        raise ending

    assert _run_all(wanted(), 60) == status
    out = capsys.readouterr().out
    assert words in out
    assert "1 seeds, " in out


def test_whoever_reads_the_output_may_stop_reading() -> None:
    """Piped into `head` the command ends without a traceback."""
    command = f"{sys.executable} -m poolpair.testing replay 5 --steps 400 | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert not done.stderr


def test_a_history_is_shrunk_to_what_matters() -> None:
    """Of thirty steps those two remain without which it does not fail."""
    history = tuple(Step(Verb.WAIT, "a", number) for number in range(30))
    short = shrink(history, lambda tried: {3, 17} <= {step.number for step in tried})
    assert [step.number for step in short] == [3, 17]
