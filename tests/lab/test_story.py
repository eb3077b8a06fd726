"""A deployment's day, told as a story with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.story import STORIES, play


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("path", sorted(STORIES.glob("*.txt")), ids=lambda path: path.stem)
def test_a_story_of_a_lab_goes_as_it_is_told(path: Path, tmp_path: Path) -> None:
    """Publish, the store moves, a pool dies, returns, its users come home; `python -m tests.lab.story` takes over what is printed now."""
    assert play(path, tmp_path) == path.read_text()
