"""A whole application on PostgreSQL by a profile of one line: its tables are found, and stay as `init` found them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.postgres.own_pair import OwnPair, own_pair

SCHEMA = """
CREATE TABLE django_migrations (id serial PRIMARY KEY, app text);
CREATE TABLE loose (a text, b integer);
CREATE TABLE note (id serial PRIMARY KEY, title text NOT NULL);
CREATE TABLE seen (a text);
"""
TABLES = ("loose", "note", "seen")


@pytest.fixture
def pair(cluster: Cluster, tmp_path: Path) -> Iterator[OwnPair]:
    """Pool a serves everything, pool b stands by."""
    with own_pair(cluster, tmp_path, SCHEMA, "whole = true\n", TABLES, homes={"shared": "a", "*": "a"}) as made:
        yield made


def test_every_table_is_found(pair: OwnPair) -> None:
    """Rows with and without a key and numbers are at B; which migrations ran is each site's own."""
    pair.do("a", "INSERT INTO note (title) VALUES ('one'), ('two')", "INSERT INTO loose VALUES ('x', 1), ('x', 1)")
    pair.do("a", "INSERT INTO django_migrations (app) VALUES ('first')")
    pair.whole()
    assert pair.ask("b", "SELECT count(*) FROM django_migrations") == [(0,)]


def test_what_comes_later_changes_no_key(pair: OwnPair) -> None:
    """A UNIQUE index and a trigger made at B: a group is parked and tried again under the key of `init`, and the trigger rests."""
    pair.do("a", "INSERT INTO loose VALUES ('mine', 1)")
    pair.whole()
    pair.do(
        "b",
        "CREATE UNIQUE INDEX one ON loose (b)",
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (NEW.a); RETURN NEW; END'",
        "CREATE TRIGGER seeing AFTER INSERT ON loose FOR EACH ROW EXECUTE FUNCTION see()",
    )
    pair.do("a", "INSERT INTO loose VALUES ('other', 1)")
    pair.settle(force=True)
    assert "a=other, b=1" in pair.command("b", "parked", "list").output
    assert pair.command("b", "parked", "retry").exit_code == 1
    pair.stop("b")
    pair.start("b")
    pair.do("b", "DROP INDEX one")
    assert pair.command("b", "parked", "retry").exit_code == 0
    pair.whole()
    assert pair.ask("b", "SELECT count(*) FROM loose") == [(2,)]


def test_a_table_that_came_wants_init(pair: OwnPair) -> None:
    """A service that begins after a table came is refused with P104; after `init` at both sites the table is carried."""
    for pool in ("a", "b"):
        pair.stop(pool)
        pair.do(pool, "CREATE TABLE extra (n integer PRIMARY KEY)")
    assert "P104 tables came, went or changed their keys" in pair.command("a", "check").output
    for pool in ("a", "b"):
        assert pair.command(pool, "init").exit_code == 0
        pair.start(pool)
    pair.do("a", "INSERT INTO extra VALUES (7)")
    pair.tables = (*TABLES, "extra")
    pair.whole()
    assert pair.ask("b", "SELECT n FROM extra") == [(7,)]
