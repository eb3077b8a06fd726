"""The line on PostgreSQL with the shipped profile: copies become equal, and stay so while servers and connections fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel, ExportStatus
from poolpair.wiring import initialise
from tests.cluster import Cluster
from tests.postgres.own_pair import ITEM, own_pair
from tests.postgres.server_pair import ServerPair

ROSTER = "INSERT INTO prosody VALUES ('a.example', 'valjean', 'roster', %s, 'json', '{}')"


def started(pair: ServerPair) -> ServerPair:
    """Both services run and have copied everything."""
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    return pair


def test_the_first_copy_makes_both_pools_equal(pair: ServerPair) -> None:
    """After the first copy each pool holds all rows and files of both, and says so."""
    before = len(pair.rows("a")), len(pair.rows("b"))
    started(pair)
    assert pair.rows("a") == pair.rows("b")
    assert len(pair.rows("a")) == sum(before)
    assert pair.files("a") == pair.files("b")
    for pool in ("a", "b"):
        for channel in (Channel.USERS, Channel.CONFERENCES):
            assert pair.channel(pool, channel).export.status is ExportStatus.FINAL


def test_later_changes_arrive(pair: ServerPair) -> None:
    """Inserts, updates and deletes of either side reach the other, and cause no change of their own."""
    started(pair)
    pair.run("a", ROSTER, "javert@b.example")
    pair.run("a", "DELETE FROM prosodyarchive WHERE host = 'a.example' AND store = 'offline'")
    pair.run("b", "UPDATE prosodyarchive SET value = value || ' ' WHERE host = 'b.example'")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    for pool in ("a", "b"):
        assert pair.channel(pool).export.status is ExportStatus.FINAL


def test_a_cut_connection_is_made_again(pair: ServerPair) -> None:
    """The server may end every connection of ours between two passes; no lease is lost and nothing is missed."""
    started(pair)
    assert pair.cluster is not None
    pair.run("a", ROSTER, "one")
    for database in pair.databases.values():
        pair.cluster.throw_out(database)
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.sites["a"].store.lease_holder() is not None


def test_a_server_that_stops_is_waited_for(pair: ServerPair) -> None:
    """While the server is away passes fail with a code; when it is back the next ones go on, also after a crash."""
    started(pair)
    assert pair.cluster is not None
    for how, name in (("fast", "two"), ("immediate", "three")):
        pair.run("a", ROSTER, name)
        pair.cluster.stop(how)
        try:
            pair.turn()
            assert {site.memory.faults[Channel.USERS].code for site in pair.sites.values()} == {Code.STORE_MISSING}
        finally:
            pair.cluster.start()
        pair.settle()
        assert pair.rows("a") == pair.rows("b")
        assert pair.sites["a"].memory.faults == {}


def test_a_second_service_is_refused_until_the_first_is_gone(pair: ServerPair) -> None:
    """Two services of one pool never work at once; the second begins as soon as the first one's connection has ended."""
    first = pair.start("a")
    with pytest.raises(PoolpairError) as caught:
        pair.start("a")
    assert caught.value.code is Code.LEASE
    first.store.close()
    pair.sites.pop("a")
    pair.start("a")


def test_capture_that_was_taken_away_is_noticed_and_put_back(cluster: Cluster, tmp_path: Path) -> None:
    """Triggers that are dropped, disabled for a while, or hollowed out stop the channel; `init` puts them back and all is compared."""
    body = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    with own_pair(cluster, tmp_path, profile=ITEM, tables=("item",)) as pair:
        for number, change in enumerate(
            (
                "DROP TRIGGER poolpair_insert ON item; {}",
                "ALTER TABLE item DISABLE TRIGGER USER; {}; ALTER TABLE item ENABLE TRIGGER USER",
                f"CREATE OR REPLACE FUNCTION poolpair.capture_1_insert() {body}; {{}}",
            )
        ):
            pair.do("a", change.format(f"INSERT INTO item VALUES ('u@a', 'hidden', {number}) ON CONFLICT DO NOTHING"))
            pair.turn()
            assert pair.sites["a"].memory.faults[Channel.USERS].code is Code.CAPTURE_BROKEN
            assert initialise(pair.config("a")).repaired
            pair.whole()
            pair.do("a", "DELETE FROM item")
