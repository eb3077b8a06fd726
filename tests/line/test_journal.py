"""What the service says of packages: each once, in order, with its place in the line; as text and as documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poolpair.journal import Journal, PackageNote, line_of
from poolpair.model import Channel, Position
from tests.memory_pair import MemoryPair

NOTE = PackageNote(
    event="delivered",
    channel=Channel.USERS,
    position=Position("ab" * 16, 7, "cd" * 16),
    follows=6,
    groups=3,
    package_bytes=2048,
)


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    made = MemoryPair(tmp_path)
    for pool, other in (("a", "b"), ("b", "a")):
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool)
    made.settle()
    return made


def test_every_package_is_told_once_on_both_sides(pair: MemoryPair) -> None:
    """Delivered, applied, acknowledged; with the sequence, what it follows, and how many groups."""
    journals = {pool: Journal() for pool in pair.sites}

    def news() -> list[tuple[str, str, int, int]]:
        return [
            (pool, note.event, note.position.sequence, note.groups)
            for pool, journal in journals.items()
            for note in journal.news(pair.sites[pool], Channel.USERS)
        ]

    assert news() == []
    sequence = pair.outbound("a").next_sequence
    pair.disks["a"].write("account", ("a.example", "u"), [("a.example", "u", 1)])
    told: list[tuple[str, str, int, int]] = []
    for _ in range(20):
        pair.turn()
        told += news()
    pair.settle()
    told += news()
    mine = [each for each in told if each[0] == "a" and each[1] != "applied"]
    assert mine == [("a", "delivered", sequence, 1), ("a", "acknowledged", sequence, 0)]
    assert [each for each in told if each[:2] == ("b", "applied")] == [("b", "applied", sequence, 1)]
    assert news() == []


def test_a_line_is_text_or_a_document() -> None:
    """People read one, programs the other; both name the package and its position."""
    assert NOTE.text() == "users: delivered package 7 (stream abababab, id cdcdcdcd): 3 groups, 2,048 bytes"
    found = json.loads(line_of("2026-01-01T00:00:00.000+00:00", "a", NOTE))
    assert (found["event"], found["channel"], found["sequence"], found["follows"]) == ("delivered", "users", 7, 6)
    assert (found["package"], found["stream"], found["bytes"]) == ("cd" * 16, "ab" * 16, 2048)
    assert json.loads(line_of("t", "a", "P213: a\nb")) == {
        "at": "t",
        "pool": "a",
        "event": "said",
        "message": "P213: a\nb",
    }
