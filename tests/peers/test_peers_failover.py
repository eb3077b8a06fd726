"""Bugs that peers of poolpair had when the old side returned, each as a test (T9, T15, T22)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from poolpair.cycle import run_pass
from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.serving.plan import advance, order
from tests.badinput.ground import Ground, first_copy, make_ground


def took_over(ground: Ground, home: str = "a", taker: str = "b") -> None:
    """The home's own site is dead; the other takes over."""
    order(ground.sites[taker], Move.TAKEOVER, home)
    while advance(ground.sites[taker]):
        pass


def test_t09_a_site_rejoins_and_drops_what_it_had_not_shipped(ground: Ground) -> None:
    """Its rows that nobody else wrote are there again, those that both wrote are in both ledgers, and no row is anywhere else lost."""
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'both', 'before')")
    ground.settle()
    ground.stop("a")
    ground.do("a", "UPDATE item SET value = 'at a' WHERE name = 'both'", "INSERT INTO item VALUES ('u@a', 'only a', 1)")
    took_over(ground)
    ground.do("b", "UPDATE item SET value = 'at b' WHERE name = 'both'", "INSERT INTO item VALUES ('u@a', 'only b', 2)")
    ground.start("a")
    ground.settle()
    assert ground.rows("a") == ground.rows("b")
    names = "SELECT name, value FROM item WHERE owner = 'u@a' AND name IN ('both', 'only a', 'only b') ORDER BY name"
    assert ground.ask("a", names) == [("both", "at b"), ("only a", 1), ("only b", 2)]
    for pool in ("a", "b"):
        (entry,) = ground.sites[pool].store.ledger()
        assert ("at a" in entry.theirs, "at b" in entry.ours) == (True, True)


def test_t15_a_returning_site_starts_and_serves_beside_the_other(ground: Ground) -> None:
    """After the first pass in which it can read its share its application is refused, and what it wrote until then is not lost."""
    ground.stop("a")
    took_over(ground)
    run_pass(ground.sites["b"], Channel.USERS)
    ground.start("a")
    ground.do("a", "INSERT INTO item VALUES ('u@a', 'in between', 1)")
    ground.turn("a")
    with pytest.raises(sqlite3.IntegrityError, match="pool b serves"):
        ground.do("a", "INSERT INTO item VALUES ('u@a', 'too late', 1)")
    ground.settle()
    assert ground.ask("b", "SELECT value FROM item WHERE name = 'in between'") == [(1,)]
    ground.do("b", "INSERT INTO item VALUES ('u@a', 'served here', 1)")
    ground.settle()
    assert ground.rows("a") == ground.rows("b")


def test_t22_numbers_collide_after_a_failover(tmp_path: Path) -> None:
    """What a dead site gave and never sent is not given again by the one that took over; serials travel since one pool homes nobody."""
    schema = "CREATE TABLE ticket (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT)"
    profile = '[[tables]]\nname = "ticket"\nkey = ["id"]\nhome = "shared"\n'
    made = make_ground(tmp_path, schema=schema, profile=profile, columns={"ticket": "id, title"}, homes={"shared": "a"})
    ground = first_copy(made)
    ground.do("a", "INSERT INTO ticket (title) VALUES ('one'), ('two')", "DELETE FROM ticket WHERE title = 'two'")
    ground.whole()
    ground.stop("a")
    ground.do("a", "INSERT INTO ticket (title) VALUES ('never left')")
    took_over(ground)
    ground.do("b", "INSERT INTO ticket (title) VALUES ('at b')")
    ground.start("a")
    ground.settle()
    assert ground.ask("a", "SELECT id, title FROM ticket ORDER BY id") == [
        (1, "one"),
        (3, "never left"),
        (1003, "at b"),
    ]
    assert ground.rows("a") == ground.rows("b")
    assert ground.sites["b"].store.ledger() == ()
