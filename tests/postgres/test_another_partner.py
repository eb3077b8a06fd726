"""The end of a pair on PostgreSQL, and the beginning of another with an empty database: nobody is refused, nothing is lost."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.model import ExportStatus
from poolpair.moves import Move
from poolpair.serving.asks import attend
from poolpair.serving.plan import advance, order
from poolpair.wiring import initialise
from tests.postgres.server_pair import SCHEMA, ServerPair

DRAFT = "INSERT INTO prosody VALUES ('a.example', 'valjean', 'private', %s, 'json', '{}')"
OURS = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('poolpair') AND relkind = 'r' ORDER BY 1"
OUR_FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace('poolpair')"


def unpair(pair: ServerPair) -> Result:
    """The command at b."""
    return CliRunner().invoke(app, ["-c", str(pair.toml("b")), "unpair", "--yes"])


def rebuild(pair: ServerPair) -> None:
    """A new site under the old name: an empty database, an empty share, the new key."""
    assert pair.cluster is not None
    pair.cluster.drop(pair.databases["a"])
    pair.cluster.create(pair.databases["a"])
    with pair.connect("a") as connection:
        connection.execute(SCHEMA)
    for folder in (pair.share("a"), pair.folder / "data-a"):
        shutil.rmtree(folder)
        folder.mkdir()
    pair.toml("a").write_text(pair.toml("a").read_text().replace("pair.key", "new.key"))
    initialise(pair.config("a"))
    pair.start("a")


@pytest.mark.long
def test_a_lost_site_is_replaced(pair: ServerPair) -> None:
    """As on SQLite; of poolpair's schema the ledger and what was kept aside stay."""
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    pair.stop("a")
    early = unpair(pair).exception
    assert isinstance(early, PoolpairError)
    assert early.code is Code.LEASE
    order(pair.sites["b"], Move.TAKEOVER, "a")
    while advance(pair.sites["b"]):
        pass
    pair.run("b", DRAFT, "1 served here")
    pair.stop("b")
    result = unpair(pair)
    assert result.exit_code == 0, result.exception
    with pair.connect("b") as connection:
        left = [name for (name,) in connection.execute(OURS).fetchall() if not name.startswith("kept_row_")]
        assert (left, connection.execute(OUR_FUNCTIONS).fetchall()) == (["document", "ledger"], [])
    pair.run("b", DRAFT, "2 without a pair")
    new_key_file(pair.folder / "new.key")
    pair.toml("b").write_text(pair.toml("b").read_text().replace("pair.key", "new.key"))
    initialise(pair.config("b"))
    pair.run("b", DRAFT, "3 before there is a copy")
    pair.start("b")
    pair.turn()
    rebuild(pair)
    pair.run("b", DRAFT, "4 while it is made")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.files("a") == pair.files("b")
    for pool in ("a", "b"):
        assert {each.export.status for each in pair.status(pool).channels} == {ExportStatus.FINAL}
    order(pair.sites["b"], Move.HANDOVER, "a")
    for _ in range(20):
        pair.turn(force=True)
        for site in pair.sites.values():
            attend(site)
    pair.run("a", DRAFT, "5 at home again")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
