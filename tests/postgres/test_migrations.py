"""Migrations of the application, which reach one site before the other: the table concerned waits, everything else goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify
from poolpair.errors import Code
from poolpair.model import Channel, ExportStatus, ImportStatus
from poolpair.pipeline.apply import apply
from poolpair.pipeline.receive import receive
from poolpair.status import Reason
from poolpair.wiring import initialise
from tests.cluster import Cluster
from tests.postgres.own_pair import OwnPair, own_pair

SCHEMA = """
CREATE TABLE item (owner text NOT NULL, name text NOT NULL, value integer, PRIMARY KEY (owner, name));
CREATE TABLE other (owner text NOT NULL, name text NOT NULL, PRIMARY KEY (owner, name));
CREATE TABLE tag (owner text NOT NULL, tag text NOT NULL, PRIMARY KEY (owner, tag));
"""
PROFILE = """
tables = [
  { name = "item", key = ["owner", "name"], home_key = "owner" },
  { name = "other", key = ["owner", "name"], home_key = "owner" },
  { name = "tag", key = ["owner", "tag"], home_key = "owner" },
]
"""


PAGE = Path(__file__).parents[2] / "docs" / "MIGRATING.md"


@contextmanager
def pair_of(cluster: Cluster, folder: Path, schema: str = SCHEMA) -> Iterator[OwnPair]:
    """Both pools hold rows of their own users in every table."""
    with own_pair(cluster, folder, schema, PROFILE, ("item", "other", "tag")) as pair:
        for pool in ("a", "b"):
            pair.do(
                pool,
                f"INSERT INTO other VALUES ('u@{pool}', '1')",
                f"INSERT INTO item VALUES ('u@{pool}', '1', 1)",
                f"INSERT INTO tag VALUES ('u@{pool}', 'x')",
            )
        pair.whole()
        yield pair


def apply_one(pair: OwnPair) -> None:
    """Apply at b what a sends, and nothing more: its word goes out after each package, before any comparison."""
    pair.turn("a", force=True)
    b = pair.sites["b"]
    b.store.refresh()
    received = receive(b, Channel.USERS)
    assert received is not None
    assert apply(b, Channel.USERS, received)


def assert_waits(pair: OwnPair, words: str, number: str) -> None:
    """Of `item` nothing passes at b; what else is written at a arrives; both sides say which table waits, and why."""
    pair.do("a", f"INSERT INTO other VALUES ('u@a', 'meanwhile {number}')")
    pair.settle(force=True)
    assert pair.ask("b", f"SELECT count(*) FROM other WHERE name = 'meanwhile {number}'") == [(1,)]
    found = pair.channel("b").imports
    assert found.status is ImportStatus.DEGRADED
    assert any(words in waiting for waiting in found.waiting), found.waiting
    assert "a" not in found.complete
    export = pair.channel("a").export
    assert (export.status, export.reason) == (ExportStatus.NON_STEADY, Reason.TABLES_DIFFER)
    assert export.partner_waiting == found.waiting
    assert (pair.status("a").exit_status, pair.status("b").exit_status) == (1, 1)
    assert words in pair.command("a", "status").output.replace("\n", " ")


ADDED = "ALTER TABLE item ADD more text DEFAULT 'new'"
WIDER = "ALTER TABLE item ALTER value TYPE bigint"


@pytest.mark.parametrize(
    ("first", "change", "words"),
    [
        ("a", ADDED, "table item waits: column more is lacking here"),
        ("b", ADDED, "table item waits: column more is lacking at the partner"),
        pytest.param(
            "a",
            WIDER,
            "table item waits: column value is bigint at the partner and integer here",
            marks=pytest.mark.long,
        ),
    ],
    ids=["column-at-origin", "column-at-target", "type-at-origin"],
)
def test_a_migration_on_one_side_lets_that_table_wait(
    cluster: Cluster, tmp_path: Path, first: str, change: str, words: str
) -> None:
    """Whichever side goes first, the table waits and the rest goes on; once the other side has followed nothing need be done."""
    with pair_of(cluster, tmp_path) as pair:
        pair.do(first, change)
        pair.do(
            "a",
            "INSERT INTO item VALUES ('u@a', 'while it waited', 5)",
            "DELETE FROM item WHERE owner = 'u@a' AND name = '1'",
        )
        apply_one(pair)
        said = pair.channel("b").imports
        assert (len(said.waiting), said.complete) == (1, ()), (
            "from the first such package on, not from the next comparison"
        )
        assert_waits(pair, words, "one")
        begin_verify(pair.sites["a"], Channel.USERS, repair=False)
        pair.settle(force=True)
        verified = pair.channel("a").export.last_verify
        assert verified is not None
        assert not verified.equal, "what waits is not proved equal"
        pair.stop("b")  # it survives a restart
        pair.start("b")
        assert_waits(pair, words, "two")
        pair.do("a" if first == "b" else "b", change)
        pair.whole()
        assert pair.ask("b", "SELECT count(*) FROM item WHERE name = 'while it waited'") == [(1,)]


@pytest.mark.long
def test_both_sides_may_be_far_apart_for_a_while(cluster: Cluster, tmp_path: Path) -> None:
    """A column comes at one side and another at the other, one after the other is made equal: no package is held up on the way."""
    with pair_of(cluster, tmp_path) as pair:
        pair.do("a", ADDED)
        pair.do("b", "ALTER TABLE item ADD extra text", "ALTER TABLE tag ADD note text")
        assert_waits(pair, "column more is lacking here; column extra is lacking at the partner", "one")
        assert len(pair.channel("b").imports.waiting) == 2
        pair.do("b", ADDED)
        assert_waits(pair, "table item waits: column extra is lacking at the partner", "two")
        pair.do("a", "ALTER TABLE tag ADD note text", "UPDATE tag SET note = 'a' WHERE owner = 'u@a'")
        assert_waits(pair, "table item waits: column extra is lacking at the partner", "three")
        assert pair.ask("b", "SELECT note FROM tag WHERE owner = 'u@a'") == [("a",)]
        pair.do("b", "ALTER TABLE item DROP extra")
        pair.settle(force=True)
        assert [row[0] for row in pair.ask("b", "SELECT more FROM item")] == ["new", "new"]
        for pool in ("a", "b"):
            assert pair.channel(pool).export.status is ExportStatus.FINAL


@pytest.mark.long
def test_a_new_index_holds_up_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Neither an index nor a constraint on one side only makes a table wait; `init` has nothing to put back."""
    with pair_of(cluster, tmp_path) as pair:
        pair.do(
            "a",
            "CREATE INDEX ON item (value)",
            "CREATE UNIQUE INDEX ON item (owner, value)",
            "ALTER TABLE item ADD CHECK (value > 0)",
        )
        pair.do("a", "INSERT INTO item VALUES ('u@a', '2', 2)")
        pair.whole()
        assert initialise(pair.config("a")).repaired == ()
        pair.whole()


