"""The checkers bite: deliberate breakages of the production code are caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.mutants import MUTANTS, Mutant
from tests.mutation.runner import broken, judge

QUICK = ("a-sequence-is-used-twice", "token-drawn-after-the-view", "echo-is-captured", "final-while-pending")
"""Those that the first seed catches."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_breaks_what_is_there(mutant: Mutant, tmp_path: Path) -> None:
    """What it replaces stands in the code exactly once, and what comes of it is a program: a test that cannot begin catches nothing."""
    source = broken(mutant, tmp_path) / "poolpair" / mutant.file
    if source.suffix == ".py":
        compile(source.read_text(), mutant.file, "exec")


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.name in QUICK], ids=lambda mutant: mutant.name)
def test_the_simulator_catches_a_gross_mutant_at_once(mutant: Mutant) -> None:
    """A breakage of a central rule does not survive the first seeds."""
    verdict = judge(mutant, seeds=15)
    assert not verdict.survived, mutant.rule


@pytest.mark.long
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    """By the simulator, or by the test that is named beside it."""
    verdict = judge(mutant)
    assert not verdict.survived, mutant.rule
