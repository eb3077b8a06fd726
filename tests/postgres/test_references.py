"""What one transaction moves between rows that refer to each other, or that hold unique values, arrives as it was left."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.moves import Move
from poolpair.serving.plan import advance, order
from tests.cluster import Cluster
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import entry
from tests.postgres.own_pair import own_pair

FAMILY = """
CREATE TABLE parent (id integer PRIMARY KEY, boss integer REFERENCES parent {on}, name text UNIQUE);
CREATE TABLE child (id integer PRIMARY KEY, parent integer NOT NULL REFERENCES parent {on}, name text);
CREATE TABLE grandchild (id integer PRIMARY KEY, child integer NOT NULL REFERENCES child {on});
"""
TABLES = ["parent", "child", "grandchild"]
PROFILE = "".join(entry(table, "id") for table in reversed(TABLES))
BORN = (
    "INSERT INTO parent VALUES (1, NULL, 'a'), (2, 1, 'b'), (3, NULL, 'c')",
    "INSERT INTO child VALUES (1, 1), (2, 1), (3, 3)",
    "INSERT INTO grandchild VALUES (1, 1), (2, 2), (3, 3)",
)
MOVED = (
    "UPDATE parent SET name = 'was a' WHERE id = 1; INSERT INTO parent VALUES (4, NULL, 'a');"
    " UPDATE child SET parent = 4 WHERE parent = 1; UPDATE parent SET boss = 4 WHERE boss = 1; DELETE FROM parent WHERE id = 1"
)
"""Whoever refers to a row refers to another, which has its name, before it is deleted."""
ON_DELETE = pytest.mark.parametrize(
    "on", ["", "ON DELETE RESTRICT", "ON DELETE CASCADE"], ids=["", "restrict", "cascade"]
)


@ON_DELETE
def test_children_outlive_the_parent_that_they_were_taken_from(make_copies: MakeCopies, on: str) -> None:
    """Of the grandchildren nothing is in the package: no cascade may reach them."""
    copies = make_copies(FAMILY.format(on=on), PROFILE)
    copies.write(*BORN)
    copies.carry()
    copies.write(MOVED)
    assert copies.carry().parked == 0
    copies.assert_equal(TABLES)


@ON_DELETE
def test_so_they_do_beside_a_row_that_is_refused(make_copies: MakeCopies, on: str) -> None:
    """It is parked alone."""
    copies = make_copies(FAMILY.format(on=on), PROFILE)
    copies.write(*BORN)
    copies.carry()
    copies.write("ALTER TABLE child ADD CHECK (name <> 'bad')", at="target")
    copies.write(
        MOVED.replace("VALUES (4, NULL, 'a')", "VALUES (4, NULL, 'd')"), "UPDATE child SET name = 'bad' WHERE id = 3"
    )
    assert copies.carry().parked == 1
    assert copies.content("parent") == copies.content("parent", at="target")
    assert copies.content("child", at="target") == ["(1,4,)", "(2,4,)", "(3,3,)"]
    assert copies.content("grandchild", at="target") == ["(1,1)", "(2,2)", "(3,3)"]


def test_a_key_that_others_refer_to_is_renamed(make_copies: MakeCopies) -> None:
    """The old row and the new one hold the same unique value, and what refers to the old one cannot be without it."""
    schema = """
    CREATE TABLE room (name text PRIMARY KEY, address text NOT NULL UNIQUE);
    CREATE TABLE message (id integer PRIMARY KEY, room text NOT NULL REFERENCES room ON UPDATE CASCADE);
    """
    copies = make_copies(schema, entry("room", "name") + entry("message", "id"))
    copies.write(
        "INSERT INTO room VALUES ('hall', 'x'), ('yard', 'y')", "INSERT INTO message VALUES (1, 'hall'), (2, 'yard')"
    )
    copies.carry()
    copies.write("UPDATE room SET name = 'great hall' WHERE name = 'hall'")
    assert copies.carry().parked == 0
    copies.assert_equal(["room", "message"])


@pytest.mark.parametrize(
    "on", ["", "REFERENCES person", "REFERENCES person ON DELETE CASCADE"], ids=["", "referred", "cascade"]
)
def test_a_unique_value_is_handed_on_in_either_direction(make_copies: MakeCopies, on: str) -> None:
    """Each takes what its neighbour gave up, in one package whose order nobody chose."""
    schema = f"""
    CREATE TABLE person (id integer PRIMARY KEY, mail integer UNIQUE);
    CREATE TABLE said (id integer PRIMARY KEY, person integer {on});
    """
    copies = make_copies(schema, entry("person", "id") + entry("said", "id"))
    copies.write(
        "INSERT INTO person SELECT n, n FROM generate_series(1, 9) n", "INSERT INTO said SELECT id, id FROM person"
    )
    copies.carry()
    for change in (
        "UPDATE person SET mail = 99 WHERE id = 1; UPDATE person SET mail = 1 WHERE id = 2",
        "UPDATE person SET mail = 2 WHERE id = 1; UPDATE person SET mail = 98 WHERE id = 8; UPDATE person SET mail = 8 WHERE id = 7",
        "UPDATE person SET mail = -id - 1; UPDATE person SET mail = -mail",
        "UPDATE person SET mail = -id; UPDATE person SET mail = -mail",
    ):
        copies.write(change)
        assert copies.carry().parked == 0
        copies.assert_equal(["person", "said"])


def test_rows_that_others_refer_to_swap_unique_values(make_copies: MakeCopies) -> None:
    """None of them can take its value while the other has it, and none can be taken out for a moment."""
    schema = """
    CREATE TABLE person (id integer PRIMARY KEY, mail integer UNIQUE);
    CREATE TABLE said (id integer PRIMARY KEY, person integer REFERENCES person);
    """
    copies = make_copies(schema, entry("person", "id") + entry("said", "id"))
    copies.write("INSERT INTO person VALUES (1, 1), (2, 2)", "INSERT INTO said VALUES (1, 1), (2, 2)")
    copies.carry()
    copies.write("UPDATE person SET mail = -mail; UPDATE person SET mail = 3 + mail")
    assert copies.carry().parked == 0
    copies.assert_equal(["person", "said"])


@pytest.mark.parametrize(
    ("on", "is_refused"), [("", True), ("ON DELETE CASCADE", True), ("DEFERRABLE", False)], ids=["", "cascade", "waits"]
)
def test_groups_that_are_replaced_whole_may_not_be_referred_to(
    make_copies: MakeCopies, on: str, is_refused: bool
) -> None:
    """Each change would take the group's rows out and in, and a cascade all that refers to them. With a unique key none is taken out."""
    schema = f"""
    CREATE TABLE item (id integer PRIMARY KEY, owner text NOT NULL);
    CREATE TABLE note (id integer PRIMARY KEY, item integer REFERENCES item {on});
    """
    make_copies(schema, entry("item", "owner", "id") + entry("note", "id"))
    if not is_refused:
        make_copies(schema, entry("item", "owner") + entry("note", "id"))
        return
    with pytest.raises(PoolpairError) as caught:
        make_copies(schema, entry("item", "owner") + entry("note", "id"))
    assert (caught.value.code, "item: table public.note refers to rows of it" in caught.value.detail) == (
        Code.PROFILE,
        True,
    )


def test_what_a_dead_site_moved_is_merged_whole(cluster: Cluster, tmp_path: Path) -> None:
    """Children taken from a parent that went, and a value handed on: nothing is in the ledger, and no grandchild is lost."""
    schema = FAMILY.format(on="ON DELETE CASCADE")
    with own_pair(cluster, tmp_path / "pair", schema, PROFILE, tuple(TABLES), homes={"shared": "a"}) as pair:
        pair.do("a", *BORN)
        pair.whole()
        pair.stop("a")
        pair.do("a", MOVED, "UPDATE parent SET name = 'z' WHERE id = 3", "UPDATE parent SET name = 'c' WHERE id = 2")
        order(pair.sites["b"], Move.TAKEOVER, "a")
        for _ in range(30):
            pair.turn(force=True)
            advance(pair.sites["b"])
        pair.start("a")
        pair.settle(force=True)
        assert pair.ask("b", "SELECT id FROM grandchild ORDER BY id") == [(1,), (2,), (3,)]
        assert pair.ask("b", "SELECT id, name FROM parent ORDER BY id") == [(2, "c"), (3, "z"), (4, "a")]
        assert pair.sites["b"].store.ledger() == ()
        assert pair.rows("a") == pair.rows("b")
