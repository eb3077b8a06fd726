"""The pages are typed: every shell block of them, in a prepared world, and what is printed is what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, blocks
from tests.docs.terminal import terminal
from tests.docs.world import BEFORE, howto_world


@pytest.mark.timeout(600)
def test_the_tutorial_is_as_it_says(tmp_path: Path) -> None:
    """From an empty folder through a disaster and home again."""
    with terminal(tmp_path) as opened:
        for block in blocks(DOCS / "TUTORIAL.md"):
            opened.must(block)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_task_is_done_as_it_says(tmp_path: Path) -> None:
    """One after the other on the tutorial's pair, each after what makes it necessary; and what is said of a shell."""
    left = set(BEFORE)
    with howto_world(tmp_path) as opened:
        section = ""
        for block in (*blocks(DOCS / "HOWTO.md"), *blocks(DOCS / "INSTALL.md")):
            if block.section != section and block.section in left:
                left.remove(block.section)
                printed = opened.type(BEFORE[block.section])
                assert "(exit status " not in printed, f"before {block.where}\n{printed}"
            section = block.section
            if not block.why_not:
                opened.must(block)
    assert not left, "each preparation belongs to an entry"
