"""Tables that are defined anew between any two questions of ours, and types whose equality is not the server's own."""

from __future__ import annotations

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres import definitions
from poolpair.store.postgres.binding import bind
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database
from poolpair.store.profile import Profile
from poolpair.store.values import Cut
from tests.cluster import Cluster
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import USERS, Copies, entry

ITEM = "CREATE TABLE item (id integer PRIMARY KEY, value text)"


def change_after_binding(monkeypatch: pytest.MonkeyPatch, copies: Copies, *changes: str) -> None:
    """Each time that tables are bound a migration of the application's commits right after it, as long as there are any."""
    left = list(changes)

    def bound(database: Database, profile: Profile, *, partly: bool = False) -> tuple[Bound, ...]:
        found = bind(database, profile, partly=partly)
        if left:
            copies.write(left.pop(0))
        return found

    monkeypatch.setattr(definitions, "bind", bound)


def export_while(copies: Copies, change: str) -> None:
    """Cut the rows of a package; the change commits after its view was fixed."""
    cut = Cut(channel=USERS, served=("a",), since=0)
    with copies.origin.snapshot(copies.rows) as view:
        copies.write(change)
        view.list_files(())
        view.export(cut, frozenset())


def test_a_migration_while_tables_are_bound_is_seen(make_copies: MakeCopies, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new column was taken for bound, and its values stayed here until the next migration."""
    copies = make_copies(ITEM, entry("item", "id"))
    copies.write("ALTER TABLE item ADD COLUMN one text", at="target")
    copies.write("ALTER TABLE item ADD COLUMN two text", at="target")
    copies.write("ALTER TABLE item ADD COLUMN one text")
    change_after_binding(monkeypatch, copies, "ALTER TABLE item ADD COLUMN two text")
    copies.origin.check_capture()
    copies.write("INSERT INTO item VALUES (1, 'v', '1', '2')")
    assert copies.carry().parked == 0
    copies.assert_equal(["item"])


def test_migrations_without_end_are_left_to_the_next_pass(
    make_copies: MakeCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever binds gives up after some, and binds when they are over."""
    copies = make_copies(ITEM, entry("item", "id"))
    copies.write("ALTER TABLE item ADD COLUMN n text")
    columns = [f"ALTER TABLE item ADD COLUMN n{number} text" for number in range(definitions.BINDS_MAX + 1)]
    change_after_binding(monkeypatch, copies, *columns)
    with pytest.raises(PoolpairError) as caught:
        copies.origin.check_capture()
    assert caught.value.code is Code.STORE_LOCKED
    copies.origin.check_capture()


@pytest.mark.parametrize(
    "change", ["ALTER TABLE item ALTER COLUMN value TYPE text USING lower(value)", "TRUNCATE item"]
)
def test_a_table_written_anew_under_a_view_is_not_taken_for_empty(make_copies: MakeCopies, change: str) -> None:
    """To a view that is older it has no rows: none of them is sent as deleted, and the package is cut again."""
    copies = make_copies(ITEM, entry("item", "id"))
    copies.write("INSERT INTO item VALUES (1, 'V'), (2, 'W')")
    copies.origin.check_capture()
    with pytest.raises(PoolpairError) as caught:
        export_while(copies, change)
    assert caught.value.code is Code.STORE_LOCKED
    copies.origin.refresh()
    copies.carry()
    copies.assert_equal(["item"])


def test_a_new_label_of_an_enum_is_seen(make_copies: MakeCopies) -> None:
    """The table waits alone until the partner knows the label too: its package was refused as damaged, and the channel stood."""
    types = "CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN feeling AS mood"
    schema = f"{types}; CREATE TABLE man (id integer, m mood[], f feeling, PRIMARY KEY (id, f))"
    copies = make_copies(f"{schema}; {ITEM}", entry("man", "id", "f") + entry("item", "id"))
    copies.write("INSERT INTO man VALUES (1, '{sad}', 'sad')")
    assert copies.carry().waiting == ()
    copies.write(
        "ALTER TYPE mood ADD VALUE 'ok'", "INSERT INTO man VALUES (2, '{ok}', 'ok')", "INSERT INTO item VALUES (1)"
    )
    (waits,) = copies.carry().waiting
    assert waits.name == "man"
    assert copies.content("item", at="target") == copies.content("item")
    copies.write("ALTER TYPE mood ADD VALUE 'ok'", at="target")
    copies.target.check_capture()
    copies.write("UPDATE man SET f = 'ok'")
    assert copies.carry(buckets=copies.differences()).waiting == ()
    copies.assert_equal(["man", "item"])


def test_keys_that_know_no_case(make_copies: MakeCopies) -> None:
    """Of a citext key only the spelling changes: the row is not taken for deleted, and the new spelling arrives."""
    schema = "CREATE EXTENSION citext WITH SCHEMA public; CREATE TABLE account (name citext PRIMARY KEY, value text)"
    copies = make_copies(schema, entry("account", "name"))
    for statement in (
        "INSERT INTO account VALUES ('Alice', 'a'), ('Bob', 'b')",
        "UPDATE account SET name = 'ALICE' WHERE name = 'alice'",
        "UPDATE account SET value = 'c' WHERE name = 'aLICE'",
        "DELETE FROM account WHERE name = 'bob'",
    ):
        copies.write(statement)
        assert copies.carry().parked == 0
        copies.assert_equal(["account"])


def test_a_part_of_another_table_is_no_table_of_a_profile(make_copies: MakeCopies) -> None:
    """What is written through its parent sets off none of its own triggers."""
    for schema in (
        "CREATE TABLE log (id integer) PARTITION BY RANGE (id); CREATE TABLE item PARTITION OF log DEFAULT",
        "CREATE TABLE log (id integer); CREATE TABLE item () INHERITS (log)",
    ):
        with pytest.raises(PoolpairError, match="a part of another table") as caught:
            make_copies(f"{schema}; ALTER TABLE item ADD UNIQUE (id)", entry("item", "id"))
        assert caught.value.code is Code.PROFILE


def test_a_table_filled_by_a_subscription_is_refused(make_copies: MakeCopies, cluster: Cluster) -> None:
    """A subscription sets off no statement trigger, so that nothing of it would be captured."""
    copies = make_copies(ITEM, entry("item", "id"))
    with cluster.connect(copies.origin_name, "dba") as dba:
        dba.execute("CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)")
        dba.execute("SET allow_system_table_mods = on")
        dba.execute(
            "INSERT INTO pg_subscription_rel SELECT oid, 'public.item'::regclass, 'r', NULL FROM pg_subscription"
        )
    with pytest.raises(PoolpairError, match="a subscription writes into it") as caught:
        copies.install(copies.origin_name)
    assert caught.value.code is Code.PROFILE
    with cluster.connect(copies.origin_name, "dba") as dba:
        dba.execute("DELETE FROM pg_subscription_rel")
        dba.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        dba.execute("DROP SUBSCRIPTION s")
