"""Tables that refer to each other in a circle, by references that do not wait: as Mailman's users and their addresses do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.decisions import begin_verify
from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.serving.plan import advance, order
from poolpair.store.postgres.circles import ranks_of
from tests.cluster import Cluster
from tests.postgres.own_pair import OwnPair, own_pair

SCHEMA = """
CREATE TABLE taste (id integer PRIMARY KEY, said text);
CREATE TABLE person (id integer PRIMARY KEY, taste integer REFERENCES taste, preferred integer, name text NOT NULL);
CREATE TABLE address (id integer PRIMARY KEY, person integer REFERENCES person, mail text NOT NULL UNIQUE);
ALTER TABLE person ADD CONSTRAINT preferred FOREIGN KEY (preferred) REFERENCES address ON DELETE SET NULL;
CREATE TABLE member (id integer PRIMARY KEY, address integer NOT NULL REFERENCES address);
"""
TABLES = ("taste", "person", "address", "member")
PROFILE = "".join(f'[[tables]]\nname = "{table}"\nkey = ["id"]\nhome = "shared"\n' for table in TABLES)


def arrives(number: int) -> tuple[str, ...]:
    """How the application enters somebody: the circle is closed afterwards."""
    return (
        f"INSERT INTO taste VALUES ({number}, 'of {number}')",
        f"INSERT INTO person VALUES ({number}, {number}, NULL, 'p{number}')",
        f"INSERT INTO address VALUES ({number}, {number}, 'p{number}@a.example')",
        f"UPDATE person SET preferred = {number} WHERE id = {number}",
        f"INSERT INTO member VALUES ({number}, {number})",
    )


def leaves(number: int) -> tuple[str, ...]:
    """And how somebody is taken out."""
    return (
        f"DELETE FROM member WHERE id = {number}",
        f"UPDATE person SET preferred = NULL WHERE id = {number}",
        f"DELETE FROM address WHERE id = {number}",
        f"DELETE FROM person WHERE id = {number}",
        f"DELETE FROM taste WHERE id = {number}",
    )


@pytest.fixture
def pair(cluster: Cluster, tmp_path: Path) -> Iterator[OwnPair]:
    """All is at home in a; some were there before the first copy."""
    with own_pair(cluster, tmp_path / "pair", SCHEMA, PROFILE, TABLES, homes={"shared": "a"}) as made:
        made.do("a", *arrives(1), *arrives(2))
        made.whole()
        yield made


def test_what_refers_in_a_circle_arrives_changes_and_goes(pair: OwnPair) -> None:
    """Each time in one package, whose rows refer to each other in both directions."""
    pair.do("a", *arrives(3))
    pair.whole()
    pair.do("a", "UPDATE person SET preferred = 3 - id WHERE id < 3", "UPDATE address SET person = 3 - id WHERE id < 3")
    pair.whole()
    pair.do("a", *leaves(3), *arrives(4))
    pair.whole()
    assert pair.sites["b"].store.parked() == ()


def test_a_refused_row_in_a_circle_holds_up_nothing_else(pair: OwnPair) -> None:
    """It is parked with what it refers to and what refers to it; when it is taken, a repair of the copy brings them together."""
    pair.do("b", "ALTER TABLE person ADD CONSTRAINT short CHECK (name <> 'p3')")
    pair.do("a", *arrives(3), "UPDATE taste SET said = 'else' WHERE id = 1")
    pair.settle(force=True)
    assert ("else",) in pair.ask("b", "SELECT said FROM taste")
    parked = {group.table for group in pair.sites["b"].store.parked()}
    assert parked == {"person", "address", "member"}
    pair.do("b", "ALTER TABLE person DROP CONSTRAINT short")
    for group in pair.sites["b"].store.parked():
        assert pair.command("b", "parked", "drop", str(group.group_id), "--yes").exit_code == 0
    begin_verify(pair.sites["a"], Channel.USERS, repair=True)
    pair.whole()


def test_what_never_left_the_dead_site_is_merged(pair: OwnPair) -> None:
    """Somebody who arrived there, and somebody who left."""
    pair.stop("a")
    pair.do("a", *arrives(3), *leaves(1))
    order(pair.sites["b"], Move.TAKEOVER, "a")
    for _ in range(30):
        pair.turn(force=True)
        advance(pair.sites["b"])
    pair.start("a")
    pair.settle(force=True)
    assert pair.ask("b", "SELECT id, preferred FROM person ORDER BY id") == [(2, 2), (3, 3)]
    assert pair.sites["b"].store.ledger() == ()
    assert pair.rows("a") == pair.rows("b")


def test_ranks_say_what_is_written_first() -> None:
    """A circle has one rank, above all that it refers to and below all that refers to it."""
    ranks, circles = ranks_of({1: {2}, 2: {3, 4}, 3: {2}, 4: (), 5: {5, 1}, 6: {99}})
    assert ranks == {1: 2, 2: 1, 3: 1, 4: 0, 5: 3, 6: 0}
    assert circles == {2: 2, 3: 2}
