"""The terms of a CREATE INDEX statement."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.sqlite.index_terms import Term, UniqueKey, split_index, unique_key


@pytest.mark.parametrize(
    ("sql", "terms"),
    [
        ("CREATE UNIQUE INDEX i ON t (a)", ["a"]),
        ("CREATE UNIQUE INDEX i ON t(a, lower(b) DESC)", ["a", "lower(b)"]),
        ('CREATE UNIQUE INDEX "i(,)" ON "t(" (a asc, coalesce(b, \'),(\') COLLATE NOCASE)', ["a", "coalesce(b, '),(') COLLATE NOCASE"]),
        ("CREATE UNIQUE INDEX i ON [t(] (`a)`, /* x) */ b -- )\n, c) WHERE (d > 1)", ["`a)`", "b", "c"]),
        ("CREATE UNIQUE INDEX i ON t ((a, b) = (1, 2))", ["(a, b) = (1, 2)"]),
        ('CREATE UNIQUE INDEX i ON t ("a "" b" || x\'00\')', ['"a "" b" || x\'00\'']),
    ],
)  # fmt: skip
def test_terms_are_split_at_their_commas(sql: str, terms: list[str]) -> None:
    """Parentheses, texts, quoted names and comments are no ends of a term; directions are no part of it."""
    assert split_index(sql)[0] == terms


def test_columns_come_by_name_and_expressions_as_written() -> None:
    """Each with the collation in which the index compares it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a TEXT COLLATE NOCASE, b)")
        connection.execute("CREATE UNIQUE INDEX i ON t (a, lower(b) COLLATE RTRIM, b COLLATE BINARY)")
        assert unique_key(connection, "i", partial=False).terms == (
            Term("a", "", "NOCASE"),
            Term("", "lower(b) COLLATE RTRIM", "RTRIM"),
            Term("b", "", "BINARY"),
        )


def test_the_condition_of_a_partial_index_is_what_follows() -> None:
    """As it stands after WHERE, with parentheses and without comments."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.execute("CREATE UNIQUE INDEX i ON t (a) /* only */ where (b = ')') -- so\n AND a > 0")
        assert unique_key(connection, "i", partial=True) == UniqueKey(
            (Term("a", "", "BINARY"),), "(b = ')')  \n AND a > 0"
        )


def test_an_index_that_cannot_be_read_is_refused() -> None:
    """Nothing is guessed: the profile is refused with the index's name."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.execute("CREATE UNIQUE INDEX i ON t (lower(a), b)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = 'CREATE UNIQUE INDEX i ON t (lower(a))' WHERE name = 'i'")
        with pytest.raises(PoolpairError, match="unique index i: its statement cannot be read") as caught:
            unique_key(connection, "i", partial=False)
        assert caught.value.code is Code.PROFILE
