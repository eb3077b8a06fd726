"""A drafted profile says why each key was chosen and what is to be decided, and can be read as a profile."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import permutations

from poolpair.store.drafting import Described, choose, draft_profile
from poolpair.store.profile_check import ColumnInfo, Problem, TableInfo
from poolpair.store.profile_file import parse_profile
from poolpair.store.sqlite.schema import describe_all


def column(
    name: str, kind: str = "text", *, null: bool = False, pk: int = 0, always: bool = False, compares: bool = True
) -> ColumnInfo:
    """A column."""
    return ColumnInfo(
        name=name, declared_type=kind, not_null=not null, pk_rank=pk, numbered_always=always, compares=compares
    )


def table(
    name: str, *columns: ColumnInfo, unique: tuple[tuple[str, ...], ...] = (), triggers: tuple[str, ...] = ()
) -> TableInfo:
    """A table; its primary key is unique."""
    primary = tuple(each.name for each in columns if each.pk_rank)
    return TableInfo(
        name=name, columns=columns, unique_keys=((primary,) if primary else ()) + unique, triggers=triggers
    )


def drafted(*tables: TableInfo, left: tuple[Problem, ...] = (), sequences: tuple[str, ...] = ()) -> str:
    """The text of a draft."""
    return draft_profile("app", Described(tables=tables, left=left, sequences=sequences), {"", "up"})


def test_every_key_has_its_reason() -> None:
    """A primary key; else what is unique; else unique but for NULL; else all that can be compared."""
    text = drafted(
        table("plain", column("id", pk=1), column("x")),
        table("named", column("a"), column("b"), unique=(("b",),)),
        table("loose", column("a", null=True), column("b"), unique=(("a",),)),
        table("bare", column("a"), column("j", "json", compares=False), column("p", "point", compares=False)),
    )
    profile = parse_profile(text.encode(), "drafted")
    assert {each.name: each.key for each in profile.tables} == {
        "plain": ("id",),
        "named": ("b",),
        "loose": ("a",),
        "bare": ("a",),
    }
    assert all(each.shared for each in profile.tables)
    for said in ("no primary key", "Unique but for NULL", "no unique key"):
        assert text.count(said) == 1


def test_the_primary_key_goes_before_what_is_unique_but_for_null() -> None:
    """On SQLite it takes NULL too, but rows without an address are not to be one group; what is unique and never NULL goes before both."""
    loose = table("user", column("name", null=True, pk=1), column("email", null=True))
    strict = table("member", column("name", null=True, pk=1), column("number"))
    text = drafted(
        replace(loose, unique_keys=(("email",), ("name",))),
        replace(strict, unique_keys=(("number",), ("name",))),
    )
    keys = {each.name: each.key for each in parse_profile(text.encode(), "drafted").tables}
    assert keys == {"user": ("name",), "member": ("number",)}
    assert text.count("Unique but for NULL") == 1


def test_the_order_in_which_indexes_were_made_does_not_matter() -> None:
    """Both sites choose by themselves, and have to choose the same: also a primary key of which an index tells in another order."""
    for null in (True, False):
        columns = (column("a", null=null), column("b", null=null), column("c"))
        keys = (("a",), ("b",), ("b", "c"))
        made = [TableInfo(name="v", columns=columns, unique_keys=tuple(each)) for each in permutations(keys)]
        assert {drafted(each) for each in made} == {drafted(made[0])}
    composite = (column("a", null=True, pk=1), column("b", null=True, pk=2), column("mail", null=True))
    info = TableInfo(name="v", columns=composite, unique_keys=(("mail",), ("b", "a")))
    assert [each.key for each in choose(Described(tables=(info,)))[0]] == [("a", "b")]


def test_no_primary_key_is_said_only_where_there_is_none() -> None:
    """One that may be NULL is passed over for columns that are not, and the draft says so."""
    strict = table("member", column("name", null=True, pk=1), column("number"))
    text = drafted(replace(strict, unique_keys=(("number",), ("name",))))
    assert "It has no primary key" not in text
    assert "NULL is possible in its primary key; these columns are unique." in text


def test_an_owner_beside_a_numbered_key_is_no_way_to_two_homes() -> None:
    """Both sites would give the same number to two rows."""
    owner = column("owner_id")
    text = drafted(table("item", column("id", "INTEGER", pk=1), owner), table("word", column("id", pk=1), owner))
    assert text.count("a number (id) that both sites give would be two rows") == 1


def test_what_is_left_out_is_named_with_its_reason() -> None:
    """What cannot be carried, what has no key, and what says which migrations ran."""
    text = drafted(
        table("alembic_version", column("version_num", pk=1)),
        table("django_migrations", column("id", pk=1)),
        table("shapeless", column("j", "json", compares=False)),
        table("kept", column("id", pk=1)),
        left=(Problem(table="seen", reason="it is a materialized view", fatal=False),),
    )
    assert [each.name for each in parse_profile(text.encode(), "drafted").tables] == ["kept"]
    for name in ("alembic_version", "django_migrations", "shapeless", "seen"):
        assert f"#     {name}: " in text


def test_only_what_tools_for_migrations_write_is_taken_for_that() -> None:
    """Their tables are left out by name; data whose table is called much like one of them is carried."""
    theirs = (
        *("django_migrations", "migrations", "schema_migrations", "_prisma_migrations", "__diesel_schema_migrations"),
        *("_sqlx_migrations", "knex_migrations", "knex_migrations_lock", "alembic_version", "flyway_schema_history"),
        *("goose_db_version", "__EFMigrationsHistory", "phinxlog", "doctrine_migration_versions", "_yoyo_migration"),
        *("DATABASECHANGELOG", "databasechangeloglock", "ar_internal_metadata", "app.schema_migrations", "migration"),
    )
    data = (
        "immigration",
        "immigrations",
        "bird_migration",
        "schema_versions_of_papers",
        "flyway_stations",
        "emigrations",
    )
    text = drafted(*(table(name, column("id", pk=1)) for name in (*theirs, *data)))
    assert {each.name for each in parse_profile(text.encode(), "drafted").tables} == set(data)


def test_questions_and_what_is_to_be_done_first() -> None:
    """Owners, what looks short-lived, triggers, numbers that the database insists on, and those that the application draws."""
    text = drafted(
        table('odd"name', column("id", pk=1, always=True), column("user_id")),
        table("auth_tokens", column("id", pk=1), triggers=("t",)),
        sequences=("auth_tokens_numbers", "unknown"),
    )
    assert 'ALTER TABLE "odd""name" ALTER COLUMN "id" SET GENERATED BY DEFAULT;' in text
    assert "Looks like an owner: user_id" in text
    assert text.count("# Decide:") == 1
    profile = parse_profile(text.encode(), "drafted")
    found = {each.name: each for each in profile.tables}
    assert found["auth_tokens"].triggers == "skip"
    assert set(found["auth_tokens"].sequences) == {"auth_tokens_numbers", "unknown"}
    assert {each.pattern for each in profile.files} == {"{name}", "up/{*path}"}


def test_a_real_table_of_users_is_told_by_its_primary_key() -> None:
    """SQLite lists the newest index first, which is that of the address."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE user (name TEXT PRIMARY KEY, email TEXT UNIQUE)")
        choices, _ = choose(describe_all(connection))
    assert [(choice.info.name, choice.key) for choice in choices] == [("user", ("name",))]
