"""What an operator does to a pool on PostgreSQL: nobody is kept waiting, capture is put back, nothing is left behind."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.postgres import clearing, setup
from poolpair.store.postgres.database import Database
from tests.cluster import Cluster
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import Copies, entry
from tests.postgres.own_pair import ITEM as OWN_ITEM
from tests.postgres.own_pair import own_pair

ITEM = "CREATE TABLE item (id integer PRIMARY KEY, value text)"
ITEMS = entry("item", "id")
TRIED = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name LIKE 'poolpair%' AND query LIKE 'SELECT pg_sleep%'"


def _behind_a_long_transaction(copies: Copies, action: str) -> PoolpairError:
    """Let a transaction stay open over the table while `action` wants it alone; others write meanwhile, and nobody waits."""
    ended: list[PoolpairError] = []

    def act() -> None:
        try:
            url = copies.cluster.url(copies.origin_name)
            if action == "init":
                copies.install(copies.origin_name, lock_wait_s=0.5)
            else:
                with clearing.uninstalled(url, 0.5):
                    pass
        except PoolpairError as error:
            ended.append(error)

    with copies.writing() as long:
        long.execute("INSERT INTO item VALUES (0, 'long')")
        acting = threading.Thread(target=act)
        acting.start()
        with copies.connect() as app:
            app.execute("SET lock_timeout = '100ms'")
            while acting.is_alive():
                app.execute("INSERT INTO item SELECT max(id) + 1, 'beside' FROM item")
                acting.join(0.01)
        long.execute("ROLLBACK")
    (error,) = ended
    return error


def test_a_long_transaction_holds_up_nobody_but_us(make_copies: MakeCopies) -> None:
    """`init` and `uninstall` behind an open transaction give up with P202 and the process's number; writers never stand behind them."""
    copies = make_copies(ITEM, ITEMS)
    copies.write("INSERT INTO item VALUES (1, 'x')", "DROP TRIGGER poolpair_insert ON item")
    for action in ("init", "uninstall"):
        error = _behind_a_long_transaction(copies, action)
        assert error.code is Code.STORE_LOCKED
        assert "stayed in use for 0.5 s, held by the server's process" in error.detail
    assert copies.install(copies.origin_name) == ("public.item poolpair_insert",)
    with clearing.uninstalled(copies.cluster.url(copies.origin_name), 2.0) as removed:
        assert "item poolpair_insert" in str(removed)


def test_a_schema_change_of_ours_waits_for_nobody(make_copies: MakeCopies) -> None:
    """A widened key is followed in our log, which an open transaction of the application's holds: the pass fails, writers go on."""
    copies = make_copies(ITEM + "; CREATE TABLE other (id integer PRIMARY KEY)", ITEMS + entry("other", "id"))
    store = copies.open(copies.origin_name, lock_wait_s=0.3)
    store.check_capture()
    copies.write("ALTER TABLE item ALTER id TYPE bigint")
    with copies.writing() as long:
        long.execute("INSERT INTO item VALUES (1, 'long')")
        with pytest.raises(PoolpairError) as caught:
            store.check_capture()
        assert caught.value.code is Code.STORE_LOCKED
        copies.write("SET lock_timeout = '100ms'; INSERT INTO item VALUES (2, 'beside')")
        long.execute("COMMIT")
    store.check_capture()
    store.close()


def test_rows_that_somebody_holds_are_waited_for_a_moment(make_copies: MakeCopies) -> None:
    """A row that is locked at the target stops a package with P202, nothing of it is there, and the next try brings all of it."""
    copies = make_copies(ITEM, ITEMS)
    copies.write("INSERT INTO item VALUES (1, 'x'), (2, 'x')")
    copies.carry()
    copies.write("UPDATE item SET value = 'y'")
    copies.target.close()
    copies.target = copies.open(copies.target_name, lock_wait_s=0.2)
    with copies.connect(at="target", autocommit=False) as holder:
        holder.execute("SELECT * FROM item WHERE id = 2 FOR UPDATE")
        with pytest.raises(PoolpairError) as caught:
            copies.carry()
        assert caught.value.code is Code.STORE_LOCKED
        assert copies.content("item", at="target") == ["(1,x)", "(2,x)"]
        holder.rollback()
    copies.carry()
    copies.assert_equal(["item"])


def test_verify_repair_puts_capture_back(cluster: Cluster, tmp_path: Path) -> None:
    """A dropped and a disabled trigger are P205 in `check` and status; `verify --repair` makes both copies equal again."""
    with own_pair(cluster, tmp_path, profile=OWN_ITEM, tables=("item",)) as pair:
        for number, change in enumerate(
            ("DROP TRIGGER poolpair_insert ON item", "ALTER TABLE item DISABLE TRIGGER poolpair_insert")
        ):
            pair.do("a", change, f"INSERT INTO item VALUES ('u@a', 'unseen', {number}) ON CONFLICT DO NOTHING")
            checked = pair.command("a", "check")
            assert checked.exit_code == 2
            assert "FAIL  capture: P205" in checked.output
            pair.turn()
            assert "P205" in pair.fault("a")
            assert pair.status("a").exit_status == 2
            repairing = pair.command("a", "verify", "--repair", "--timeout", "0")  # asks the service, and does not wait
            assert "put back" in repairing.output
            pair.whole()
            assert pair.ask("b", "SELECT name FROM item WHERE owner = 'u@a'") == [("unseen",)]
            assert pair.command("a", "check").exit_code == 0


