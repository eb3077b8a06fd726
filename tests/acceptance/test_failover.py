"""The worst day, with two real services on SQLite and clients that know nothing of poolpair: failover, return, ledger, failback."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.lab.compare import compare
from poolpair.lab.pool import Pool, make_pools, wait_for

FINAL = ("sync", "--wait", "final", "--timeout", "60")
BUDDY = "UPDATE prosody SET value = ? WHERE host = 'a.example' AND user = 'myriel' AND key = 'napoleon@b.example'"
VERSION = "UPDATE prosody SET value = ? WHERE host = 'a.example' AND user = 'judge' AND store = 'roster' AND key = ''"
BUDDY_IS = "SELECT value FROM prosody WHERE host = 'a.example' AND user = 'myriel' AND key = 'napoleon@b.example'"
WAIT_S = 40.0


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[tuple[Pool, Pool]]:
    """Two pools after their first copy."""
    made = make_pools(tmp_path)
    try:
        for pool in made:
            pool.start()
        for pool in made:
            pool.must(*FINAL)
        yield made
    finally:
        for pool in made:
            pool.stop()


def write(pool: Pool, statement: str, value: str) -> str:
    """What the application's own client is told: nothing, or why it is refused."""
    try:
        with pool.sql() as connection:
            connection.execute(statement, (value,))
    except sqlite3.IntegrityError as error:
        return str(error)
    return ""


def served_by(pool: Pool, home: str) -> tuple[str, bool]:
    """Who serves a home, as one side says, and whether anything of it is still being brought together."""
    (found,) = [each for each in pool.status()["homes"] if each["home"] == home]
    return str(found["served_by"]), bool(found["recovering"] or found["plan"])


@pytest.mark.timeout(240)
def test_planned_there_and_back_loses_nothing(pools: tuple[Pool, Pool]) -> None:
    """Users are handed over and home again; at any time one side takes their writes and the other names it."""
    a, b = pools
    assert "pool a serves" in write(b, BUDDY, "too early")
    what_if = a.must("failover", "a", "--what-if").out
    assert "hand over" in what_if
    assert served_by(a, "a") == ("a", False)
    assert "served by pool b (epoch 1)" in a.must("failover", "a", "--yes").out
    assert "pool b serves" in write(a, BUDDY, "too late")
    assert write(b, BUDDY, "from b") == ""
    b.must(*FINAL)
    assert a.ask(BUDDY_IS) == [("from b",)]
    assert "served by pool a (epoch 2)" in b.must("failback", "a", "--yes").out
    assert write(a, BUDDY, "home again") == ""
    a.must(*FINAL)
    assert b.ask(BUDDY_IS) == [("home again",)]


@pytest.mark.timeout(240)
def test_planned_moves_are_ordered_at_either_side(pools: tuple[Pool, Pool]) -> None:
    """At the side that does not serve the same command asks the partner, shows its steps, and says when it is done, refused or silent."""
    a, b = pools
    what_if = b.must("failover", "a", "--what-if").out
    assert "ask: pool a serves them" in what_if
    assert "the copy is complete" in what_if
    there = b.must("failover", "a", "--yes")
    assert "handover: asked of a" in there.talk or "handover at a" in there.talk
    assert "served by pool b (epoch 1)" in there.out
    assert write(b, BUDDY, "from b") == ""
    b.must(*FINAL)
    assert "served by pool a (epoch 2)" in a.must("failback", "a", "--yes").out
    assert write(a, BUDDY, "home again") == ""
    refused = b.run("failover", "a", "--abort")
    assert (refused.exit_status, "a refuses: no failover or failback of a is under way" in refused.talk) == (64, True)
    wrong = a.run("failover", "a", "--disaster", "--yes")
    assert (wrong.exit_status, "b is to take over" in wrong.talk) == (64, True)
    a.kill()
    silent = b.run("failover", "a", "--yes", "--timeout", "1")
    assert (silent.exit_status, "a did not answer" in silent.talk) == (1, True)
    assert "failover a --disaster" in silent.talk.replace("\n", " ")
    assert served_by(b, "a") == ("a", True)
    given_up = b.run("failover", "a", "--abort", "--timeout", "1")
    assert "a did not answer" in given_up.talk
    a.start()
    wait_for("the partner's word that nothing was begun", lambda: served_by(b, "a") == ("a", False), WAIT_S)
    assert write(a, BUDDY, "still at home") == ""


@pytest.mark.timeout(240)
def test_a_disaster_is_accounted_for(pools: tuple[Pool, Pool]) -> None:
    """A dies with a write that never left it; B serves; A returns: merged where only A wrote, in the ledger where both did; then home."""
    a, b = pools
    a.kill()
    assert write(a, BUDDY, "only at a") == ""
    assert write(a, VERSION, "at a") == ""
    said = b.must("failover", "a", "--disaster", "--yes").out
    assert "the copy is complete" in said
    assert "users: served is everything up to package" in said
    assert "whatever a had accepted until" in said.partition("(epoch 1)")[2]
    assert served_by(b, "a")[0] == "b"
    assert write(b, VERSION, "at b") == ""
    a.start()
    wait_for("what was written at both being settled", lambda: served_by(b, "a") == ("b", False), WAIT_S)
    assert "pool b serves" in write(a, BUDDY, "after the return")
    assert b.ask(BUDDY_IS) == [("only at a",)]
    (entry,) = [json.loads(line) for line in b.must("ledger", "list", "--json").out.splitlines()]
    assert ("at a" in entry["theirs"], "at b" in entry["ours"], entry["state"]) == (True, True, "open")
    assert b.run("status").exit_status == 1
    b.must("ledger", "resolve", entry["entry_id"], "--theirs")
    b.must(*FINAL)
    assert "served by pool a (epoch 2)" in b.must("failback", "a", "--yes").out
    assert write(a, BUDDY, "home again") == ""
    for pool in pools:
        pool.must(*FINAL)
    assert compare(a, b).equal
    assert b.ask("SELECT count(*) FROM prosody WHERE value = 'at a'") == [(1,)]


@pytest.mark.timeout(120)
def test_the_fence_can_be_taken_away_with_everything_else_gone(pools: tuple[Pool, Pool]) -> None:
    """Partner, share, key and service are gone: one command, or one statement, lets the application write; status stays red."""
    _, b = pools
    for pool in pools:
        pool.kill()
    key = b.folder / "pair.key"
    away = {path: path.with_name(f"{path.name}.gone") for path in (key, pools[0].share, b.share)}
    for path, gone in away.items():
        path.rename(gone)
    assert "pool a serves" in write(b, BUDDY, "fenced")
    with b.sql() as connection:
        connection.execute("DELETE FROM poolpair_fence")
    assert write(b, BUDDY, "by one statement") == ""
    b.must("fence", "on")
    assert "pool a serves" in write(b, BUDDY, "fenced")
    b.must("fence", "off", "--reason", "the other site burnt down", "--yes")
    assert write(b, BUDDY, "by one command") == ""
    for path, gone in away.items():
        gone.rename(path)
    b.start()
    assert b.run("status").exit_status == 2
    assert "burnt down" in b.run("status").out
