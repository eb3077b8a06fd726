"""Whatever an application does to its tables on PostgreSQL, exactly what it committed arrives."""

from __future__ import annotations

import random
import threading

import psycopg
import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.pipeline.site import Counts
from poolpair.store.postgres import log
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import USERS, Copies, entry

ITEM = "CREATE TABLE item (id integer PRIMARY KEY, value text)"
ITEMS = entry("item", "id")


@pytest.fixture
def items(make_copies: MakeCopies) -> Copies:
    """One plain table with a key."""
    return make_copies(ITEM, ITEMS)


def test_a_transaction_that_begins_early_and_commits_late_is_carried(items: Copies) -> None:
    """It began before others that were carried, acknowledged and pruned; its rows still come with the next package."""
    with items.writing() as late:
        late.execute("INSERT INTO item VALUES (1, 'late')")
        items.write("INSERT INTO item VALUES (2, 'early')")
        assert items.carry().groups == 1
        items.write("INSERT INTO item VALUES (3, 'early')")
        assert items.carry().groups == 1
        late.execute("COMMIT")
    assert items.carry().groups == 1
    items.assert_equal(["item"])
    assert items.origin.pending(USERS, items.token) == 0


def test_a_row_changed_by_a_late_transaction_too_ends_as_it_stands(items: Copies) -> None:
    """Two transactions change one key; whichever commits last is what arrives."""
    items.write("INSERT INTO item VALUES (1, 'first')")
    with items.writing() as late:
        late.execute("SELECT pg_current_xact_id()")
        items.write("UPDATE item SET value = 'second'")
        items.carry()
        late.execute("UPDATE item SET value = 'third'")
        items.carry()
        late.execute("COMMIT")
    items.carry()
    assert items.content("item", at="target") == ["(1,third)"]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_concurrent_writers_lose_nothing(items: Copies, isolation: str) -> None:
    """Four writers change few rows at once while packages are cut, acknowledged and pruned; in the end both sides are equal."""
    failures: list[BaseException] = []
    writers = [threading.Thread(target=_write, args=(items, isolation, seed, failures)) for seed in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        items.carry()
        for writer in writers:
            writer.join(timeout=0.01)
    items.carry()
    assert not failures
    items.assert_equal(["item"])
    assert items.origin.pending(USERS, items.token) == 0


def _write(items: Copies, isolation: str, seed: int, failures: list[BaseException]) -> None:
    chance = random.Random(seed)
    try:
        with items.connect() as connection:
            for number in range(60):
                try:
                    connection.execute(f"BEGIN ISOLATION LEVEL {isolation}")
                    for _ in range(chance.randrange(1, 4)):
                        _change(connection, chance, number)
                    connection.execute("ROLLBACK" if chance.random() < 0.2 else "COMMIT")
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                    connection.execute("ROLLBACK")
    except BaseException as error:  # a thread cannot fail a test; the test looks at what it left
        failures.append(error)


def _change(connection: psycopg.Connection[psycopg.rows.TupleRow], chance: random.Random, number: int) -> None:
    key = chance.randrange(12)
    if chance.random() < 0.3:
        connection.execute("DELETE FROM item WHERE id = %s", (key,))
    else:
        upsert = "INSERT INTO item VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
        connection.execute(upsert, (key, str(number)))


def test_savepoints_and_rollbacks_leave_only_what_was_committed(items: Copies) -> None:
    """Rows of a rolled back savepoint or transaction are not named; those of a kept savepoint are."""
    with items.writing() as app:
        for statement in (
            "INSERT INTO item VALUES (1, 'kept')",
            "SAVEPOINT one",
            "INSERT INTO item VALUES (2, 'undone')",
            "ROLLBACK TO one",
            "SAVEPOINT two",
            "INSERT INTO item VALUES (3, 'kept')",
            "RELEASE two",
            "COMMIT",
            "BEGIN",
            "INSERT INTO item VALUES (4, 'undone')",
            "ROLLBACK",
        ):
            app.execute(statement)
    assert items.carry().groups == 2
    items.assert_equal(["item"])


def test_a_prepared_transaction_is_carried_when_it_is_committed(items: Copies) -> None:
    """Two-phase commit: nothing before, everything after, however many packages lie between."""
    items.write("BEGIN; INSERT INTO item VALUES (1, 'prepared'); PREPARE TRANSACTION 'one'")
    items.write("INSERT INTO item VALUES (2, 'plain')")
    assert items.carry().groups == 1
    items.write("COMMIT PREPARED 'one'")
    assert items.carry().groups == 1
    items.assert_equal(["item"])


def test_every_kind_of_statement_is_captured(items: Copies) -> None:
    """COPY, ON CONFLICT, MERGE, key updates, data-modifying WITH and DO blocks: each brings its rows across."""
    for statement in (
        "INSERT INTO item SELECT n, 'row' FROM generate_series(1, 20) n",
        "INSERT INTO item VALUES (1, 'upserted'), (21, 'inserted') ON CONFLICT (id) DO UPDATE SET value = excluded.value",
        "INSERT INTO item VALUES (2, 'ignored') ON CONFLICT DO NOTHING",
        "UPDATE item SET id = id + 100 WHERE id BETWEEN 5 AND 8",
        (
            "MERGE INTO item t USING (VALUES (9, 'merged'), (30, 'merged'), (10, NULL)) s (id, value) ON t.id = s.id"
            " WHEN MATCHED AND s.value IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET value = s.value"
            " WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.value)"
        ),
        "WITH gone AS (DELETE FROM item WHERE id = 11 RETURNING *) INSERT INTO item SELECT id + 1000, value FROM gone",
        "DO $$ BEGIN UPDATE item SET value = 'done' WHERE id = 12; DELETE FROM item WHERE id = 13; END $$",
        "UPDATE item SET value = value || '!'",
    ):
        items.write(statement)
        items.carry()
        items.assert_equal(["item"])
    with items.connect() as app, app.cursor() as cursor, cursor.copy("COPY item FROM STDIN") as copy:
        copy.write("500\tcopied\n501\t\\N\n")
    assert items.carry().groups == 2
    items.assert_equal(["item"])


def test_one_statement_logs_a_key_once(items: Copies) -> None:
    """The log grows with statements, not with rows touched twice; a key update logs both keys."""
    items.write("INSERT INTO item SELECT n, 'row' FROM generate_series(1, 10) n")
    items.carry()
    items.write("UPDATE item SET id = 11 WHERE id = 1")
    with items.connect() as app:
        assert app.execute("SELECT id FROM poolpair.log_1 ORDER BY id").fetchall() == [(1,), (11,)]
    assert items.carry().deleted == 1


def test_truncate_empties_the_copy(items: Copies) -> None:
    """TRUNCATE is carried as the deletion of every row that it removed, also beside later inserts."""
    items.write("INSERT INTO item SELECT n, 'row' FROM generate_series(1, 10) n")
    items.carry()
    items.write("BEGIN; TRUNCATE item; INSERT INTO item VALUES (3, 'after'); COMMIT")
    assert items.carry().deleted == 9
    items.assert_equal(["item"])


def test_a_truncate_that_cannot_see_everything_is_told(items: Copies) -> None:
    """In REPEATABLE READ it may remove rows that its view does not hold: capture says so, and `init` clears it for a comparison."""
    items.origin.check_capture()
    with items.writing("BEGIN ISOLATION LEVEL REPEATABLE READ") as app:
        app.execute("SELECT 1")
        items.write("INSERT INTO item VALUES (1, 'unseen')")
        items.carry()
        app.execute("TRUNCATE item")
        app.execute("COMMIT")
    with pytest.raises(PoolpairError, match="truncated") as caught:
        items.origin.check_capture()
    assert caught.value.code is Code.CAPTURE_BROKEN
    assert items.install(items.origin_name) == ("item",)
    items.origin.check_capture()
    items.carry(buckets=items.differences())
    items.assert_equal(["item"])


def test_a_setting_kept_by_a_pooled_connection_hides_nothing(items: Copies) -> None:
    """Whatever an application's connection holds in our setting, its writes are captured: the setting names one transaction."""
    with items.connect() as app:
        for value in ("on", "1", "700"):
            app.execute("SELECT set_config('poolpair.applying', %s, false)", (value,))
            app.execute("INSERT INTO item VALUES (%s, 'x') ON CONFLICT (id) DO UPDATE SET value = 'y'", (len(value),))
            assert items.carry().groups == 1
        app.execute("BEGIN; SELECT set_config('poolpair.applying', pg_current_xact_id()::text, false); COMMIT")
        app.execute("INSERT INTO item VALUES (9, 'next transaction')")
        assert items.carry().groups == 1


def test_who_writes_as_a_replica_is_captured_too(items: Copies) -> None:
    """A superuser's load with session_replication_role = replica fires our triggers like any writer."""
    with items.connect(role="dba") as dba:
        dba.execute("SET session_replication_role = replica")
        dba.execute("INSERT INTO public.item VALUES (1, 'loaded')")
    assert items.carry().groups == 1
    items.assert_equal(["item"])


def test_writes_that_are_not_tracked_wake_nobody(items: Copies) -> None:
    """The hint changes with tracked rows and with documents, not with what else is written on the server, nor with a look."""
    items.write("CREATE TABLE noise (n integer)")
    first = items.origin.hint()
    items.write("INSERT INTO noise VALUES (1)")
    items.cluster.dba("CREATE TABLE IF NOT EXISTS elsewhere (n integer)")
    assert items.origin.hint() == items.origin.hint() == first
    items.write("INSERT INTO item VALUES (1, 'x')")
    second = items.origin.hint()
    assert second != first
    assert items.origin.hint() == second
    with items.origin.transaction() as tx:
        tx.save("x", Counts())
    assert items.origin.hint() != second


def test_a_log_that_nobody_prunes_is_compacted(items: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the partner is away a key costs one entry after a compaction; tokens drawn before still find every change."""
    monkeypatch.setattr(log, "COMPACT_ENTRIES", 20)
    items.write("INSERT INTO item SELECT n, 'row' FROM generate_series(1, 5) n")
    items.carry(prune=False)
    with items.writing() as late:
        late.execute("INSERT INTO item VALUES (6, 'late')")
        for number in range(10):
            items.write(f"UPDATE item SET value = '{number}'")
        items.origin.look(USERS, ("a",), 0)
        items.origin.shorten(USERS)
        with items.connect() as app:
            assert app.execute("SELECT count(*) FROM poolpair.log_1").fetchone() == (5,)
        late.execute("COMMIT")
    assert items.carry().groups == 6
    items.assert_equal(["item"])


def test_a_backend_that_is_killed_leaves_nothing_half_done(items: Copies) -> None:
    """pg_terminate_backend in the middle of a writer's transaction and of a package: the next package brings what was committed."""
    items.write("INSERT INTO item VALUES (1, 'committed')")
    with items.writing() as app:
        app.execute("INSERT INTO item VALUES (2, 'lost')")
        items.cluster.throw_out(items.origin_name)
        with pytest.raises(psycopg.OperationalError):
            app.execute("COMMIT")
    items.carry()
    items.assert_equal(["item"])
    assert items.content("item") == ["(1,committed)"]
