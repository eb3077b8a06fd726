"""Every command that a page names, with each of its options, is typed by a test; what is not is named here, with the reason."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from tests.docs.blocks import DOCS, Block, blocks
from tests.tidy.test_reference import PAGES, ROOT, named

Use = tuple[str, str]
"""A command and one of its options, which is empty for the command itself."""
TYPED = ("TUTORIAL.md", "HOWTO.md", "INSTALL.md")
ELSEWHERE = {
    ("status", "--watch"): "goes on until Ctrl-C: tests/page/test_watch.py plays it in a terminal",
    ("cms failover", "--disaster"): "needs a dead pool that holds the store: tests/management/test_deployment.py",
    ("uninstall", "--users-away"): "needs users away from home: tests/management/test_leaving.py",
    ("cms invite", "--again"): "needs a pool of another pair: tests/management/test_deployment.py",
    ("cms replicate", "--full"): "needs several pairs: tests/management/test_deployment.py",
    ("cms place", ""): "needs a deployment of several pairs: tests/management/test_deployment.py",
    ("share setup", "--store-account"): "tests/smb/test_access.py does what it prints",
    **{
        (f"lab {verb}", ""): "tests/lab plays a whole deployment"
        for verb in ("down", "freeze", "kill", "start", "status", "up")
    },
    ("prosody activate", ""): "is given by hooks beside a real Prosody: tests/adopt/test_page.py",
    ("api", ""): "is started by its unit: by the stand-in for systemd in tests/docs/world.py",
    ("run", "--log"): "tests/acceptance/test_as_a_service.py reads what it prints",
}


def uses(text: str) -> set[Use]:
    """What a command line uses; nothing if it is none."""
    try:
        words = [word for word in shlex.split(text.replace("...", ""), comments=True) if word not in {"|", ";"}]
    except ValueError:
        return set()
    words = words[1:] if words[:1] == ["poolpair"] else words
    command: Any = ROOT
    names, options = list[str](), {""}
    while words:
        word = words.pop(0)
        if word in {"-c", "--config"}:
            words[:1] = []
        elif word.startswith("-"):
            options.add(word.split("=")[0])
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return set()
            command = command.commands[word]
            names.append(word)
    return set() if hasattr(command, "commands") else {(" ".join(names), option) for option in options}


def used_by(block: str) -> set[Use]:
    """What the lines of a block use, also behind a pipe or in brackets."""
    return {use for part in re.findall(r"poolpair [^|&;()\n]+", block) for use in uses(part)}


def on_pages() -> dict[Use, set[str]]:
    """What the pages name, and where."""
    found: dict[Use, set[str]] = {}
    for page in PAGES:
        if page.name != "REFERENCE.md":
            text = page.read_text()
            for line in (*named(text), *re.findall(r"`([a-z][^`\n]*)`", text)):
                for use in uses(line):
                    found.setdefault(use, set()).add(page.name)
    return found


def page_blocks() -> list[Block]:
    """Every block of the pages that are typed."""
    return [block for page in TYPED for block in blocks(DOCS / page)]


def typed() -> set[Use]:
    """What tests type from the pages: those of shell blocks, and that of the pair of Prosody servers."""
    prosody = (DOCS / "prosody.md").read_text()
    assert Path(__file__).parents[1].joinpath("adopt", "test_page.py").exists()
    return used_by(prosody).union(*(used_by(block.text) for block in page_blocks() if not block.why_not))


def test_every_command_of_the_pages_is_typed_by_a_test() -> None:
    """With each option that a page names."""
    known = typed() | set(ELSEWHERE)
    left = {use: where for use, where in on_pages().items() if use not in known}
    assert not left


def test_what_is_not_typed_is_named_and_counted() -> None:
    """Blocks say to their reader why no test runs them, and no excuse outlives its reason."""
    marked = [block for block in page_blocks() if block.why_not]
    assert [block.page for block in marked].count("HOWTO.md") == 3
    assert [block.page for block in marked].count("INSTALL.md") == 3
    assert len(marked) == 6
    assert set(ELSEWHERE) <= set(on_pages())
    assert not set(ELSEWHERE) & typed()
    for page in PAGES:
        if page.name not in {*TYPED, "REFERENCE.md"}:
            assert "```sh" not in page.read_text(), f"{page.name}: nothing types its blocks"
