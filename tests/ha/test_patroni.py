"""The store of a pool is a PostgreSQL that fails over by itself: Patroni and etcd as Debian has them, and real services above."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from poolpair.lab.deployment.process import send
from poolpair.lab.waiting import wait_for
from tests.cluster import Cluster
from tests.ha.patroni import patroni
from tests.ha.pool_pair import WAIT_S, HaPair, ha_pair

ROWS = 30_000
"""So many that it takes a moment to apply them."""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_primary_dies_while_a_package_is_applied(cluster: Cluster, tmp_path: Path) -> None:
    """With a synchronous standby nothing that was committed is lost, the same service goes on by itself, and the pair verifies equal."""
    with patroni(synchronous=True) as servers, ha_pair(servers, cluster, tmp_path) as pair:
        pair.write(20)
        service = pair.a.service
        assert service is not None
        theirs = [f"theirs-{number}" for number in range(ROWS)]
        pair.b.put(*theirs)
        wait_for("a package being applied at a", pair.applies, WAIT_S, poll_s=0.001)
        dead = pair.kill_primary()
        pair.write(20)  # as soon as there is a primary again
        assert servers.primary() not in ("", dead)
        wait_for("all of b's at a", lambda: pair.a.has(*theirs), WAIT_S, poll_s=0.5)
        assert service.poll() is None
        servers.start(dead)
        wait_for("the old primary following", servers.is_whole, WAIT_S, poll_s=0.5)
        pair.write(5)
        assert_equal(pair)
        assert pair.a.must("setback", "show").talk.strip() == "no channel is set back"
        assert "Traceback" not in pair.a.log.read_text()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_asynchronous_standby_that_lacks_the_last_commits_is_noticed(cluster: Cluster, tmp_path: Path) -> None:
    """What the partner has and the promoted server has not is kept: the channel stops (P301), and goes on by the operator's word alone."""
    with patroni(synchronous=False) as servers, ha_pair(servers, cluster, tmp_path) as pair:
        pair.write(5)
        pair.final()
        standby = next(name for name in servers.members() if name != servers.primary())
        receiver = servers.receiver(standby)
        assert send(receiver, signal.SIGSTOP)
        pair.write(3)
        lost = pair.listed[-3:]
        wait_for("them at b", lambda: pair.b.has(*lost), WAIT_S, poll_s=0.2)
        dead = pair.kill_primary()
        send(receiver, signal.SIGKILL)
        pair.promoted(dead)
        assert not pair.a.has(*lost)
        wait_for("a saying P301", lambda: "P301" in pair.a.run("status").out, WAIT_S, poll_s=0.5)
        assert pair.b.has(*lost), "nothing is overwritten unasked"
        assert "does not know" in (found := pair.a.must("setback", "show")).out + found.talk
        pair.write(2)
        assert pair.a.must("setback", "resolve", "--ours", "--yes").exit_status == 0
        pair.listed = [note for note in pair.listed if note not in lost]
        assert_equal(pair)
        assert not pair.b.has(lost[0])
        kept = {row[0] for row in kept_rows(pair)}
        assert set(lost) <= kept, "what was accepted and lost is kept at the partner"


def kept_rows(pair: HaPair) -> list[tuple[str, ...]]:
    """What was replaced at b."""
    import psycopg

    with psycopg.connect(pair.b.url) as connection:
        return connection.execute("SELECT id FROM poolpair.kept_row_1").fetchall()


def assert_equal(pair: HaPair) -> None:
    """Both say so, and so do the tables; whatever was listed as committed is at both."""
    pair.final()
    for pool in (pair.a, pair.b):
        assert "equal" in pool.must("verify").out
    assert pair.a.notes() == pair.b.notes()
    assert pair.a.has(*pair.listed)