def test_a_table_that_is_dropped_at_the_target(cluster: Cluster, tmp_path: Path) -> None:
    """It waits; when it is made again its rows come back by themselves, and `init` lets it be captured again."""
    with pair_of(cluster, tmp_path) as pair:
        pair.do("b", "DROP TABLE item")
        pair.do("a", "INSERT INTO item VALUES ('u@a', '2', 2)")
        pair.do("a", "INSERT INTO other VALUES ('u@a', 'dropped')")
        pair.settle(force=True)
        assert pair.channel("b").imports.waiting == ("table item waits: it is not here",)
        assert pair.ask("b", "SELECT count(*) FROM other WHERE name = 'dropped'") == [(1,)]
        pair.do("b", "INSERT INTO other VALUES ('u@b', 'goes on')")
        pair.settle(force=True)
        assert pair.ask("a", "SELECT count(*) FROM other WHERE name = 'goes on'") == [(1,)]
        assert pair.channel("a").imports.waiting == ("table item waits: it is lacking at the partner",)
        assert pair.ask("a", "SELECT count(*) FROM item WHERE owner = 'u@b'") == [(1,)], (
            "a dropped table is no deletion"
        )
        pair.do("b", SCHEMA.split(";", maxsplit=1)[0])
        pair.settle(force=True)
        assert pair.fault("b").startswith("P205"), "it has no triggers yet"
        assert pair.ask("b", "SELECT count(*) FROM item WHERE owner = 'u@a'") == [(2,)]
        assert pair.command("b", "init").exit_code == 0
        pair.whole()


