"""The end of a pair and the beginning of another, step by step on the example stores: what is refused, what stays, who is believed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.format.cookie import seal_cookie
from poolpair.keyfile import new_key_file
from poolpair.model import Channel, Cookie, ExportStatus
from poolpair.moves import Move
from poolpair.serving.asks import attend
from poolpair.serving.gate import begin, tend
from poolpair.serving.plan import advance, order
from poolpair.store.values import Choice
from poolpair.wiring import initialise
from tests.pair import HOMES, Pair, make_pair

DRAFT = "INSERT INTO prosody (host, user, store, key, type, value) VALUES ('a.example', 'valjean', 'private', ?, 'json', '{}')"
DRAFTS = "SELECT key FROM prosody WHERE host = 'a.example' AND user = 'valjean' AND store = 'private' ORDER BY key"
ENTRY = "INSERT INTO poolpair_ledger VALUES ('a', 'e1', 'users', 'prosody', '[]', 'why', 'r', '[]', '[]', ?, '', '')"


COSETTES = "host = 'a.example' AND user = 'cosette' AND store = 'private'"
COSETTE = DRAFT.replace("valjean", "cosette")
LONG_AGO = "written at b and never since"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """B took over from A, which is lost; no service runs."""
    made = make_pair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    made.stop("a")
    order(made.sites["b"], Move.TAKEOVER, "a")
    while advance(made.sites["b"]):
        pass
    made.stop("b")
    return made


def unpair(pair: Pair, pool: str = "b") -> Result:
    """The command."""
    return CliRunner().invoke(app, ["-c", str(pair.toml(pool)), "unpair", "--yes"])


def refusal(result: Result) -> PoolpairError:
    """Why it was refused."""
    assert isinstance(result.exception, PoolpairError), result.output
    return result.exception


def write(pair: Pair, pool: str, key: str) -> None:
    """A user of A writes."""
    with pair.sql(pool) as connection:
        connection.execute(DRAFT, (key,))


def drafts(pair: Pair, pool: str) -> list[str]:
    """What that user wrote and is there."""
    with pair.sql(pool) as connection:
        return [key for (key,) in connection.execute(DRAFTS).fetchall()]


def new_key(pair: Pair, *pools: str, homes: dict[str, str] = HOMES) -> None:
    """Another key file and perhaps other homes in these pool files."""
    if not (pair.folder / "new.key").exists():
        new_key_file(pair.folder / "new.key")
    for pool in pools:
        text = pair.toml(pool).read_text().replace("pair.key", "new.key")
        for pattern, owner in HOMES.items():
            text = text.replace(f'"{pattern}" = "{owner}"', f'"{pattern}" = "{homes[pattern]}"')
        pair.toml(pool).write_text(text)


def rebuild(pair: Pair, *, homes: dict[str, str] = HOMES, left: str = "") -> None:
    """A new site under the old name: the tables without rows but for one that somebody found in a backup, an empty share, the new key."""
    ghost = pair.folder / "ghost"
    shutil.move(pair.folder / "data-a", ghost)
    shutil.rmtree(pair.share("a"))
    pair.share("a").mkdir()
    (pair.folder / "data-a").mkdir()
    with (
        closing(sqlite3.connect(ghost / "prosody.sqlite")) as old,
        closing(sqlite3.connect(pair.path("a"))) as new,
        new,
    ):
        for (statement,) in old.execute("SELECT sql FROM sqlite_master WHERE name GLOB 'prosody*' AND sql IS NOT NULL"):
            new.execute(statement)
        if left:
            new.execute(COSETTE, (left,))
    new_key(pair, "a", homes=homes)
    initialise(pair.config("a"))
    pair.start("a")


def whole(pair: Pair) -> None:
    """At rest, equal, and FinalState on both sides."""
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.files("a") == pair.files("b")
    for pool in ("a", "b"):
        assert {each.export.status for each in pair.status(pool).channels} == {ExportStatus.FINAL}


def test_a_pair_ends_only_where_everybody_is_served(tmp_path: Path) -> None:
    """Before the takeover A's rows here are a copy; and a plan under way is finished first."""
    pair = make_pair(tmp_path)
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    order(pair.sites["b"], Move.HANDOVER, "b")
    pair.stop("b")
    assert "is under way" in refusal(unpair(pair)).detail
    pair.start("b")
    for _ in range(20):
        pair.turn(force=True)
        for site in pair.sites.values():
            attend(site)
    pair.stop("b")
    error = refusal(unpair(pair))
    assert error.code is Code.USAGE
    assert "failover a" in error.hint
    pair.start("b")
    order(pair.sites["b"], Move.TAKEOVER, "a")
    while advance(pair.sites["b"]):
        pass
    pair.stop("b")
    assert "failback b" in refusal(unpair(pair)).hint


def test_what_waits_for_a_decision_keeps_the_pair(pair: Pair) -> None:
    """An open entry of the ledger is decided first; a decided one stays, and is this pool's."""
    with pair.sql("b") as connection:
        connection.execute(ENTRY, (Choice.OPEN.value,))
    error = refusal(unpair(pair))
    assert "wait for a decision" in error.detail
    with pair.sql("b") as connection:
        connection.execute("UPDATE poolpair_ledger SET state = 'ours'")
    assert unpair(pair).exit_code == 0
    new_key(pair, "b")
    initialise(pair.config("b"))
    pair.start("b")
    (entry,) = pair.sites["b"].store.ledger()
    assert (entry.home, entry.state) == ("b", Choice.OURS)


