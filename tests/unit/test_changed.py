"""Tables that the partner's profile carries otherwise are told in words, with a hint that fits."""

from __future__ import annotations

from poolpair.changed import tracked_otherwise
from poolpair.errors import CATALOGUE, Code


def test_another_key_is_said_in_words() -> None:
    """Both keys, and what to do; a migration would not help."""
    said = tracked_otherwise([("items", ("a", "b"))], [("items", ("c",))])
    assert said.code is Code.SCHEMA
    assert said.detail == "table items has the key (a, b) at the partner and (c) here"
    assert "`key`" in said.hint


def test_tables_of_one_side_are_named() -> None:
    """A table that only one profile has is a migration, as the hint of the code says."""
    said = tracked_otherwise([("x", ("a",)), ("both", ("a",))], [("both", ("a",)), ("y", ("a",))])
    assert said.detail == "table x is carried at the partner only; table y is carried here only"
    assert said.hint == CATALOGUE[Code.SCHEMA].hint


def test_another_order_is_said_as_well() -> None:
    """Packages number tables by their place."""
    said = tracked_otherwise([("x", ("a",)), ("y", ("a",))], [("y", ("a",)), ("x", ("a",))])
    assert said.detail == "the partner's profile has the tables in another order"
    assert "same profile" in said.hint
