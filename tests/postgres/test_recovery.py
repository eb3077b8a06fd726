"""Spool, recovery and ledger on PostgreSQL: values of every kind, tables that refuse, and what flows back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.homes import home_ranks
from poolpair.model import Channel
from poolpair.store.port import Transaction
from poolpair.store.postgres import setup
from poolpair.store.postgres.store import PostgresStore
from poolpair.store.profile_file import parse_profile
from poolpair.store.values import Applied, ApplyPlan, Choice, Cut, LedgerNote, Reclaimed, RecoverPlan
from poolpair.testing.clock import VirtualClock
from tests.cluster import Cluster

USERS = Channel.USERS
SCHEMA = """
CREATE TABLE person (id bigserial PRIMARY KEY, host text NOT NULL, name text NOT NULL, nick text UNIQUE, "odd ""name" numeric,
  at timestamptz, tags text[], raw bytea, doubled text GENERATED ALWAYS AS (name || name) STORED, UNIQUE (host, name));
CREATE TABLE entry (sort_id bigserial, host text, name text, store text, value text);
CREATE TABLE pet (host text NOT NULL, name text NOT NULL, pet text NOT NULL, PRIMARY KEY (host, name, pet),
  FOREIGN KEY (host, name) REFERENCES person (host, name));
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no poison here'; END $$;
CREATE TRIGGER poison BEFORE INSERT OR UPDATE ON entry FOR EACH ROW WHEN (NEW.value = 'poison') EXECUTE FUNCTION refuse();
"""
PROFILE = parse_profile(
    b"""
[[tables]]
name = "person"
key = ["host", "name"]
home_key = "host"
leave_out = ["id"]

[[tables]]
name = "entry"
key = ["host", "name", "store"]
home_key = "host"
leave_out = ["sort_id"]

[[tables]]
name = "pet"
key = ["host", "name", "pet"]
home_key = "host"
""",
    "recovery",
)
HOMES = (("a.example", "a"), ("b.example", "b"))
NOTE = LedgerNote(reign_id="reign", why="written at both pools", now_utc="2026-01-01T00:00:00+00:00")
PERSON = 'host, name, nick, "odd ""name", at, tags, raw'
CONTENT = (
    f"SELECT 'person', p::text FROM (SELECT {PERSON} FROM person) p UNION ALL SELECT 'pet', t::text FROM pet t"
    " UNION ALL SELECT 'entry', e::text FROM (SELECT host, name, store, value FROM entry ORDER BY sort_id) e ORDER BY 1, 2"
)


class Returned:
    """The server and a pool that returns, with the same rows of home a, and one package between them."""

    def __init__(self, cluster: Cluster, rows: Path, prefix: str) -> None:
        self.cluster, self.rows = cluster, rows
        self.names = {"server": f"{prefix}_server", "returned": f"{prefix}_returned"}
        for name in self.names.values():
            cluster.create(name, "recovery_prepared")
        self.stores = {
            at: PostgresStore(cluster.url(n), PROFILE, VirtualClock(), lock_wait_s=2.0) for at, n in self.names.items()
        }
        self.server, self.returned = self.stores["server"], self.stores["returned"]

    def run(self, at: str, *statements: str) -> None:
        """What the application does at one pool, or at `both`."""
        for pool in self.names if at == "both" else [at]:
            with closing(self.cluster.connect(self.names[pool])) as connection:
                for statement in statements:
                    connection.execute(statement)

    def content(self, at: str) -> list[tuple[str, str]]:
        """Every row."""
        with closing(self.cluster.connect(self.names[at])) as connection:
            return [(str(table), str(row)) for table, row in connection.execute(CONTENT)]

    def begin(self) -> int:
        """A token at both pools: what is written from now on is a write of two reigns. Returns the server's."""
        for store in self.stores.values():
            with store.transaction() as tx:
                token = tx.advance()
                tx.prune(USERS, token)
        return token

    def spool(self, since: int | None = 1) -> int:
        """What the returned pool does when it adopts."""
        with self.returned.transaction(fencing=True) as tx:
            tx.fence({"a": "b"})
            kept = tx.spool(1, USERS, "a", since)
            tx.forget_log(USERS, "a")
        return kept

    def recover(self, token: int, *, merge: bool = True, home: str = "a") -> Reclaimed:
        """What the returned pool sends, and the server takes in."""
        with self.returned.snapshot(self.rows) as view:
            view.list_files(())
            exported = view.export_spool(1, USERS)
        plan = RecoverPlan(channel=USERS, home=home, reign_token=token, merge=merge, note=NOTE)
        recorded: list[Reclaimed] = []

        def record(_tx: Transaction, found: Reclaimed) -> None:
            recorded.append(found)

        with self.server.incoming(self.rows, USERS, exported.tables) as incoming:
            found = incoming.recover(plan, record)
        assert recorded == [found]
        return found

    def flow_back(self, token: int) -> Applied:
        """The server's delta, applied at the returned pool, whose fence stands."""
        with self.server.snapshot(self.rows) as view:
            view.list_files(())
            exported = view.export(Cut(channel=USERS, served=("a",), since=token), frozenset())
        plan = ApplyPlan(
            channel=USERS,
            package_id="package",
            served=("a",),
            buckets=(),
            guard_fraction=1.0,
            guard_groups=1000,
            parked_max=10,
            approved=True,
            left_behind=(),
            keep_replaced=False,
            now_utc=NOTE.now_utc,
        )
        with self.returned.incoming(self.rows, USERS, exported.tables) as incoming:
            done = incoming.apply(plan, (), lambda _tx, _applied: None)
        assert isinstance(done, Applied)
        return done

    def resolve(self, choice: Choice, *, force: bool = False) -> None:
        """Decide on the only entry."""
        (entry,) = self.server.ledger()
        with self.server.transaction() as tx:
            tx.resolve(entry, choice, "2026-01-02T00:00:00+00:00", force=force)

    def close(self) -> None:
        """Drop both."""
        for store in self.stores.values():
            store.close()
        for name in self.names.values():
            self.cluster.drop(name)


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Cluster:
    """The server, with a prepared database to copy."""
    cluster.create("recovery_prepared")
    with closing(cluster.connect("recovery_prepared")) as connection:
        connection.execute(SCHEMA)
    homes = [(home.rank, home.pattern, home.pool) for home in home_ranks(HOMES)]
    url = cluster.url("recovery_prepared")
    setup.install(url, PROFILE, homes, "settings", 2.0, record=lambda _tx, _done: None)
    return cluster