def test_the_lost_site_is_rebuilt_under_its_name(pair: Pair) -> None:
    """Every write is taken all along; what the new site found in a backup of its own is put to a decision, and replaces nothing."""
    with pair.sql("b") as connection:
        connection.execute(COSETTE, (LONG_AGO,))
    write(pair, "b", "1 served here")
    assert unpair(pair).exit_code == 0
    write(pair, "b", "2 without a pair")
    new_key(pair, "b")
    initialise(pair.config("b"))
    write(pair, "b", "3 before there is a copy")
    pair.start("b")
    pair.turn()
    rebuild(pair, left="0 of a backup")
    write(pair, "b", "4 while it is made")
    pair.settle()
    (entry,) = pair.sites["b"].store.ledger()
    assert ("0 of a backup" in entry.theirs, LONG_AGO in entry.ours) == (True, True)
    with pair.sql("b") as connection:
        assert connection.execute(f"SELECT key FROM prosody WHERE {COSETTES}").fetchall() == [(LONG_AGO,)]
    whole(pair)
    assert [key[0] for key in drafts(pair, "b")] == ["1", "2", "3", "4"]
    assert pair.sites["a"].serving("a").present.epoch == 1
    order(pair.sites["b"], Move.HANDOVER, "a")
    for _ in range(20):
        pair.turn(force=True)
        for site in pair.sites.values():
            attend(site)
    write(pair, "a", "5 at home again")
    whole(pair)
    assert [key[0] for key in drafts(pair, "b")] == ["1", "2", "3", "4", "5"]


def test_the_survivor_may_keep_the_users(pair: Pair) -> None:
    """The new pool homes nobody: everything is this pool's own from then on."""
    alone = dict.fromkeys(HOMES, "b")
    assert unpair(pair).exit_code == 0
    new_key(pair, "b", homes=alone)
    initialise(pair.config("b"))
    write(pair, "b", "taken")
    pair.start("b")
    pair.turn()
    rebuild(pair, homes=alone)
    whole(pair)
    assert {pool: pair.sites[pool].served() for pool in ("a", "b")} == {"a": ("a",), "b": ("b",)}
    assert drafts(pair, "a") == ["taken"]


def test_the_old_key_is_not_believed_again(pair: Pair) -> None:
    """With it the lost pool could come back unnoticed."""
    assert unpair(pair).exit_code == 0
    with pytest.raises(PoolpairError, match="is that of the pair with a") as raised:
        initialise(pair.config("b"))
    assert raised.value.code is Code.KEY_FILE
    write(pair, "b", "still taken")


def test_a_ghost_is_refused_and_its_files_are_named(pair: Pair) -> None:
    """What the lost pool had delivered is set aside; when it comes back it delivers nothing, and what it left is nobody's word."""
    pair.start("a")
    pair.sites["a"].memory.serving.clear()
    with pair.tampering("a") as connection:
        connection.execute(DRAFT, ("of the ghost",))
    words = pair.share("b") / "UserServices" / "Cookie" / "PresenceFocusCookie" / "cookie.zip"
    pair.turn("a", force=True)
    word = words.read_bytes()
    result = unpair(pair)
    assert result.exit_code == 0
    assert "cookie.zip" in result.output
    new_key(pair, "b")
    initialise(pair.config("b"))
    pair.start("b")
    words.write_bytes(word)
    pair.turn("a", force=True)
    assert pair.sites["a"].memory.faults
    assert {fault.code for fault in pair.sites["a"].memory.faults.values()} == {Code.SHARE_FOREIGN}
    pair.turn("b")
    assert pair.package_files("b") == []
    assert drafts(pair, "b") == []
    aside = pair.sites["b"].own.quarantined()
    assert any("secret that the key file lacks" in file.reason for file in aside)
    assert pair.sites["b"].served() == ("a", "b")


def test_the_word_of_a_third_pool_is_not_the_partners(pair: Pair) -> None:
    """Its key fits, for somebody gave it the same file; it is refused by its name."""
    site = pair.start("b")
    stray = Cookie(channel=Channel.USERS, origin="x", serial=1 << 40, store_id="1" * 32, nonce="2" * 16)
    place = pair.share("b") / "UserServices" / "Cookie" / "PresenceFocusCookie" / "cookie.zip"
    place.write_bytes(seal_cookie(stray, site.ring, target="b"))
    pair.turn("b")
    assert site.memory.faults[Channel.USERS].code is Code.FOREIGN_PACKAGE
    assert not place.exists()
    (refused,) = site.own.quarantined()
    assert "not the partner" in refused.reason


def test_a_gate_does_not_wait_for_a_partner_that_is_not_there_yet(tmp_path: Path) -> None:
    """A service with a gate is started before the new partner exists: everybody is served, since nobody can have taken over."""
    pair = make_pair(tmp_path, extra='[gate]\nat_start = true\nwait = "never"')
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    for pool in ("a", "b"):
        pair.stop(pool)
    site = pair.start("b")
    pair.clock.advance(1000)
    begin(site)
    order(site, Move.TAKEOVER, "a")
    while advance(site):
        pass
    pair.stop("b")
    assert unpair(pair).exit_code == 0
    new_key(pair, "b")
    initialise(pair.config("b"))
    for _ in range(2):
        site = pair.start("b")
        begin(site)
        pair.clock.advance(1000)
        tend(site)
        write(pair, "b", f"at {pair.clock.now_s}")
        pair.stop("b")
