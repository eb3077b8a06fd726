"""The documents stay true: the table of errors is generated, and every command is mentioned."""

from __future__ import annotations

import os
import re
from pathlib import Path

from poolpair.errors import CATALOGUE, Code
from poolpair.testing.checkers import NAMES

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- generated from src/poolpair/catalogue.py -->\n", "<!-- end -->"


def _table() -> str:
    lines = ["| code | exit | what happened | what to do |", "|---|---|---|---|"]
    lines += [f"| {code} | {entry.exit_status} | {entry.meaning} | {entry.hint} |" for code, entry in CATALOGUE.items()]
    return "\n".join(lines) + "\n"


def test_the_table_of_errors_is_the_catalogue() -> None:
    """OPERATING.md holds the catalogue of errors, word for word; POOLPAIR_REGOLD=1 writes it anew."""
    path = DOCS / "OPERATING.md"
    text = path.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END, 1)[1]
    wanted = f"{before}{BEGIN}{_table()}{END}{after}"
    if os.environ.get("POOLPAIR_REGOLD"):
        path.write_text(wanted)
    assert path.read_text() == wanted


def test_every_code_has_an_entry() -> None:
    """No code lacks its meaning, exit status and hint, and none is used twice."""
    assert set(CATALOGUE) == set(Code)
    assert len({code.value for code in Code}) == len(Code)


def test_every_checker_stands_beside_its_guarantee() -> None:
    """ARCHITECTURE.md names each checker of the simulator once, and no other."""
    _, table = (DOCS / "ARCHITECTURE.md").read_text().split("| guarantee | checkers |\n")
    rows = re.findall(r"^\|.*\|$", table.partition("\n\n")[0], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]
    assert sorted(named) == sorted(NAMES)


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link in the documents and the README names a file that is there."""
    for path in (*DOCS.rglob("*.md"), DOCS.parent / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"
