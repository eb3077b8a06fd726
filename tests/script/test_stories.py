"""The situations that an operator meets most, as stories that can be read. See `story` for how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.script.story import STORIES, play_story


@pytest.mark.parametrize("path", sorted(STORIES.glob("*.txt")), ids=lambda path: path.stem)
def test_a_story_goes_as_it_is_told(path: Path, tmp_path: Path) -> None:
    """Every command prints what stands in the story; `python -m tests.script.story --rewrite` takes over what is printed now."""
    assert play_story(path, tmp_path) == path.read_text()