_NUMBER = count(1)


@pytest.fixture
def pair(prepared: Cluster, tmp_path: Path) -> Iterator[Returned]:
    """A server and a returned pool."""
    made = Returned(prepared, tmp_path / "package.rows", f"recovery_{next(_NUMBER)}")
    yield made
    made.close()


def test_groups_are_merged_equal_or_in_the_ledger_and_all_flow_back(pair: Returned) -> None:
    """Written only there: merged, deletions too. Written alike: equal. Written at both: ledger. In the end both pools are equal."""
    pair.run(
        "both",
        "INSERT INTO person (host, name) SELECT 'a.example', 'p' || n FROM generate_series(1, 6) n",
        "INSERT INTO person (host, name) VALUES ('b.example', 'p1')",
        "INSERT INTO entry (host, name, store, value) VALUES ('a.example', NULL, 's', '1'), ('a.example', NULL, 's', '2')",
        "INSERT INTO pet VALUES ('a.example', 'p1', 'dog')",
    )
    token = pair.begin()
    pair.run(
        "returned",
        "UPDATE person SET nick = 'theirs' WHERE host = 'a.example' AND name = 'p1'",
        "DELETE FROM person WHERE host = 'a.example' AND name = 'p2'",
        "UPDATE person SET nick = 'same' WHERE host = 'a.example' AND name = 'p3'",
        "UPDATE person SET nick = 'mine' WHERE host = 'a.example' AND name = 'p4'",
        "INSERT INTO person (host, name) VALUES ('a.example', 'new')",
        "INSERT INTO pet VALUES ('a.example', 'new', 'cat')",
        "DELETE FROM entry WHERE value = '2'",
        "INSERT INTO entry (host, name, store, value) VALUES ('a.example', NULL, 's', '0'), ('a.example', NULL, 's', NULL)",
    )
    pair.run(
        "server",
        "UPDATE person SET nick = 'same' WHERE host = 'a.example' AND name = 'p3'",
        "UPDATE person SET nick = 'ours' WHERE host = 'a.example' AND name = 'p4'",
        "UPDATE person SET nick = 'only here' WHERE host = 'a.example' AND name = 'p5'",
    )
    assert pair.spool() == 7
    assert pair.recover(token) == Reclaimed(merged=5, equal=1, in_ledger=1)
    (entry,) = pair.server.ledger()
    assert (entry.home, entry.table, entry.state, entry.why) == ("a", "person", Choice.OPEN, NOTE.why)
    assert json.loads(entry.key) == [{"host": "a.example", "name": "p4"}]
    assert [row["nick"] for row in json.loads(entry.theirs) + json.loads(entry.ours)] == ["mine", "ours"]
    said = f"{entry.reign_id}\0users\0person\0{entry.key}\0{entry.theirs}"
    assert entry.entry_id == sha256(said.encode()).hexdigest()[:32]
    assert pair.flow_back(token).parked == 0
    assert pair.content("returned") == pair.content("server")
    assert pair.returned.ledger() == pair.server.ledger()
    assert pair.returned.pending(USERS, 0) == 0
    assert pair.recover(0) == Reclaimed(equal=6, in_ledger=1), "what was merged is what was sent"
    assert len(pair.server.ledger()) == 1, "the same finding made twice is one entry"


