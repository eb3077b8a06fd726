"""CODES.md helps with every code: what it means, what to look at, what to do and what not; and every alert has its entry in the RUNBOOK."""

from __future__ import annotations

import re

import pytest

from poolpair.codes import Code
from tests.docs.blocks import DOCS

PARTS = ["Means", "Look", "Do", "Not"]


def entries() -> list[tuple[str, str]]:
    """Each code that has a heading, with what stands below it."""
    text = (DOCS / "CODES.md").read_text()
    return re.findall(r"^### (P\d+)\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)


def test_every_code_has_its_entry_once_and_in_order() -> None:
    """Whoever looks for a code finds it, and finds no code that the program does not know."""
    assert [code for code, _ in entries()] == [str(code) for code in Code]


@pytest.mark.parametrize(("code", "entry"), entries())
def test_an_entry_says_what_is_to_be_done_and_what_not(code: str, entry: str) -> None:
    """Four parts in their order, each a sentence or more, and no two entries say the same."""
    parts = re.findall(r"^- \*\*(\w+)\*\*: (.+)$", entry, re.MULTILINE)
    assert [name for name, _ in parts] == PARTS, code
    assert all(len(text) > 15 for _, text in parts), code
    assert len(parts) == entry.strip().count("\n") + 1, f"{code}: nothing else stands there"


def test_no_two_codes_are_told_alike() -> None:
    """An entry that could stand below another code helps with neither."""
    told = [re.sub(r"\W+", " ", entry) for _, entry in entries()]
    assert len(set(told)) == len(told)


def test_links_to_parts_of_a_page_lead_to_a_heading() -> None:
    """Where a page sends a reader to a part of a page, that part is there."""
    for path in (*DOCS.glob("*.md"), DOCS.parent / "README.md"):
        for target, part in re.findall(r"\]\(([^)#: ]*)#([^)]+)\)", path.read_text()):
            page = (path.parent / target) if target else path
            headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert part in {_anchor(each) for each in headings}, f"{path.name} links to {target}#{part}"


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
