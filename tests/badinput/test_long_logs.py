"""The capture log of a pool whose partner is away: it may grow with each write for a while, and is shortened to one entry per group."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from poolpair.errors import Code
from poolpair.model import Channel
from poolpair.store.profile_file import load_profile
from poolpair.store.sqlite import looking, shortening
from poolpair.store.sqlite.binding import Bound, bind
from poolpair.store.sqlite.connection import connect
from tests.badinput.ground import Ground

ENTRIES = "SELECT count(*) FROM poolpair_log_1"
KEYS = "SELECT name, max(poolpair_gen) FROM poolpair_log_1 GROUP BY owner, name ORDER BY name"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty entries are many, and three are taken out at once."""
    monkeypatch.setattr(shortening, "SHORTEN_ENTRIES", 20)
    monkeypatch.setattr(shortening, "BATCH_ENTRIES", 3)


def write(ground: Ground, times: int) -> None:
    """Change the same five rows again and again, with a pass after each time; one row goes, and comes back."""
    for turn in range(times):
        ground.do("a", f"UPDATE item SET value = 'turn {turn}' WHERE owner = 'u@a' AND name < 'i00005'")
        ground.do("a", "DELETE FROM item WHERE owner = 'u@a' AND name = 'i00003'")
        ground.turn("a")
        ground.do("a", f"INSERT INTO item VALUES ('u@a', 'i00003', 'again {turn}')")


def test_while_the_partner_is_away_a_group_costs_one_entry(ground: Ground) -> None:
    """However often five rows are written, the log stays short; what was written is all there when the partner is back."""
    ground.stop("b")
    write(ground, 30)
    ((entries,),) = ground.ask("a", ENTRIES)
    assert isinstance(entries, int)
    assert 5 <= entries <= 5 + 20 + 7, "each pass may leave twenty new ones, and one round writes seven"
    assert ground.channel("a").export.pending_groups == 5
    ground.start("b")
    ground.whole()
    assert ground.ask("a", ENTRIES) == [(0,)]


def test_a_share_that_is_away_lets_the_log_grow_no_more(ground: Ground) -> None:
    """Nothing can be delivered, which is an error in each pass; the log is shortened all the same."""
    share, away = ground.share("b"), ground.folder / "away"
    share.rename(away)
    write(ground, 30)
    assert ground.fault("a")
    ((entries,),) = ground.ask("a", ENTRIES)
    assert isinstance(entries, int)
    assert 5 <= entries <= 5 + 20 + 7
    away.rename(share)
    ground.whole()


def test_what_stays_is_the_newest_of_each_group(ground: Ground) -> None:
    """After every token as many groups are pending as before."""
    store = ground.sites["a"].store
    tokens = []
    for turn in range(4):
        names = ", ".join(f"'i{n:05d}'" for n in range(turn, 6))
        for _ in range(3):
            ground.do("a", f"UPDATE item SET value = '{turn}' WHERE owner = 'u@a' AND name IN ({names})")
        with store.transaction() as tx:
            tokens.append(tx.advance())
    before = [store.pending(Channel.USERS, token) for token in (0, *tokens)]
    keys = ground.ask("a", KEYS)
    store.shorten(Channel.USERS)
    assert ground.ask("a", ENTRIES) == [(6,)]
    assert [store.pending(Channel.USERS, token) for token in (0, *tokens)] == before == [6, 5, 4, 3, 0]
    assert ground.ask("a", KEYS) == keys
    ground.whole()


def test_of_a_long_log_entries_are_counted(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be told apart in each pass are counted as they stand, until the log is shortened: never too few."""
    monkeypatch.setattr(looking, "COUNTED_MAX", 8)
    for turn in range(5):
        ground.do("a", f"UPDATE item SET value = '{turn}' WHERE owner = 'u@a'")
    store = ground.sites["a"].store
    assert store.pending(Channel.USERS, 0) == 30
    store.shorten(Channel.USERS)
    assert store.pending(Channel.USERS, 0) == 6


def test_rows_that_got_the_numbers_of_others_stay(ground: Ground) -> None:
    """Between the look and the transaction somebody empties the log, and what is written then has the same numbers: none of it goes."""
    ground.stop("a")
    for turn in range(5):
        ground.do("a", f"UPDATE item SET value = '{turn}' WHERE owner = 'u@a'")
    bound = _items(ground)
    with closing(connect(ground.path("a"), 1.0)) as connection:

        @contextmanager
        def transaction() -> Iterator[None]:
            fresh = [f"INSERT INTO item VALUES ('u@a', 'fresh {n}', 0)" for n in range(30)]
            if not ground.ask("a", "SELECT 1 FROM item WHERE name = 'fresh 0'"):
                ground.do("a", "DELETE FROM poolpair_log_1", *fresh)
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")

        shortening.Shortening(connection).shorten([bound], transaction)
    assert ground.ask("a", ENTRIES) == [(30,)]
    ground.start("a")


def _items(ground: Ground) -> Bound:
    with closing(connect(ground.path("a"), 1.0)) as connection:
        return bind(connection, load_profile(str(ground.folder / "profile.toml")))[0]


def test_a_log_that_an_earlier_release_kept_is_carried_over(ground: Ground) -> None:
    """Its triggers and its index go with `init`; what it had logged, and nobody sent, arrives."""
    ground.stop("a")
    with closing(sqlite3.connect(ground.path("a"), isolation_level=None)) as connection:
        (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'poolpair_1_update'").fetchone()
        same = '"owner" IS NEW."owner" AND "name" IS NEW."name"'
        earlier = made.replace("INSERT INTO", f"DELETE FROM poolpair_log_1 WHERE {same}; INSERT INTO", 1)
        connection.execute("DROP TRIGGER poolpair_1_update")
        connection.execute(earlier)
        connection.execute("CREATE INDEX poolpair_log_1_key ON poolpair_log_1 (owner, name)")
    for turn in range(3):
        ground.do("a", f"UPDATE item SET value = 'earlier {turn}' WHERE owner = 'u@a'")
    assert ground.ask("a", ENTRIES) == [(6,)]
    ground.start("a")
    ground.turn("a")
    assert ground.fault("a").startswith(Code.CAPTURE_BROKEN)
    assert ground.command("a", "init").exit_code == 0
    assert ground.ask("a", "SELECT count(*) FROM sqlite_master WHERE name = 'poolpair_log_1_key'") == [(0,)]
    ground.whole()
    assert ground.ask("b", "SELECT DISTINCT value FROM item WHERE owner = 'u@a'") == [("earlier 2",)]
