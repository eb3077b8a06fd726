"""Breaks a copy of the production code, one mutant at a time, and sees whether the simulator or the named test objects.

`python -m tests.mutation.runner [NAME ...]` prints the table and exits with 1 if one survived.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
SEEDS, STEPS = 120, 250
LIMIT_S = 900


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who caught a mutant, and in which words; nobody if it survived."""

    mutant: Mutant
    caught_by: str
    words: str

    @property
    def survived(self) -> bool:
        """Nobody objected."""
        return not self.caught_by


def broken(mutant: Mutant, folder: Path) -> Path:
    """Copy the code and break it. Raises ValueError if what is to be replaced does not stand there exactly once."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    path = folder / "src" / "poolpair" / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: its text stands {text.count(mutant.old)} times in {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new))
    return folder / "src"


def judge(mutant: Mutant, *, seeds: int = SEEDS) -> Verdict:
    """Let the named test speak, or else the simulator."""
    with tempfile.TemporaryDirectory() as folder:
        source = broken(mutant, Path(folder))
        if mutant.test:
            command = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.test.split()]
        else:
            command = ["-m", "tests.mutation.judge", "0", str(seeds), str(STEPS), mutant.store]
        done = _run(command, source)
    words = [line for line in done.stdout.splitlines() if line]
    if done.returncode == 0:
        return Verdict(mutant, "", "")
    objected = [line for line in words if line.startswith(("FAILED", "ERROR", "seed "))]
    if not objected:
        raise RuntimeError(f"{mutant.name}: it could not be judged\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return Verdict(mutant, mutant.test or "simulator", objected[0][:150])


def _run(command: list[str], source: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("CI", None)
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def main() -> int:
    """Judge those named, or all."""
    if unknown := set(sys.argv[1:]) - {mutant.name for mutant in MUTANTS}:
        sys.exit(f"there is no mutant {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in MUTANTS if mutant.name in sys.argv[1:] or len(sys.argv) == 1]
    survivors = 0
    for mutant in chosen:
        verdict = judge(mutant)
        survivors += verdict.survived
        print(f"{'SURVIVED' if verdict.survived else 'caught  '}  {mutant.name}: {mutant.rule}")  # noqa: T201 - a tool
        print(f"          {verdict.caught_by}  {verdict.words}", flush=True)  # noqa: T201
    print(f"{len(chosen) - survivors} of {len(chosen)} caught")  # noqa: T201
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
