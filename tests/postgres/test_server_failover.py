"""Failover on PostgreSQL through the whole line: a planned one and back, and a disaster whose old side returns with writes of its own."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from poolpair.model import Channel, ExportStatus
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.serving.plan import advance, order
from poolpair.state import Intent
from poolpair.store.values import Choice
from tests.postgres.server_pair import ServerPair

ROSTER = "INSERT INTO prosody VALUES ('a.example', 'valjean', 'roster', %s, 'json', '{}')"
DRAFT = "INSERT INTO prosody VALUES ('a.example', 'cosette', 'private', %s, 'json', '{}')"


def moved(pair: ServerPair, pool: str, move: Move, home: str) -> None:
    """Order a move at a pool and live until it is done."""
    plan: Plan | None = order(pair.sites[pool], move, home)
    for _ in range(60):
        for site in pair.sites.values():
            advance(site)
        pair.live(4)
        plan = pair.sites[pool].store.read(Plan, plan_name(home))
        assert plan is not None
        if plan.step is PlanStep.DONE:
            return
    raise AssertionError(f"the move does not end: {plan}")


def refused(pair: ServerPair, pool: str, server: str) -> None:
    """A write of the users of a is refused at this pool, by name of the server."""
    with pytest.raises(psycopg.Error) as caught, closing(pair.connect(pool)) as connection:
        connection.execute(ROSTER, ("refused",))
    assert caught.value.sqlstate == "PP001"
    assert f"served by pool {server} now" in str(caught.value)


def comparisons(pair: ServerPair, pool: str) -> int:
    """How many packages of a pool brought digests of its users."""
    intents = pair.sites[pool].store.read_all(Intent, f"intent/{Channel.USERS}/")
    return sum(bool(intent.definition) for intent in intents.values())


def started(pair: ServerPair) -> ServerPair:
    """Both services run and have copied everything."""
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    return pair


@pytest.mark.long
def test_users_are_handed_over_and_back(pair: ServerPair) -> None:
    """One pool takes writes at any time, and after each move every row is at both."""
    started(pair)
    refused(pair, "b", "a")
    pair.run("a", ROSTER, "before")
    moved(pair, "a", Move.HANDOVER, "a")
    refused(pair, "a", "b")
    pair.run("b", ROSTER, "meanwhile")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    moved(pair, "b", Move.HANDOVER, "a")
    refused(pair, "b", "a")
    pair.run("a", ROSTER, "after")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    keys = {row[3] for row in pair.rows("a") if row[:3] == ("a.example", "valjean", "roster")}
    assert {"before", "meanwhile", "after"} <= keys


def test_where_triggers_run_everything_is_compared_again(pair: ServerPair) -> None:
    """A trigger of the application's may write anywhere when rows arrive."""
    pair.run("b", "CREATE FUNCTION beside() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    pair.run("b", "CREATE TRIGGER beside AFTER INSERT ON prosody FOR EACH STATEMENT EXECUTE FUNCTION beside()")
    started(pair)
    before = comparisons(pair, "a")
    moved(pair, "a", Move.HANDOVER, "a")
    assert comparisons(pair, "a") == before + 3


def test_after_a_table_was_rewritten_everything_is_compared_again(pair: ServerPair) -> None:
    """That sets off no trigger, and looks the same afterwards."""
    started(pair)
    before = comparisons(pair, "a")
    order(pair.sites["a"], Move.HANDOVER, "a")
    while comparisons(pair, "a") == before or pair.sites["b"].memory.proved == {}:
        advance(pair.sites["a"])
        pair.live(1)
    pair.run("b", "ALTER TABLE prosody ALTER COLUMN value TYPE text USING value || ''")
    moved(pair, "a", Move.HANDOVER, "a")
    assert comparisons(pair, "a") == before + 3
    assert pair.rows("a") == pair.rows("b")


def test_what_a_dead_site_had_accepted_is_merged_or_in_the_ledger(pair: ServerPair) -> None:
    """It dies with writes that nobody has; one of them is written at the server, too. It returns, is fenced, and hands both in."""
    started(pair)
    pair.stop("a")
    pair.run("a", ROSTER, "theirs")
    pair.run("a", DRAFT, "only there")
    moved(pair, "b", Move.TAKEOVER, "a")
    pair.run("b", ROSTER, "ours")
    pair.start("a")
    pair.live(20)
    pair.settle()
    refused(pair, "a", "b")
    assert pair.rows("a") == pair.rows("b")
    assert any(row[1:4] == ("cosette", "private", "only there") for row in pair.rows("b"))
    (entry,) = pair.sites["b"].store.ledger()
    assert ("theirs" in entry.theirs, "ours" in entry.ours, entry.state) == (True, True, Choice.OPEN)
    with pair.sites["b"].store.transaction() as tx:
        tx.resolve(entry, Choice.THEIRS, "2026-01-01T00:00:00+00:00")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.sites["a"].store.ledger() == pair.sites["b"].store.ledger()
    assert any(row[3] == "theirs" for row in pair.rows("a"))
    assert pair.channel("b", Channel.USERS).export.status is ExportStatus.FINAL
    moved(pair, "b", Move.HANDOVER, "a")
    pair.run("a", ROSTER, "home again")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