@pytest.mark.long
def test_a_dropped_table_hides_no_status(cluster: Cluster, tmp_path: Path) -> None:
    """A service that starts without the table, and commands beside it, work; `check` names the table."""
    with pair_of(cluster, tmp_path) as pair:
        pair.stop("b")
        pair.do("b", "DROP TABLE tag")
        pair.start("b")
        pair.do("a", "INSERT INTO tag VALUES ('u@a', 'y')")
        pair.settle(force=True)
        assert "table tag waits: it is not here" in pair.command("b", "status").output
        assert pair.command("b", "parked", "list").exit_code == 0
        checked = pair.command("b", "check")
        assert checked.exit_code == 2
        assert "tag" in checked.output
        assert Code.PROFILE in checked.output


def test_tables_that_foreign_keys_tie_wait_together(cluster: Cluster, tmp_path: Path) -> None:
    """Else rows would be parked for lack of their parents: the parent's migration makes its children wait, and nobody else."""
    schema = SCHEMA + "ALTER TABLE item ADD FOREIGN KEY (owner, name) REFERENCES other;"
    with pair_of(cluster, tmp_path, schema) as pair:
        pair.do("a", "ALTER TABLE other ADD more text")
        pair.do("a", "INSERT INTO other VALUES ('u@a', '2')", "INSERT INTO item VALUES ('u@a', '2', 2)")
        pair.do("a", "INSERT INTO tag VALUES ('u@a', 'y')")
        pair.settle(force=True)
        said = pair.channel("b").imports
        assert said.waiting[0] == "table item waits: a foreign key ties it to other"
        assert said.parked == 0
        assert said.complete == ()
        assert pair.ask("b", "SELECT count(*) FROM tag WHERE tag = 'y'") == [(1,)]
        pair.do("b", "ALTER TABLE other ADD more text")
        pair.whole()


@pytest.mark.long
def test_what_replaces_and_keeps_waits_whole(cluster: Cluster, tmp_path: Path) -> None:
    """After `setback resolve --ours` every replaced row is kept aside: a table that waits would lose that, so the package waits (P204)."""
    with pair_of(cluster, tmp_path) as pair:
        copies = {table: pair.ask("a", f"SELECT * FROM poolpair.{table}") for table in ("document",)}
        pair.do("a", "INSERT INTO item VALUES ('u@a', 'accepted', 1)")
        pair.settle(force=True)
        pair.stop("a")
        with pair.connect("a") as connection:  # what a restore from a backup does to what the pool remembers
            connection.execute("DELETE FROM poolpair.document")
            connection.cursor().executemany("INSERT INTO poolpair.document VALUES (%s, %s)", copies["document"])
            connection.execute("DELETE FROM item WHERE name = 'accepted'")
        pair.start("a")
        pair.do("a", "INSERT INTO item VALUES ('u@a', 'after', 1)", ADDED)
        pair.live(60, 5)
        assert "P301" in pair.fault("a")
        assert pair.command("a", "setback", "resolve", "--ours", "--yes").exit_code == 0
        pair.settle(force=True)
        assert "P204 table item waits: column more is lacking here" in pair.fault("b")
        pair.do("b", ADDED)
        pair.whole()
        assert pair.ask("b", "SELECT name FROM poolpair.kept_row_1") == [("accepted",)]