def test_without_merge_all_that_differs_is_in_the_ledger(pair: Returned) -> None:
    """A pool that wrote on a set-back copy overwrites nothing."""
    token = pair.begin()
    pair.run("returned", "INSERT INTO person (host, name) VALUES ('a.example', 'p')")
    before = pair.content("server")
    assert pair.spool(None) == 1
    assert pair.recover(token, merge=False) == Reclaimed(in_ledger=1)
    assert pair.content("server") == before
    (entry,) = pair.server.ledger()
    assert entry.ours == "[]"


def test_what_the_log_tells_after_compaction_is_never_merged_over(pair: Returned) -> None:
    """A compacted log says of more groups that they changed, never of fewer; a token that is unknown says it of all."""
    pair.run("both", "INSERT INTO person (host, name) VALUES ('a.example', 'p'), ('a.example', 'q')")
    token = pair.begin()
    pair.run("server", "UPDATE person SET nick = 'ours' WHERE name = 'p'")
    pair.run(
        "returned",
        "UPDATE person SET nick = 'theirs' WHERE name = 'p'",
        "UPDATE person SET nick = 'q'  WHERE name = 'q'",
    )
    with closing(pair.cluster.connect(pair.names["server"])) as connection:
        connection.execute(
            "WITH g AS (DELETE FROM poolpair.log_1 RETURNING host, name) INSERT INTO poolpair.log_1 SELECT DISTINCT * FROM g"
        )
    pair.spool()
    assert pair.recover(token) == Reclaimed(merged=1, in_ledger=1)


def test_a_table_that_refuses_sends_the_group_to_the_ledger(pair: Returned) -> None:
    """A trigger, a unique value, a missing parent, a child in the way: each stops its own group only, and what stood stays."""
    pair.run(
        "both",
        "INSERT INTO person (host, name, nick) SELECT 'a.example', 'p' || n, 'n' || n FROM generate_series(1, 8) n",
        "INSERT INTO entry (host, name, store, value) VALUES ('a.example', 'x', 's', 'stood')",
    )
    token = pair.begin()
    pair.run("server", "INSERT INTO person (host, name, nick) VALUES ('a.example', 'taken', 'taken')")
    pair.run(
        "server", "INSERT INTO pet VALUES ('a.example', 'p3', 'in the way')", "DELETE FROM person WHERE name = 'p4'"
    )
    pair.run("returned", "ALTER TABLE entry DISABLE TRIGGER poison", "UPDATE entry SET value = 'poison'")
    pair.run(
        "returned",
        "UPDATE person SET nick = 'taken' WHERE name = 'p1'",
        "UPDATE person SET nick = 'free' WHERE name = 'p2'",
        "DELETE FROM person WHERE name = 'p3'",
        "INSERT INTO pet VALUES ('a.example', 'p4', 'orphan')",
    )
    pair.spool()
    assert pair.recover(token) == Reclaimed(merged=1, in_ledger=4)
    assert {entry.table for entry in pair.server.ledger()} == {"person", "entry", "pet"}
    assert ("entry", "(a.example,x,s,stood)") in pair.content("server")
    assert pair.flow_back(token).parked == 0
    assert pair.content("returned") == pair.content("server")


def test_constraints_that_wait_name_the_groups_at_fault_in_the_end(pair: Returned) -> None:
    """A circle needs them to wait; where they fail in the end only the group at fault goes to the ledger."""
    pair.run(
        "both",
        "ALTER TABLE pet ALTER CONSTRAINT pet_host_name_fkey DEFERRABLE INITIALLY DEFERRED",
        "INSERT INTO person (host, name) VALUES ('a.example', 'p')",
    )
    token = pair.begin()
    pair.run("server", "DELETE FROM person")
    pair.run("returned", "INSERT INTO pet VALUES ('a.example', 'p', 'orphan')")
    pair.run(
        "returned",
        "INSERT INTO person (host, name) VALUES ('a.example', 'q')",
        "INSERT INTO pet VALUES ('a.example', 'q', 'x')",
    )
    pair.spool()
    assert pair.recover(token) == Reclaimed(merged=2, in_ledger=1)
    (entry,) = pair.server.ledger()
    assert (entry.table, entry.ours) == ("pet", "[]")