def schema_of(cluster: Cluster, database: str) -> str:
    """The whole schema as pg_dump writes it, without what is new in every dump."""
    words = [str(cluster.programs / "pg_dump"), "--schema-only", "-d", cluster.url(database, "dba")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


TANGLED = """
CREATE SCHEMA "Zweites Schema";
CREATE TABLE "Zweites Schema"."Item" ("Id" integer PRIMARY KEY, value text);
CREATE TABLE part (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (9);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER see BEFORE INSERT ON part_low FOR EACH ROW EXECUTE FUNCTION see();
GRANT SELECT ON part TO other;
"""


def test_uninstall_leaves_no_trace(cluster: Cluster, tmp_path: Path) -> None:
    """What pg_dump writes of the schema is the same before `init` and after `uninstall`, with rows parked and kept meanwhile."""
    cluster.create("traces")
    with cluster.connect("traces") as connection:
        connection.execute(TANGLED)
    before = schema_of(cluster, "traces")
    copies = Copies(cluster, tmp_path, "", entry("Zweites Schema.Item", "Id") + entry("part", "id"), databases="traces")
    try:
        assert schema_of(cluster, "traces") != before
        copies.write('INSERT INTO "Zweites Schema"."Item" VALUES (1, \'x\')', "INSERT INTO part VALUES (1)")
        copies.carry()
        copies.close_stores()
        with clearing.uninstalled(cluster.url("traces"), 2.0):
            pass
        assert schema_of(cluster, "traces") == before
    finally:
        copies.close()


def test_a_fresh_role_needs_only_what_is_printed(cluster: Cluster, tmp_path: Path) -> None:
    """A role that owns nothing and may do nothing works as a pool's role after the DBA ran the printed lines: both directions."""
    copies = None
    cluster.dba("CREATE ROLE fresh LOGIN")
    cluster.create("fresh_store")
    try:
        with cluster.connect("fresh_store") as connection:
            connection.execute(TANGLED)
        cluster.dba("REVOKE ALL ON SCHEMA public FROM PUBLIC", database="fresh_store")
        profile = entry("Zweites Schema.Item", "Id") + entry("public.part", "id", more='triggers = "skip"')
        copies = Copies(cluster, tmp_path, TANGLED, profile)
        url = cluster.url("fresh_store", "fresh")
        with pytest.raises(PoolpairError):
            setup.install(url, copies.profile, [(1, "shared", "a")], "s", 2.0, record=lambda *_: None)
        printed = list(setup.statements(url, copies.profile, [(1, "shared", "a")], 2.0))
        granted = [line for line in printed if line.startswith(("CREATE SCHEMA", "GRANT"))]
        cluster.dba(*granted, database="fresh_store")
        setup.install(url, copies.profile, [(1, "shared", "a")], "s", 2.0, record=lambda *_: None)
        copies.target.close()
        copies.target = copies.open_url(url)
        copies.write('INSERT INTO "Zweites Schema"."Item" VALUES (1, \'x\')', "INSERT INTO part VALUES (1)")
        assert copies.carry().parked == 0
        with cluster.connect("fresh_store") as connection:
            assert connection.execute("SELECT count(*) FROM part").fetchone() == (1,)
            connection.execute("DELETE FROM part")
        assert copies.target.pending(Channel.USERS, 0) == 1
    finally:
        if copies is not None:
            copies.close()
        cluster.drop("fresh_store")
        cluster.dba("DROP OWNED BY fresh", "DROP ROLE fresh")


def test_habits_of_a_database_change_nothing(make_copies: MakeCopies) -> None:
    """Elements that are NULL arrive as NULL although its connections read a text; one that rests is kept, with its lease."""
    copies = make_copies("CREATE TABLE item (id integer PRIMARY KEY, tags text[])", ITEMS)
    for habit in ("array_nulls = off", "idle_session_timeout = '1h'"):
        copies.cluster.dba(f'ALTER DATABASE "{copies.target_name}" SET {habit}')
    copies.target.close()
    copies.target = copies.open(copies.target_name)
    copies.write("INSERT INTO item VALUES (1, '{NULL,x}')")
    copies.carry()
    copies.assert_equal(["item"])
    database = Database(copies.cluster.url(copies.target_name), 2.0)
    assert database.row("SELECT current_setting('idle_session_timeout')") == ("0",)
    database.run("SET statement_timeout = 1")
    with pytest.raises(PoolpairError, match="statement timeout") as caught, database.translated():
        database.run("SELECT pg_sleep(60)")
    assert caught.value.code is Code.STORE_BROKEN
    assert "locked" not in str(caught.value)
    database.close()
