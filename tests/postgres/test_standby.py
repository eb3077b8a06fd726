"""A pool whose server fails over locally, to a physical standby: real base backups, real promotions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.errors import Code
from poolpair.model import Channel, ExportStatus
from poolpair.server import Server
from tests.cluster import Cluster
from tests.postgres.server_pair import ServerPair, server_pair

ROSTER = "INSERT INTO prosody VALUES ('a.example', 'valjean', 'roster', %s, 'json', '{}')"
SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = 'standby'"


@dataclass
class Local:
    """A pair whose pool a has a standby beside its own server; pool b is elsewhere."""

    pair: ServerPair
    primary: Cluster
    standby: Server

    def lose_primary(self) -> None:
        """The primary is gone for good, and the standby takes its place."""
        self.primary.stop("immediate")
        self.standby.promote()
        self.pair.moved["a"] = self.standby

    def command(self, *words: str) -> Result:
        """Run a command for pool a."""
        return CliRunner().invoke(app, ["-c", str(self.pair.toml("a")), *words])

    def roster(self, name: str, pool: str) -> int:
        """How often a buddy stands in the list at a pool."""
        query = "SELECT count(*) FROM prosody WHERE \"user\" = 'valjean' AND key = %s"
        with self.pair.connect(pool) as connection:
            found = connection.execute(query, (name,)).fetchone()
        assert found is not None
        return int(found[0])


@pytest.fixture
def local(cluster: Cluster, tmp_path: Path) -> Iterator[Local]:
    """Both pools have copied everything; the standby follows. The pool file names both servers."""
    primary = Cluster(settings="wal_level = replica\n")
    standby = Server(Path(mkdtemp(prefix="poolpair-pg-")), primary.programs)
    try:
        pair = server_pair(cluster, tmp_path / "pair", {"a": primary})
        standby.initialise_standby(primary, slot="standby")
        standby.start()
        text = pair.toml("a").read_text()
        both = f"?host={primary.socket},{standby.socket}&target_session_attrs=read-write&connect_timeout=2"
        pair.toml("a").write_text(text.replace(f"?host={primary.socket}", both))
        for pool in ("a", "b"):
            pair.start(pool)
        pair.settle()
        yield Local(pair, primary, standby)
        pair.end()
    finally:
        standby.end()
        primary.end()


def caught_up(primary: Cluster, standby: Server) -> None:
    """Wait, in the server, until the standby has replayed everything."""
    (position,) = primary.dba("SELECT pg_current_wal_lsn()::text")[0]
    primary.dba(SYNCHRONOUS, "SELECT pg_reload_conf()")
    primary.dba("SET synchronous_commit = remote_apply; CREATE TABLE IF NOT EXISTS waited (); DROP TABLE waited")
    replayed = standby.dba(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn")
    assert replayed == [(True,)]


def cut_off(primary: Cluster, standby: Server) -> None:
    """From now on the standby receives nothing, and the primary does not wait for it."""
    primary.dba("ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
    standby.dba("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")


def assert_refused(local: Local) -> None:
    """A service that finds only the server in recovery says so (P201) and does not begin."""
    toml = local.pair.toml("a")
    text = toml.read_text()
    start = text.index("?host=")
    toml.write_text(text[:start] + f"?host={local.standby.socket}" + text[text.index('"', start) :])
    refused = local.command("run", "--allow-root")
    toml.write_text(text)
    assert "is a standby, which takes no writes" in str(refused.exception)
    assert "P201" in str(refused.exception)


def test_a_synchronous_standby_takes_over_and_nobody_notices(local: Local) -> None:
    """The server dies between a change and its package; the promoted standby has both, and the pair goes on without a word."""
    local.primary.dba(SYNCHRONOUS, "ALTER SYSTEM SET synchronous_commit = on", "SELECT pg_reload_conf()")
    local.pair.run("a", ROSTER, "first")
    local.pair.settle()
    local.pair.run("a", ROSTER, "second")
    assert_refused(local)
    local.lose_primary()
    local.pair.settle()
    assert local.pair.rows("a") == local.pair.rows("b")
    assert local.roster("second", "b") == 1
    for channel in local.pair.status("a").channels:
        assert channel.export.status is ExportStatus.FINAL
        assert channel.export.last_verify is None or channel.export.last_verify.reason == "first copy"
    assert local.pair.status("a").exit_status == local.pair.status("b").exit_status == 0
    assert local.command("setback", "show").output.strip() == "no channel is set back"


def test_an_asynchronous_standby_is_a_store_set_back(local: Local) -> None:
    """What it had not received is at the partner only: the channel stops, `setback show` says so, `resolve --ours` makes both equal.

    What it lacks of the partner's comes again by itself: nobody is asked about that.
    """
    caught_up(local.primary, local.standby)
    cut_off(local.primary, local.standby)
    local.pair.run("a", ROSTER, "accepted")
    local.pair.run("b", ROSTER.replace("a.example", "b.example"), "theirs")
    local.pair.settle()
    assert (local.roster("accepted", "b"), local.roster("theirs", "a")) == (1, 1)
    local.lose_primary()
    assert (local.roster("accepted", "a"), local.roster("theirs", "a")) == (0, 0)
    local.pair.run("a", ROSTER, "after")
    local.pair.live(60, 2)
    fault = local.pair.channel("a", Channel.USERS).export.fault
    assert fault is not None
    assert fault.code is Code.STORE_SET_BACK
    assert local.pair.status("a").exit_status == local.pair.status("b").exit_status == 2
    assert "1 package that this store does not know is applied there" in local.command("setback", "show").output
    assert (local.roster("accepted", "b"), local.roster("after", "b")) == (1, 0), "nothing is overwritten unasked"
    assert local.command("setback", "resolve", "--ours", "--yes").exit_code == 0
    local.pair.settle(force=True)
    assert local.pair.rows("a") == local.pair.rows("b")
    assert (local.roster("accepted", "b"), local.roster("after", "b"), local.roster("theirs", "a")) == (0, 1, 1)
    with local.pair.connect("b") as connection:
        kept = connection.execute("SELECT count(*) FROM poolpair.kept_row_1 WHERE key = 'accepted'").fetchone()
    assert kept == (1,), "what was accepted and lost is kept at the partner"
    assert local.pair.status("a").exit_status == 0
