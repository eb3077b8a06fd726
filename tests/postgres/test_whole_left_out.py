"""What a whole application on PostgreSQL holds and nobody could carry: `init` refuses each kind until `without` names it, and says it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.errors import Code
from poolpair.store.drafting import choose
from poolpair.store.open import kind_of
from tests.badinput.ground import said
from tests.cluster import Cluster
from tests.postgres.own_pair import OwnPair, own_pair

UNSEEN = {
    "ruled": "CREATE TABLE ruled (id integer PRIMARY KEY); CREATE RULE r AS ON INSERT TO ruled WHERE NEW.id < 0 DO INSTEAD NOTHING",
    "hidden": "CREATE TABLE hidden (id integer PRIMARY KEY); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "unlogged": "CREATE UNLOGGED TABLE unlogged (id integer PRIMARY KEY)",
    "parent": "CREATE TABLE parent (id integer PRIMARY KEY)",
    "child": "CREATE TABLE child () INHERITS (parent)",
    "shapeless": "CREATE TABLE shapeless (j json)",
    "broad": f"CREATE TABLE broad ({', '.join(f'c{n} integer' for n in range(1599))})",
}
"""What would be missed at the partner."""
REASONS = {
    "ruled": "it has a rule",
    "hidden": "row-level security",
    "unlogged": "it is UNLOGGED",
    "parent": "other tables inherit from it",
    "child": "it is a part of another table",
    "shapeless": "no column of it can tell its rows apart",
    "broad": "it has 1599 columns",
}
NOTE = """
CREATE TABLE note (id integer PRIMARY KEY); CREATE TABLE immigration (id integer PRIMARY KEY);
CREATE TABLE django_migrations (id integer PRIMARY KEY);
"""
SEEN = "CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM note"
HOMES = {"shared": "a", "*": "a"}


@pytest.fixture
def pair(cluster: Cluster, tmp_path: Path) -> Iterator[OwnPair]:
    """Pool a serves everything, pool b stands by; nothing in it is left out that would be missed."""
    with own_pair(cluster, tmp_path, f"{NOTE} {SEEN}", "whole = true\n", ("note",), homes=HOMES) as made:
        yield made


def without(pair: OwnPair, *names: str) -> None:
    """Both pools leave these tables out."""
    (pair.folder / "profile.toml").write_text(f"whole = true\nwithout = {list(names)}\n")


def test_what_would_be_missed_is_refused_until_it_is_named(pair: OwnPair) -> None:
    """A rule, row-level security, UNLOGGED, inheritance, too many columns, nothing to tell rows by: each is P102 at `init`, by its name."""
    pair.stop("a")
    pair.do("a", *UNSEEN.values())
    for name, reason in REASONS.items():
        without(pair, *(other for other in UNSEEN if other != name))
        code, detail = said(pair.command("a", "init"))
        assert (code, detail.startswith(f"{name}: {reason}"), "`without`" in detail) == (Code.PROFILE, True, True), (
            detail
        )
    without(pair, *UNSEEN)
    result = pair.command("a", "init")
    assert result.exit_code == 0, result.output
    left = {line.split()[2].rstrip(":") for line in result.output.splitlines() if line.startswith("left out")}
    assert left == {*UNSEEN, "public.seen", "django_migrations"}


def test_what_cannot_be_carried_any_more_stops_no_look(pair: OwnPair) -> None:
    """Where such a table comes later, `status` goes on telling, and the next start says P104; `init` says which table."""
    pair.do("a", UNSEEN["unlogged"])
    assert pair.command("a", "status").exit_code == 0
    pair.stop("a")
    assert "P104 tables came, went or changed their keys" in pair.command("a", "check").output
    assert said(pair.command("a", "init"))[1].startswith("unlogged: ")
    without(pair, "unlogged")
    assert pair.command("a", "init").exit_code == 0


DOTTED = (
    'CREATE TABLE "x.y" (id integer PRIMARY KEY)',
    'CREATE SCHEMA z; CREATE TABLE z.y (id integer PRIMARY KEY); CREATE TABLE "z.y" (id integer PRIMARY KEY)',
    'CREATE SCHEMA "z.z"; CREATE TABLE "z.z".y (id integer PRIMARY KEY)',
    'CREATE SCHEMA u; CREATE SCHEMA "u.v"; CREATE TABLE "u.v".w (id integer PRIMARY KEY)',
    'CREATE TABLE "poolpair.document" (id integer PRIMARY KEY)',
)
"""Names with a dot of their own, also where another table of another schema, or one of our own, seems to be meant."""


def test_a_dot_in_a_name_is_no_schema(pair: OwnPair) -> None:
    """Each such table is carried, and none is taken for another."""
    pair.tables = ('"x.y"', "z.y", '"z.y"', '"z.z".y', '"u.v".w', '"poolpair.document"')
    for pool in ("a", "b"):
        pair.stop(pool)
        pair.do(pool, *DOTTED)
        assert pair.command(pool, "init").exit_code == 0
        pair.start(pool)
    pair.do("a", *(f"INSERT INTO {table} VALUES ({n})" for n, table in enumerate(pair.tables)))
    pair.whole()
    assert len(pair.rows("b")) == len(pair.tables)


def test_a_table_that_no_name_means_alone_is_refused(pair: OwnPair) -> None:
    """Schema u with a table v.w, and schema u.v with a table w: one of them is P102 until `without` names it."""
    pair.stop("a")
    pair.do("a", DOTTED[3], 'CREATE TABLE u."v.w" (id integer PRIMARY KEY)')
    code, detail = said(pair.command("a", "init"))
    assert (code, detail.split(".")[0:2]) == (Code.PROFILE, ["u", "v"]), detail
    assert "a profile cannot name it" in detail


UNEQUAL = """
CREATE DOMAIN doc AS json; CREATE DOMAIN docs AS doc[]; CREATE TYPE mood AS ENUM ('up', 'down');
CREATE TYPE flat AS (n integer, m mood); CREATE TYPE deep AS (n integer, j docs);
CREATE TABLE bare (a varchar(9), d doc, l docs, p jsonpath, x xid, g point, r int4range, m mood[], f flat, e deep, c cidr);
"""
ROW = "('x', '[1]', ARRAY['{}']::docs, '$.a', '7', '(1,2)', '[1,4)', '{up}', '(1,up)', '(1,{})', '10.0.0.0/8')"


def test_what_cannot_be_compared_is_in_no_key(pair: OwnPair) -> None:
    """Rows of a table without a key are told by all that can be, whatever domains hide: the application writes on after `init`."""
    for pool in ("a", "b"):
        pair.stop(pool)
        pair.do(pool, UNEQUAL)
        assert pair.command(pool, "init").exit_code == 0
        pair.start(pool)
    pair.do("a", f"INSERT INTO bare VALUES {ROW}, {ROW}", "UPDATE bare SET a = 'y'")
    pair.tables = ("bare",)
    pair.whole()
    assert len(pair.rows("b")) == 2
    choices, _ = choose(kind_of(pair.config("a").store, 1.0, Path).described())
    assert {choice.info.name: choice.key for choice in choices}["bare"] == ("a", "r", "m", "f", "c")


def test_a_key_that_cannot_be_compared_is_refused(pair: OwnPair) -> None:
    """A profile that names such a column in `key` is P102: capture would fail inside the application's own statements."""
    pair.stop("a")
    pair.do("a", UNEQUAL)
    entry = '[[tables]]\nname = "bare"\nkey = ["a", "e"]\nhome = "shared"\n'
    (pair.folder / "profile.toml").write_text(f"whole = true\n{entry}")
    code, detail = said(pair.command("a", "init"))
    assert (code, 'key column "e" is public.deep' in detail) == (Code.PROFILE, True), detail
