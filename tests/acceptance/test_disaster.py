"""The recorded story of the worst day goes as it is told, on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[2] / "docs" / "A-DISASTER.txt"


def typed(story: str) -> list[str]:
    """What is typed in it, in order; ids aside."""
    lines = [line for line in story.splitlines() if line[:3] in {"a$ ", "b$ ", "a=>", "b=>"}]
    return [" ".join("ID" if len(word) == 32 else word for word in line.split()) for line in lines]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_worst_day_goes_as_it_is_told(tmp_path: Path) -> None:
    """With real services and servers; what is typed is what stands in docs, and every step is seen."""
    told = tmp_path / "story.txt"
    command = [sys.executable, "-m", "poolpair.lab.disaster", "--folder", str(tmp_path / "day"), "--record", str(told)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert typed(told.read_text()) == typed(RECORDED.read_text())
    assert "equal in every byte" in told.read_text()