@pytest.mark.long
def test_a_first_copy_of_tables_that_differ(cluster: Cluster, tmp_path: Path) -> None:
    """The pair says NotInitialized until they are the same, however long that takes, and then copies what it lacks."""
    with pair_of(cluster, tmp_path) as pair:
        for pool in ("a", "b"):
            pair.stop(pool)
            assert pair.command(pool, "uninstall", "--yes").exit_code == 0
        pair.do("a", ADDED)
        pair.do("b", "DELETE FROM item; DELETE FROM other")
        for pool in ("a", "b"):
            initialise(pair.config(pool))
            pair.start(pool)
        pair.settle(force=True)
        assert pair.channel("a").export.status is ExportStatus.NOT_INITIALIZED
        assert len(pair.ask("b", "SELECT * FROM other")) == 1
        assert len(pair.ask("b", "SELECT * FROM item")) == 0
        assert "first copy" in pair.command("a", "held", "list").output  # of b, which deleted its own rows meanwhile
        assert pair.command("a", "held", "apply", "users").exit_code == 0
        pair.do("b", ADDED)
        pair.whole()


def test_the_page_is_right(cluster: Cluster, tmp_path: Path) -> None:
    """The commands of docs/MIGRATING.md, in their order, on a table that is made anew; what it quotes of `status` is printed."""
    text = PAGE.read_text()
    (quoted,) = re.findall(r"P204 table item waits: column more is lacking here", text)
    before, put_back, compare = re.findall(r"^ +poolpair -c FILE (\w+)$", text, re.MULTILINE)
    assert (before, put_back, compare) == ("status", "init", "verify")
    with pair_of(cluster, tmp_path) as pair:
        pair.stop("a")
        pair.start("a")
        pair.whole()
        assert pair.command("a", before).output.startswith("pool a: service runs")
        assert pair.status("a").exit_status == 0
        anew = "CREATE TABLE fresh AS SELECT owner, name, value, 'x' AS more FROM item; DROP TABLE item; ALTER TABLE fresh RENAME TO item;"
        keyed = "ALTER TABLE item ADD PRIMARY KEY (owner, name), ALTER owner SET NOT NULL"
        pair.do("a", anew + keyed)
        pair.settle()
        assert pair.fault("a").startswith("P205")
        assert pair.command("a", put_back).exit_code == 0
        pair.do("a", "INSERT INTO item VALUES ('u@a', '2', 2, 'y')")
        pair.settle(force=True)
        assert quoted in pair.command("b", "status").output
        pair.do("b", anew + keyed)
        pair.settle(force=True)
        assert pair.command("b", put_back).exit_code == 0
        pair.whole()
        pair.command("a", compare, "--timeout", "0")
        pair.whole()
        verified = pair.channel("a").export.last_verify
        assert verified is not None
        assert (verified.equal, verified.reason) == (True, "verify")


@pytest.mark.parametrize("stopped", [True, False])
def test_a_migration_that_makes_other_values_at_each_site_is_compared(
    cluster: Cluster, tmp_path: Path, *, stopped: bool
) -> None:
    """The tables are the same and nothing was captured, whether a service looked on or not: the values of the pool that serves count."""
    with pair_of(cluster, tmp_path) as pair:
        for pool in ("a", "b"):
            if stopped:
                pair.stop(pool)
            pair.do(pool, "ALTER TABLE item ADD made timestamptz DEFAULT clock_timestamp()")
        for pool in ("a", "b"):
            if stopped:
                pair.start(pool)
        assert pair.ask("a", "SELECT made FROM item") != pair.ask("b", "SELECT made FROM item")
        pair.whole()


PARTS = """
CREATE TABLE item (owner text, name text, value integer, PRIMARY KEY (owner, name)) PARTITION BY LIST (name);
CREATE TABLE item_one PARTITION OF item FOR VALUES IN ('1');
CREATE TABLE other (owner text, name text, PRIMARY KEY (owner, name));
CREATE TABLE tag (owner text, tag text, PRIMARY KEY (owner, tag));
"""


