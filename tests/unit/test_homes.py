"""The homes map: who belongs where."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poolpair.homes import home_of, home_ranks, matches, settings_digest

HOMES = (
    ("*", "b"),
    ("*.a.example", "a"),
    ("a.example", "a"),
    ("share.a.example", "b"),
    ("*.example", "b"),
    ("shared", "a"),
)


@pytest.fixture(scope="module")
def glob() -> Iterator[sqlite3.Connection]:
    """A database that knows GLOB."""
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


SIGNS = st.text(alphabet="ab.*?[]^-\\é\n🙂", max_size=8)


@given(pattern=SIGNS, text=SIGNS)
@example("a*b*a", "aba")
@example("a*a", "a")
@example("**", "")
@example("[a]", "a")
@example("?", "a")
def test_matches_is_glob_with_only_the_star(glob: sqlite3.Connection, pattern: str, text: str) -> None:
    """A pattern matches here exactly when the store's GLOB does, other wildcards being escaped there."""
    escaped = pattern.replace("[", "[[]").replace("?", "[?]")
    (expected,) = glob.execute("SELECT ? GLOB ?", (text, escaped)).fetchone()
    assert matches(pattern, text) == bool(expected)


@given(
    homes=st.lists(st.tuples(SIGNS, st.sampled_from("ab")), unique_by=lambda home: home[0], max_size=6),
    key=SIGNS,
)
def test_home_of_is_the_query_of_the_store(glob: sqlite3.Connection, homes: list[tuple[str, str]], key: str) -> None:
    """Of the patterns that match, the lowest rank decides, as in a query that orders by rank."""
    ranked = home_ranks(homes)
    rows = [(h.rank, h.pattern.replace("[", "[[]").replace("?", "[?]"), h.pool) for h in ranked]
    hits = [
        (rank, pool) for rank, pattern, pool in rows if glob.execute("SELECT ? GLOB ?", (key, pattern)).fetchone()[0]
    ]
    assert home_of(key, reversed(ranked)) == (min(hits)[1] if hits else None)


@pytest.mark.parametrize(
    ("key", "pool"),
    [
        ("a.example", "a"),
        ("rooms.a.example", "a"),
        ("share.a.example", "b"),
        ("x.share.a.example", "a"),
        ("c.example", "b"),
        ("A.example", "b"),
        ("elsewhere", "b"),
    ],
)
def test_exact_first_then_longest(key: str, pool: str) -> None:
    """An exact pattern decides before any with a star, and a longer one before a shorter one."""
    assert home_of(key, home_ranks(HOMES)) == pool


def test_no_pattern_no_home() -> None:
    """A key that nothing matches belongs to nobody."""
    assert home_of("b.example", home_ranks([("a.example", "a"), ("*.a.example", "a")])) is None


def test_shared_is_not_a_pattern() -> None:
    """`shared` names the owner of tables without principals, not a home key that happens to be spelled so."""
    assert home_of("shared", home_ranks([("shared", "a")])) is None
    assert home_of("shared", home_ranks([("shared", "a"), ("*", "b")])) == "b"


def test_ranks_do_not_depend_on_the_order_of_the_file() -> None:
    """Both pools rank alike, in whatever order their files name the patterns."""
    ranked = home_ranks(HOMES)
    assert ranked == home_ranks(reversed(HOMES))
    assert [home.rank for home in ranked] == [1, 2, 3, 4, 5, 6]
    assert [home.pattern for home in ranked] == [
        "share.a.example",
        "a.example",
        "shared",
        "*.a.example",
        "*.example",
        "*",
    ]


def test_settings_digest_is_pinned() -> None:
    """The digest is part of the format: another release must come to the same value."""
    expected = "5825313ad81eef4993401ae474cf58f7"
    assert settings_digest([("*.a.example", "a"), ("b.exämple", "b")], "0" * 64) == expected


def test_settings_digest_sees_every_difference_but_order() -> None:
    """Another pattern, pool or profile is another digest; another order is not."""
    one = settings_digest([("x", "a"), ("y", "b")], "p")
    assert one == settings_digest([("y", "b"), ("x", "a")], "p")
    others = [
        settings_digest([("x", "b"), ("y", "b")], "p"),
        settings_digest([("x", "a")], "p"),
        settings_digest([("x", "a"), ("y", "b")], "q"),
    ]
    assert one not in others
