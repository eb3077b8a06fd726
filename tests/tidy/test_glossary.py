"""The glossary names each word of the design once, in order, and knows no second word for the same thing."""

import re
from pathlib import Path

import pytest

GLOSSARY = Path(__file__).parents[2] / "docs" / "GLOSSARY.md"

WORDS = """
adopt, ask, bucket, capture, change, channel, complete, cookie, digest, epoch, failback, failover, fence, front end,
gate, handover, held, home, hook, key group, lease, ledger, origin, package, pair, parked, partner, pool, position, principal,
quarantine, reign, reign set, seed, sequence, serving, spool, stream, takeover, target, term, token, tombstone
"""
EXPECTED = re.split(r",\s*", WORDS.strip())

SYNONYM = re.compile(r"\b(also (called|known as)|a\.k\.a\.|aka|synonym|same as|formerly)\b|^see \*", re.IGNORECASE)


def entries() -> dict[str, str]:
    """Each word of the first list with what is said about it."""
    section = GLOSSARY.read_text().split("\n## ")[1]
    found = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", section, re.MULTILINE)
    assert len(found) == section.count("\n- "), "an entry is written as: - **word**: One or two sentences."
    return dict(found)


def test_words_are_those_of_the_design_in_order() -> None:
    """No word is missing, none is there unasked, and they stand in alphabetical order."""
    assert sorted(EXPECTED) == EXPECTED
    assert list(entries()) == EXPECTED


@pytest.mark.parametrize("word", EXPECTED)
def test_an_entry_is_one_to_three_sentences_without_synonyms(word: str) -> None:
    """An entry can be read at a glance and sends nobody to a second word for the same thing."""
    text = entries()[word]
    assert text.endswith(".")
    assert 1 <= len(re.findall(r"\.(?: |$)", text)) <= 3
    assert not SYNONYM.search(text)


def test_italic_words_have_an_entry() -> None:
    """A word that is marked as explained is explained."""
    stems = {word.removesuffix("s") for word in EXPECTED}
    marked = set(re.findall(r"(?<!\*)\*([a-z ]+)\*(?!\*)", GLOSSARY.read_text())) - {"italics"}
    assert {word for word in marked if word not in EXPECTED and word.removesuffix("s") not in stems} == set()


def test_watermarks_are_told_in_order() -> None:
    """How far a change has come reads the same here as everywhere."""
    order = "acknowledged <= applied <= delivered <= packed <= captured"
    assert order in GLOSSARY.read_text()