def test_partitions_that_come_and_go_are_followed(cluster: Cluster, tmp_path: Path) -> None:
    """The service gives new partitions their triggers; rows that moved with one are found by a comparison, and nobody need do anything."""
    with pair_of(cluster, tmp_path, PARTS) as pair:
        pair.do("b", "CREATE TABLE item_rest PARTITION OF item DEFAULT")
        pair.whole()
        last = pair.channel("a").export.last_verify
        pair.do("a", "CREATE TABLE item_two PARTITION OF item FOR VALUES IN ('2')")
        pair.whole()
        pair.do("a", "INSERT INTO item_two VALUES ('u@a', '2', 2)")
        pair.whole()
        assert pair.channel("a").export.last_verify == last, "an empty partition needs no comparison"
        attached = "ALTER TABLE item ATTACH PARTITION item_three FOR VALUES IN ('3')"
        for moving in (
            f"CREATE TABLE item_three (LIKE item); INSERT INTO item_three VALUES ('u@a', '3', 3); {attached}",
            "ALTER TABLE item DETACH PARTITION item_two",
            "DROP TABLE item_three",
        ):
            pair.advance(1)
            pair.do("a", moving)
            pair.whole()
            assert pair.channel("a").export.last_verify != last
            last = pair.channel("a").export.last_verify
        assert [row[0] for row in pair.ask("b", "SELECT name FROM item WHERE owner = 'u@a'")] == ["1"]
        pair.do("a", "INSERT INTO item_two VALUES ('u@a', 'of no part', 1)")
        pair.whole()
        for pool in ("a", "b"):
            assert pair.command(pool, "check").exit_code == 0


def test_a_partition_that_comes_back_is_compared(cluster: Cluster, tmp_path: Path) -> None:
    """What was done to it meanwhile set off triggers that knew nothing of the table, or went by one that was forgotten."""
    detach, attach = (
        "ALTER TABLE item DETACH PARTITION item_one",
        "ALTER TABLE item ATTACH PARTITION item_one FOR VALUES IN ('1')",
    )
    with pair_of(cluster, tmp_path, PARTS) as pair:
        pair.do("b", "CREATE TABLE item_rest PARTITION OF item DEFAULT")
        pair.whole()
        pair.do(
            "a", f"BEGIN; {detach}; TRUNCATE item_one; INSERT INTO item_one VALUES ('v@a', '1', 2); {attach}; COMMIT"
        )
        pair.whole()
        assert pair.ask("b", "SELECT owner FROM item WHERE owner LIKE '%@a'") == [("v@a",)]
        pair.do("a", detach)
        pair.settle(force=True)  # b's rows have no place at a meanwhile
        pair.do("a", f"INSERT INTO item_one VALUES ('w@a', '1', 3); {attach}")
        pair.whole()
        assert sorted(pair.ask("b", "SELECT owner FROM item WHERE owner LIKE '%@a'")) == [("v@a",), ("w@a",)]


def test_columns_that_came_in_another_order_compare_equal(cluster: Cluster, tmp_path: Path) -> None:
    """Rows are digested in the order of the partner's columns: the pair comes to rest, and finds what differs."""
    with pair_of(cluster, tmp_path) as pair:
        pair.do("a", "ALTER TABLE item ADD one text DEFAULT 'x'", "ALTER TABLE item ADD two text DEFAULT 'y'")
        pair.do("b", "ALTER TABLE item ADD two text DEFAULT 'y'", "ALTER TABLE item ADD one text DEFAULT 'x'")
        pair.do("a", "UPDATE item SET two = 'z' WHERE owner = 'u@a'")
        pair.settle(force=True)
        assert pair.ask("b", "SELECT one, two FROM item WHERE owner = 'u@a'") == [("x", "z")]
        for pool in ("a", "b"):
            assert pair.channel(pool).export.status is ExportStatus.FINAL
