"""The line on the example stores: first copy, edits both ways, files."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.model import Channel, ExportStatus
from tests.pair import Pair, make_pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A pair after its first copy."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    return made


def test_first_copy_makes_both_pools_equal(pair: Pair) -> None:
    """After the first copy both pools hold the same rows and files, and both say FinalState."""
    assert pair.rows("a") == pair.rows("b")
    assert pair.files("a") == pair.files("b")
    assert len(pair.files("a")) == 24
    for pool in ("a", "b"):
        for channel in (Channel.USERS, Channel.CONFERENCES):
            assert pair.channel(pool, channel).export.status is ExportStatus.FINAL
        assert pair.status(pool).exit_status == 0


def test_an_edit_travels(pair: Pair) -> None:
    """A changed roster entry at A is at B after one exchange, and nothing comes back as an echo."""
    with pair.sql("a") as connection:
        connection.execute("UPDATE prosody SET value = 'changed' WHERE user = 'myriel' AND key = 'napoleon@b.example'")
    pair.settle()
    with pair.sql("b") as connection:
        found = connection.execute(
            "SELECT value FROM prosody WHERE user = 'myriel' AND key = 'napoleon@b.example'"
        ).fetchall()
    assert found == [("changed",)]
    assert pair.rows("a") == pair.rows("b")
    assert pair.channel("b").imports.foreign_writes == 0


def test_a_file_and_its_row_travel(pair: Pair) -> None:
    """An upload at B and the row that describes it arrive at A; a deletion follows."""
    path = pair.folder / "data-b" / "share%2eb%2eexample" / "http_file_share" / "new%2dslot.bin"
    path.write_bytes(b"hello" * 1000)
    with pair.sql("b") as connection:
        connection.execute(
            'INSERT INTO prosodyarchive (host, user, store, key, "when", "with", type, value)'
            " VALUES ('share.b.example', '', 'uploads', 'new-slot', 1, 'x', 'xml', '<r/>')"
        )
    pair.settle()
    assert pair.files("a") == pair.files("b")
    assert len(pair.files("a")) == 25
    assert pair.rows("a") == pair.rows("b")
    path.unlink()
    pair.settle()
    assert len(pair.files("a")) == 24
