"""A first copy on PostgreSQL: slices of whole tables, each in a view of its own, then what was written meanwhile."""

from __future__ import annotations

import pytest

from poolpair.errors import Refused
from poolpair.slice import Slice
from poolpair.store.postgres import slices
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.copyin import CopiedIn
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import USERS, Copies, entry

ROWS = "INSERT INTO item SELECT n, repeat('x', 400) || n FROM generate_series(1, 200) n"


@pytest.fixture
def sliced(make_copies: MakeCopies, monkeypatch: pytest.MonkeyPatch) -> Copies:
    """A table of a dozen blocks, each of which is a slice."""
    monkeypatch.setattr(slices, "SLICE_BLOCKS", 1)
    copies = make_copies("CREATE TABLE item (id integer PRIMARY KEY, value text)", entry("item", "id"))
    copies.write(ROWS)
    return copies


def test_slices_make_up_the_table(sliced: Copies) -> None:
    """Every row is in one slice; after the last one both sides are equal without any delta."""
    parts = sliced.origin.slices(USERS)
    assert len(parts) > 5
    assert sum(sliced.fill(part).rows for part in parts) == 200
    sliced.assert_equal(["item"])


def test_what_is_written_between_slices_comes_with_the_delta(sliced: Copies) -> None:
    """Rows that move to a later slice or an earlier one, come or go: a slice may hold what is there already, and the delta settles all."""
    for number, part in enumerate(sliced.origin.slices(USERS)):
        sliced.fill(part)
        sliced.write(
            f"UPDATE item SET value = value || '!' WHERE id % 12 = {number}",
            f"DELETE FROM item WHERE id = {number * 17 + 3}",
            f"INSERT INTO item VALUES ({1000 + number}, 'new')",
            "VACUUM item",
        )
    sliced.carry()
    sliced.assert_equal(["item"])


def test_a_slice_of_what_is_there_already_changes_nothing(sliced: Copies) -> None:
    """A plain INSERT that is refused is done again as an upsert; nothing is parked."""
    (first, *_) = sliced.origin.slices(USERS)
    assert sliced.fill(first).rows > 0
    again = sliced.fill(first)
    assert (again.rows, again.parked) == (0, 0)


def test_a_table_of_groups_goes_whole_or_not_at_all(make_copies: MakeCopies, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of several rows must not be torn; a table that is too large for one package is left to the comparison."""
    copies = make_copies("CREATE TABLE item (owner integer NOT NULL, value text)", entry("item", "owner"))
    copies.write("INSERT INTO item SELECT n % 7, 'row ' || n FROM generate_series(1, 100) n")
    (whole,) = copies.origin.slices(USERS)
    assert whole == Slice(table=1, low=0, high=0)
    assert copies.fill(whole).groups == 7
    copies.assert_equal(["item"])
    monkeypatch.setattr(slices, "WHOLE_BLOCKS", 0)
    assert copies.origin.slices(USERS) == ()


def test_whether_anything_is_held_is_asked_of_the_rows(sliced: Copies) -> None:
    """Rows of those homes count, those of others do not."""
    assert sliced.origin.holds(USERS, ("a",))
    assert not sliced.origin.holds(USERS, ("b",))
    assert not sliced.target.holds(USERS, ("a",))


def test_rows_go_straight_into_the_table(sliced: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of a slice is copied into a temporary table as long as nothing speaks against it."""
    left: list[int] = []
    copy_left = CopiedIn.copy_left

    def noting(brought: CopiedIn, b: Bound) -> None:
        left.append(b.n)
        copy_left(brought, b)

    monkeypatch.setattr(CopiedIn, "copy_left", noting)
    first, second, *_ = sliced.origin.slices(USERS)
    sliced.fill(first)
    assert left == []
    sliced.write("INSERT INTO item SELECT 20, 'own'", at="target")
    sliced.fill(second)
    assert left == [1]


def test_a_row_that_is_refused_is_parked_alone(sliced: Copies) -> None:
    """The others of its slice arrive."""
    sliced.write("ALTER TABLE item ADD CHECK (id <> 3)", at="target")
    parts = sliced.origin.slices(USERS)
    done = [sliced.fill(part) for part in parts]
    assert sum(each.parked for each in done) == 1
    assert sum(each.rows for each in done) == 199
    (parked,) = sliced.target.parked()
    assert "check constraint" in parked.reason


def test_a_slice_of_rows_that_are_not_the_partners_is_refused_whole(sliced: Copies) -> None:
    """COPY leaves out what is of another home, and what it left out is counted."""
    (first, *_) = sliced.origin.slices(USERS)
    with pytest.raises(Refused, match="not the partner's to send"):
        sliced.fill(first, believed="b")
    assert sliced.content("item", at="target") == []


def test_tables_that_others_refer_to_come_first_and_circles_are_compared(make_copies: MakeCopies) -> None:
    """No slice needs a later one; a table whose rows refer to each other is in none."""
    copies = make_copies(
        "CREATE TABLE owner (id integer PRIMARY KEY, boss integer);"
        "CREATE TABLE item (id integer PRIMARY KEY, owner integer REFERENCES owner);"
        "CREATE TABLE chain (id integer PRIMARY KEY, next integer REFERENCES chain)",
        entry("item", "id") + entry("owner", "id") + entry("chain", "id"),
    )
    copies.write("INSERT INTO owner SELECT 1", "INSERT INTO item SELECT 1, 1", "INSERT INTO chain SELECT 1, 1")
    parts = copies.origin.slices(USERS)
    assert [part.table for part in parts] == [2, 1]
    for part in parts:
        copies.fill(part)
    for table in ("item", "owner"):
        assert copies.content(table) == copies.content(table, at="target")