def test_a_package_with_other_rows_is_refused_whole(pair: Returned) -> None:
    """Rows of a home that is not the one recovered change nothing."""
    token = pair.begin()
    pair.run("returned", "INSERT INTO person (host, name) VALUES ('a.example', 'p')")
    pair.spool()
    with pytest.raises(Refused) as caught:
        pair.recover(token, home="b")
    assert caught.value.code is Code.FOREIGN_PACKAGE
    assert pair.content("server") == []


def test_every_value_goes_through_the_ledger_and_back(pair: Returned) -> None:
    """Quotes, arrays, bytes, times, numbers and NULL: `theirs` puts exactly the old row there, under its own site number."""
    pair.run("both", "INSERT INTO person (host, name) VALUES ('a.example', 'p')")
    token = pair.begin()
    pair.run(
        "returned",
        r"""UPDATE person SET nick = E'q"\\uO\n', "odd ""name" = 1.10, at = '2026-01-01 12:00:00.000001+02', tags = '{"a,b",NULL,"\""}',"""
        r" raw = '\x00ff'",
    )
    pair.run("server", "UPDATE person SET nick = 'ours'")
    pair.spool()
    assert pair.recover(token) == Reclaimed(in_ledger=1)
    pair.resolve(Choice.THEIRS)
    assert pair.content("server") == pair.content("returned")
    (entry,) = pair.server.ledger()
    assert (entry.state, entry.decided_utc[:10]) == (Choice.THEIRS, "2026-01-02")
    with closing(pair.cluster.connect(pair.names["server"])) as connection:
        assert connection.execute("SELECT id FROM person").fetchall() == [(1,)]
    pair.flow_back(token)
    assert pair.returned.ledger() == (entry,)


def test_a_decision_on_rows_that_moved_waits_for_force(pair: Returned) -> None:
    """Without it LedgerMoved; with it the replaced rows are what the entry keeps. `ours` decides without writing."""
    pair.run("both", "INSERT INTO entry (host, name, store, value) VALUES ('a.example', 'x', 's', '1')")
    token = pair.begin()
    insert = "INSERT INTO entry (host, name, store, value) VALUES ('a.example', 'x', 's', "
    pair.run("returned", f"{insert} 'theirs')")
    pair.run("server", f"{insert} 'ours')")
    pair.spool()
    pair.recover(token)
    pair.run("server", f"{insert} 'later')")
    with pytest.raises(PoolpairError) as caught:
        pair.resolve(Choice.THEIRS)
    assert caught.value.code is Code.LEDGER_MOVED
    pair.resolve(Choice.OURS)
    (entry,) = pair.server.ledger()
    assert (entry.state, "later" in entry.ours) == (Choice.OURS, False)
    pair.resolve(Choice.THEIRS, force=True)
    (entry,) = pair.server.ledger()
    assert [row["value"] for row in json.loads(entry.ours)] == ["1", "ours", "later"]
    assert [row for _, row in pair.content("server")] == ["(a.example,x,s,1)", "(a.example,x,s,theirs)"]


def test_a_deleted_group_is_a_version_like_any_other(pair: Returned) -> None:
    """Deleted there and changed here: both versions are kept, and `theirs` deletes it."""
    pair.run("both", "INSERT INTO person (host, name) VALUES ('a.example', 'p')")
    token = pair.begin()
    pair.run("returned", "DELETE FROM person")
    pair.run("server", "UPDATE person SET nick = 'ours'")
    pair.spool()
    assert pair.recover(token) == Reclaimed(in_ledger=1)
    pair.resolve(Choice.THEIRS)
    assert pair.content("server") == []


def test_a_spool_that_is_taken_back_is_logged_and_what_differs_is_in_the_ledger(pair: Returned) -> None:
    """The pool serves again before its spool was sent; the fence still stands while it takes it back."""
    pair.run("both", "INSERT INTO person (host, name) VALUES ('a.example', 'p'), ('a.example', 'q')")
    token = pair.begin()
    pair.run("returned", "UPDATE person SET nick = name")
    pair.run("server", "UPDATE person SET nick = 'ours' WHERE name = 'p'")
    assert pair.spool() == 2
    pair.flow_back(token)
    with pair.returned.transaction(fencing=True) as tx:
        assert tx.reclaim_spool(1, USERS, NOTE) == 1
        tx.fence({})
        assert tx.pending(USERS, 0) == 3
        assert tx.reclaim_spool(1, USERS, NOTE) == 0
    (entry,) = pair.returned.ledger()
    assert [row["nick"] for row in json.loads(entry.theirs) + json.loads(entry.ours)] == ["p", "ours"]


