"""The shell blocks of a document: what is typed, what is printed then, and which ones no test runs, and why.

A block of ```sh is typed. A block of ```text right after it is what it prints, with `...` for what is left out; times, sizes and ids may be
others. A line `*No test runs this: WHY*` before a block of ```sh says so to the reader as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHY_NOT = re.compile(r"^\*No test runs this: ([^*]+)\*\n+\Z", re.MULTILINE)
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? (s|ms|min)\b"), "<time>"),
    (re.compile(r"\b(pair|store|stream|id) [0-9a-f]{8}\b"), r"\1 <id>"),
    (re.compile(r"\b(?=[a-f]*[0-9])[0-9a-f]{8,64}\b"), "<id>"),
    (re.compile(r"\b[0-9][0-9.,]* (bytes|[KMG]iB)"), "<size>"),
    (re.compile(r"process \d+"), "process <n>"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block that is typed."""

    page: str
    section: str
    line: int
    text: str
    prints: str | None
    """What the page says that it prints; None if the page says nothing of it."""
    why_not: str
    """Why no test runs it; empty if one does."""

    @property
    def where(self) -> str:
        """For whoever looks for it."""
        return f"{self.page}:{self.line} ({self.section})"


def blocks(path: Path) -> list[Block]:
    """Every block of ```sh of a page, in its order."""
    text, found = path.read_text(), list[Block]()
    fences = list(FENCE.finditer(text))
    for fence, after in zip(fences, [*fences[1:], None], strict=True):
        if fence[1] != "sh":
            continue
        before = text[: fence.start()]
        headings = re.findall(r"^#+ (.+)$", FENCE.sub("", before), re.MULTILINE)
        is_printed = after is not None and after[1] == "text" and not text[fence.end() : after.start()].strip()
        why_not = WHY_NOT.search(before)
        found.append(
            Block(
                page=path.name,
                section=headings[-1] if headings else "",
                line=before.count("\n") + 1,
                text=fence[2],
                prints=after[2] if after is not None and is_printed else None,
                why_not=why_not[1] if why_not else "",
            )
        )
    return found


def is_said(printed: str, page_says: str) -> bool:
    """Whether what was printed is what the page says."""
    pattern = re.escape(_still(page_says)).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, _still(printed), re.DOTALL) is not None


def _still(text: str) -> str:
    for varying, instead in VARYING:
        text = varying.sub(instead, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())
