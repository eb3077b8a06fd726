"""Parked groups while tables come and go: numbers of the profile are given anew, and each group stays of its own table."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from tests.cluster import Cluster
from tests.postgres.copies import entry
from tests.postgres.own_pair import ITEM, OwnPair, own_pair

TABLES = ("alpha", "beta")
SCHEMA = "".join(f"CREATE TABLE {name} (id integer PRIMARY KEY, title text);" for name in TABLES)


def park(pair: OwnPair) -> None:
    """A group of table beta is parked at b, what refused it is gone, and no service works any more."""
    pair.do("a", "INSERT INTO alpha VALUES (7, 'alpha seven')", "INSERT INTO beta VALUES (6, 'beta seven')")
    pair.whole()
    pair.do("b", "CREATE UNIQUE INDEX one ON beta (title)")
    pair.do("a", "INSERT INTO beta VALUES (7, 'beta seven')")
    pair.settle()
    assert [(group.table, group.key) for group in pair.sites["b"].store.parked()] == [("beta", "id=7")]
    for pool in ("a", "b"):
        pair.stop(pool)
    pair.do("b", "DROP INDEX one")


def test_a_parked_group_is_of_its_table_whatever_tables_come(cluster: Cluster, tmp_path: Path) -> None:
    """A table that comes before it in the alphabet takes its number: the retry writes its own table still, and only then `init` goes on."""
    with own_pair(
        cluster, tmp_path / "pair", SCHEMA, "whole = true\n", TABLES, homes={"shared": "a", "*": "a"}
    ) as pair:
        park(pair)
        for pool in ("a", "b"):
            pair.do(pool, "CREATE TABLE aaa (id integer PRIMARY KEY, title text)")
        refused = pair.command("b", "init").exception
        assert isinstance(refused, PoolpairError)
        assert refused.code is Code.PARKED
        assert "\tbeta\tid=7\tduplicate key " in pair.command("b", "parked", "list").output
        result = pair.command("b", "parked", "retry")
        assert (result.exit_code, "applied" in result.output) == (0, True), result.output
        assert pair.ask("b", "SELECT * FROM alpha") == [(7, "alpha seven")]
        assert pair.ask("b", "SELECT * FROM beta") == [(6, "beta seven"), (7, "beta seven")]
        for pool in ("a", "b"):
            assert pair.command(pool, "init").exit_code == 0
            pair.start(pool)
        pair.whole()


def test_a_parked_group_whose_table_went_can_be_dropped(cluster: Cluster, tmp_path: Path) -> None:
    """It is listed, the retry says that its table is gone, and dropping it lets `init` go on."""
    with own_pair(
        cluster, tmp_path / "pair", SCHEMA, "whole = true\n", TABLES, homes={"shared": "a", "*": "a"}
    ) as pair:
        park(pair)
        for pool in ("a", "b"):
            pair.do(pool, "DROP TABLE beta")
        assert "\tid=7\tduplicate key " in pair.command("b", "parked", "list").output
        result = pair.command("b", "parked", "retry")
        assert (result.exit_code, "its table is not carried here any more" in result.output) == (1, True), result.output
        assert pair.command("b", "parked", "drop", "1", "--yes").exit_code == 0
        for pool in ("a", "b"):
            assert pair.command(pool, "init").exit_code == 0
            pair.start(pool)
        pair.tables = ("alpha",)
        pair.settle(force=True)
        assert pair.rows("a") == pair.rows("b")


def test_a_value_too_long_for_an_index_parks_one_group(cluster: Cluster, tmp_path: Path) -> None:
    """An index that only b has, and a value that it cannot hold: one group waits with the server's words, its neighbour arrives."""
    schema = "CREATE TABLE item (owner text NOT NULL, name text NOT NULL, value text, PRIMARY KEY (owner, name))"
    with own_pair(cluster, tmp_path / "pair", schema, ITEM, ("item",)) as pair:
        pair.do("b", "CREATE INDEX long ON item (value)")
        value = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n)"
        pair.do("a", f"INSERT INTO item VALUES ('u@a', 'n', 'x'), ('u@a', 'long', {value})")
        pair.settle(force=True)
        (group,) = pair.sites["b"].store.parked()
        assert (group.key, group.reason.startswith("index row ")) == ("owner=u@a, name=long", True), group
        assert pair.ask("b", "SELECT name FROM item") == [("n",)]
        pair.do("b", "DROP INDEX long")
        assert pair.command("b", "parked", "retry").exit_code == 0
        pair.whole()


@pytest.mark.parametrize("on", ["", "ON DELETE CASCADE"], ids=["", "cascade"])
def test_a_retry_takes_nothing_from_whoever_refers_to_the_group(cluster: Cluster, tmp_path: Path, on: str) -> None:
    """The row that stood is changed in its place; a deletion that was refused is tried as one."""
    schema = f"""
    CREATE TABLE person (id integer PRIMARY KEY, name text);
    CREATE TABLE message (id integer PRIMARY KEY, person integer REFERENCES person {on});
    """
    profile = entry("person", "id") + entry("message", "id")
    with own_pair(cluster, tmp_path / "pair", schema, profile, ("person", "message"), homes={"shared": "a"}) as pair:
        pair.do("a", "INSERT INTO person VALUES (5, 'five')", "INSERT INTO message VALUES (1, 5), (2, 5)")
        pair.whole()
        pair.do("b", "ALTER TABLE person ADD CONSTRAINT short CHECK (name <> 'long')")
        pair.do("a", "UPDATE person SET name = 'long'")
        pair.settle(force=True)
        assert [group.key for group in pair.sites["b"].store.parked()] == ["id=5"]
        pair.do("b", "ALTER TABLE person DROP CONSTRAINT short")
        assert pair.command("b", "parked", "retry").exit_code == 0
        assert pair.ask("b", "SELECT id FROM message ORDER BY id") == [(1,), (2,)]
        pair.whole()


def test_a_parked_group_is_taken_after_its_table_has_a_column_more(cluster: Cluster, tmp_path: Path) -> None:
    """The new column may not be NULL, and the package that was parked knew nothing of it."""
    schema = "CREATE TABLE item (owner text NOT NULL, name text NOT NULL, value text, PRIMARY KEY (owner, name))"
    with own_pair(cluster, tmp_path / "pair", schema, ITEM, ("item",)) as pair:
        pair.do("b", "ALTER TABLE item ADD CONSTRAINT short CHECK (value <> 'long')")
        pair.do("a", "INSERT INTO item VALUES ('u@a', 'n', 'long')")
        pair.settle(force=True)
        for pool in ("a", "b"):
            pair.do(pool, "ALTER TABLE item ADD COLUMN lang text NOT NULL DEFAULT 'en'")
        pair.settle(force=True)
        pair.do("b", "ALTER TABLE item DROP CONSTRAINT short")
        result = pair.command("b", "parked", "retry")
        assert result.exit_code == 0, result.output
        assert pair.ask("b", "SELECT value, lang FROM item WHERE name = 'n'") == [("long", "en")]
