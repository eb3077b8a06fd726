"""What one transaction moves between rows that hold unique values arrives as it was left."""

from __future__ import annotations

import pytest

from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import entry


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