def test_parked_groups_go_to_the_ledger_when_their_home_is_served_here(pair: Returned) -> None:
    """What this store had refused is the partner's last word no longer, but it is not lost."""
    token = pair.begin()
    pair.run("server", "ALTER TABLE entry DISABLE TRIGGER poison")
    pair.run("server", "INSERT INTO entry (host, name, store, value) VALUES ('a.example', 'x', 's', 'poison')")
    with pair.returned.transaction(fencing=True) as tx:
        tx.fence({"a": "b"})
    assert pair.flow_back(token).parked == 1
    with pair.returned.transaction(fencing=True) as tx:
        assert tx.reclaim_parked(USERS, "b", NOTE) == 0
        assert tx.reclaim_parked(USERS, "a", NOTE) == 1
        tx.fence({})
    assert pair.returned.parked() == ()
    (entry,) = pair.returned.ledger()
    assert ([row["value"] for row in json.loads(entry.theirs)], entry.ours) == (["poison"], "[]")


def test_columns_that_came_after_rows_were_spooled_hold_what_stands_or_their_default(pair: Returned) -> None:
    """The returned pool's tables follow the server's while its spool waits: what it kept is merged, and nothing is overwritten by NULL."""
    pair.run(
        "both",
        "INSERT INTO person (host, name) VALUES ('a.example', 'p')",
        "INSERT INTO entry (host, name, store, value) VALUES ('a.example', 'x', 's', '1')",
    )
    token = pair.begin()
    pair.run("returned", "UPDATE person SET nick = 'theirs'", "UPDATE entry SET value = '2'")
    assert pair.spool() == 2
    pair.run(
        "both",
        "ALTER TABLE person ADD COLUMN lang text NOT NULL DEFAULT 'en', ADD COLUMN mood text DEFAULT 'calm'",
        "ALTER TABLE person ALTER COLUMN mood DROP DEFAULT",
        "ALTER TABLE entry ADD COLUMN lang text NOT NULL DEFAULT 'en'",
    )
    for store in pair.stores.values():
        store.check_capture()
    assert pair.recover(token) == Reclaimed(merged=2)
    with closing(pair.cluster.connect(pair.names["server"])) as connection:
        assert connection.execute("SELECT nick, lang, mood FROM person").fetchall() == [("theirs", "en", "calm")]
        assert connection.execute("SELECT value, lang FROM entry").fetchall() == [("2", "en")]


def test_a_spool_outlives_a_column_whose_old_values_cannot_be_read_as_new_ones(pair: Returned) -> None:
    """The application has its own way to turn them; what was kept takes what it made of the row that stands."""
    pair.run("both", "INSERT INTO person (host, name) VALUES ('a.example', 'p')")
    token = pair.begin()
    pair.run("returned", "UPDATE person SET nick = 'theirs', raw = 'x'")
    assert pair.spool() == 1
    pair.run("both", "ALTER TABLE person ALTER COLUMN nick TYPE integer USING length(nick)")
    for store in pair.stores.values():
        store.check_capture()
    assert pair.recover(token) == Reclaimed(merged=1)
    with closing(pair.cluster.connect(pair.names["server"])) as connection:
        assert connection.execute("SELECT nick, raw FROM person").fetchall() == [(6, b"x")]


def test_a_profile_is_not_changed_over_a_spool(pair: Returned) -> None:
    """Other tables would mean that spooled groups are thrown away: `init` says so and changes nothing."""
    pair.begin()
    pair.run("returned", "INSERT INTO person (host, name) VALUES ('a.example', 'p')")
    assert pair.spool() == 1
    other = parse_profile(
        b"[[tables]]\nname = 'person'\nkey = ['host', 'name']\nhome_key = 'host'\nleave_out = ['id']", "other"
    )
    homes = [(home.rank, home.pattern, home.pool) for home in home_ranks(HOMES)]
    url = pair.cluster.url(pair.names["returned"])
    with pytest.raises(PoolpairError) as caught:
        setup.install(url, other, homes, "settings", 2.0, record=lambda _tx, _done: None)
    assert caught.value.code is Code.PARKED
    assert pair.returned.check_capture() == ""
