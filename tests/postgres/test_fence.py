"""The fence on PostgreSQL, against clients that know nothing of poolpair: plain connections, old views, warm plans, COPY, MERGE."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from psycopg.rows import TupleRow

from poolpair.errors import Code, PoolpairError
from poolpair.homes import home_ranks
from poolpair.model import Channel
from poolpair.server import programs
from poolpair.store.postgres import setup
from poolpair.store.postgres.fencing import WAY_OUT
from poolpair.store.postgres.store import PostgresStore
from poolpair.store.profile_file import parse_profile
from poolpair.testing.clock import VirtualClock
from tests.cluster import Cluster

SCHEMA = """
CREATE TABLE account (host text NOT NULL, "user" text NOT NULL, value text, PRIMARY KEY (host, "user"));
CREATE TABLE item (host text, "user" text, store text, value text);
CREATE TABLE notice (name text PRIMARY KEY, value text);
CREATE TABLE part (host text NOT NULL, n integer NOT NULL, value text, PRIMARY KEY (host, n)) PARTITION BY RANGE (n);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (100) TO (200);
CREATE TABLE child (host text NOT NULL, "user" text NOT NULL, n integer, PRIMARY KEY (host, "user", n),
  FOREIGN KEY (host, "user") REFERENCES account ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TABLE site_local (value text);
"""
PROFILE = parse_profile(
    b"""
[[tables]]
name = "account"
key = ["host", "user"]
home_key = "host"

[[tables]]
name = "item"
key = ["host", "user", "store"]
home_key = "lower(host)"
where = "store <> 'local'"

[[tables]]
name = "notice"
key = ["name"]
home = "shared"

[[tables]]
name = "part"
key = ["host", "n"]
home_key = "host"

[[tables]]
name = "child"
key = ["host", "user", "n"]
home_key = "host"
""",
    "fence",
)
HOMES = (("a.example", "a"), ("*.a.example", "a"), ("b.example", "b"), ("it's_*%.b.example", "b"), ("shared", "b"))
TABLES = "account, item, notice, part, child"
REFUSAL = "the users of pool b are served by pool c now; written here it would be lost (poolpair)"
INSERT = "INSERT INTO account VALUES (%s, %s, 'x')"


class Ground:
    """One prepared database in which the users of b may be refused."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.database = "fence"
        cluster.create(self.database)
        self.run(SCHEMA)
        self.install()
        self.store = self.open()

    def install(self) -> tuple[str, ...]:
        """What `init` does; gives what it put back."""
        homes = [(home.rank, home.pattern, home.pool) for home in home_ranks(HOMES)]
        url = self.cluster.url(self.database)
        return setup.install(url, PROFILE, homes, "settings", 2.0, record=lambda _tx, _done: None).repaired

    def open(self, lock_wait_s: float = 5.0) -> PostgresStore:
        """A handle."""
        return PostgresStore(self.cluster.url(self.database), PROFILE, VirtualClock(), lock_wait_s=lock_wait_s)

    def fence(self, **refused: str) -> None:
        """What the service does."""
        with self.store.transaction(fencing=True) as tx:
            tx.fence(refused)

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[TupleRow]:
        """The application's connection."""
        return self.cluster.connect(self.database, autocommit=autocommit)

    def run(self, *statements: str) -> None:
        """Each statement in a transaction of its own."""
        with closing(self.connect()) as connection:
            for statement in statements:
                connection.execute(statement)

    def number(self, query: str) -> int:
        """The answer to a query."""
        with closing(self.connect()) as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Drop the database."""
        self.store.close()
        self.cluster.drop(self.database)


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Iterator[Ground]:
    """One prepared database for every test of this file."""
    made = Ground(cluster)
    yield made
    made.close()


@pytest.fixture
def ground(prepared: Ground) -> Ground:
    """Empty tables; nothing is refused yet."""
    prepared.store.close()
    prepared.store = prepared.open()
    prepared.fence()
    prepared.run(f"TRUNCATE {TABLES}")
    return prepared


@contextmanager
def refused() -> Iterator[None]:
    """What is done inside is refused by the fence."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == ("PP001", REFUSAL)


def test_it_refuses_every_statement_that_touches_a_refused_row_and_no_other(ground: Ground) -> None:
    """Inserts, updates and deletes, by whatever name and in bulk; rows of served homes, of none and site-local ones pass."""
    ground.run(
        "INSERT INTO account VALUES ('a.example', 'u', '1'), ('b.example', 'u', '1')",
        "INSERT INTO item VALUES ('B.Example', 'u', 's', '1'), ('B.Example', 'u', 'local', '1'), (NULL, NULL, NULL, NULL)",
        "INSERT INTO notice VALUES ('n', '1')",
        "INSERT INTO part VALUES ('b.example', 1, '1'), ('b.example', 101, '1'), ('a.example', 1, '1')",
        "INSERT INTO child VALUES ('b.example', 'u', 1)",
    )
    ground.fence(b="c")
    for statement in (
        "INSERT INTO account VALUES ('b.example', 'v', '1')",
        "INSERT INTO account VALUES ('a.example', 'v', '1'), ('b.example', 'v', '1')",
        "INSERT INTO account VALUES ('b.example', 'u', '2') ON CONFLICT (host, \"user\") DO UPDATE SET value = '2'",
        "INSERT INTO account VALUES ('it''s_x%.b.example', 'v', '1')",
        "UPDATE account SET value = '2'",
        "UPDATE account SET host = 'b.example', \"user\" = 'w' WHERE host = 'a.example'",
        "UPDATE account SET host = 'a.example', \"user\" = 'w' WHERE host = 'b.example'",
        "DELETE FROM account",
        "MERGE INTO account t USING (VALUES ('b.example')) s(x) ON t.value = 'no' WHEN NOT MATCHED THEN INSERT VALUES (s.x, 'm', 'm')",
        "MERGE INTO account t USING (VALUES ('b.example')) s(host) ON t.host = s.host WHEN MATCHED THEN UPDATE SET value = 'm'",
        "MERGE INTO account t USING (VALUES ('b.example')) s(host) ON t.host = s.host WHEN MATCHED THEN DELETE",
        "WITH w AS (INSERT INTO account VALUES ('b.example', 'v', '1') RETURNING 1) SELECT * FROM w",
        "UPDATE item SET value = '2' WHERE store = 's'",
        "INSERT INTO notice VALUES ('m', '1')",
        "UPDATE part SET value = '2' WHERE host = 'b.example'",
        "UPDATE part SET n = n + 150 WHERE host = 'b.example' AND n = 1",
        "INSERT INTO part_low VALUES ('b.example', 2, '1')",
        "DELETE FROM part_high",
        "DELETE FROM child",
    ):
        with refused():
            ground.run(statement)
    ground.run(
        "INSERT INTO account VALUES ('a.example', 'v', '1'), ('x.a.example', 'v', '1'), ('nobody.example', 'v', '1')",
        "INSERT INTO account VALUES ('its_x%.b.example', 'v', '1')",
        "UPDATE account SET value = '2' WHERE host <> 'b.example'",
        "UPDATE item SET value = '2' WHERE store = 'local' OR store IS NULL",
        "INSERT INTO part VALUES ('a.example', 102, '1')",
        "UPDATE part SET n = n + 100 WHERE host = 'a.example' AND n = 1",
        "INSERT INTO site_local VALUES ('x')",
        "UPDATE account SET value = '3' WHERE host = 'gone'",
        "DELETE FROM account WHERE host = 'a.example'",
    )
    ground.fence()
    ground.run("UPDATE account SET value = '2'", "DELETE FROM child", "TRUNCATE notice")


def test_it_may_say_that_nobody_knows_who_serves(ground: Ground) -> None:
    """While the gate is closed the partner is named with a doubt; that is no pool's name, and no word of SQL."""
    ground.fence(b="c (perhaps)")
    with pytest.raises(psycopg.Error, match=r"served by pool c \(perhaps\) now"):
        ground.run("INSERT INTO account VALUES ('b.example', 'v', '1')")
    ground.fence()


def _copy(cursor: psycopg.Cursor[TupleRow], rows: list[tuple[str, str, str]]) -> None:
    with cursor.copy("COPY account FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def test_copy_of_many_rows_with_one_refused_leaves_none(ground: Ground) -> None:
    """COPY is one statement: one refused row refuses all of it."""
    ground.fence(b="c")
    rows = [("b.example" if n == 300 else "a.example", f"u{n}", "x") for n in range(500)]
    with closing(ground.connect()) as connection, connection.cursor() as cursor, refused():
        _copy(cursor, rows)
    assert ground.number("SELECT count(*) FROM account") == 0


def test_truncate_is_refused_while_refused_rows_are_there(ground: Ground) -> None:
    """With the partner's rows it would take away what it does not own; without any it is the application's own affair."""
    ground.run("INSERT INTO item VALUES ('a.example', 'u', 's', '1'), ('b.example', 'u', 's', '1')")
    ground.run("INSERT INTO part VALUES ('b.example', 101, '1')")
    ground.fence(b="c")
    for table in ("item", "part", "part_high"):
        with refused():
            ground.run(f"TRUNCATE {table}")
    ground.run("TRUNCATE part_low", "TRUNCATE account CASCADE")
    ground.fence()
    ground.run("DELETE FROM item WHERE host = 'b.example'")
    ground.fence(b="c")
    ground.run("TRUNCATE item")
    assert ground.number("SELECT count(*) FROM item") == 0


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_whose_view_is_older_than_the_fence_meets_it(ground: Ground, isolation: str) -> None:
    """It has read before the fence, and even used its plans; its first write comes later and is refused, whatever it sees."""
    with closing(ground.connect()) as old, closing(ground.connect()) as unplanned:
        for connection in (old, unplanned):
            connection.execute(f"BEGIN ISOLATION LEVEL {isolation}")
            connection.execute("SELECT count(*) FROM account")
        ground.fence(b="c")
        with refused():
            old.execute(INSERT, ("b.example", "u"))
        old.execute("ROLLBACK")
        unplanned.execute(INSERT, ("a.example", "u"))
        unplanned.execute("COMMIT")


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_warm_plan_meets_the_fence(ground: Ground, mode: str) -> None:
    """A statement prepared and run many times before the fence, and a function with plans of its own, ask the new function."""
    ground.run(
        "CREATE OR REPLACE FUNCTION add(host text, name text) RETURNS void LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO account VALUES (host, name, 'x'); END $$"
    )
    with closing(ground.connect()) as warm:
        warm.execute(f"SET plan_cache_mode = {mode}")
        warm.execute("PREPARE put (text, text) AS INSERT INTO account VALUES ($1, $2, 'x')")
        for n in range(10):
            warm.execute(f"EXECUTE put ('b.example', 'warm{n}')")
            warm.execute(f"SELECT add('b.example', 'function{n}')")
        ground.fence(b="c")
        for call in ("EXECUTE put ('b.example', 'late')", "SELECT add('b.example', 'late')"):
            with refused():
                warm.execute(call)
        warm.execute("EXECUTE put ('a.example', 'late')")
        ground.fence()
        warm.execute("EXECUTE put ('b.example', 'later')")


def test_writes_at_commit_meet_the_fence(ground: Ground) -> None:
    """A deferred trigger writes when its transaction commits, which may be long after the statement that made it run."""
    ground.run(
        "CREATE TABLE wish (host text)",
        "CREATE FUNCTION grant_wish() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO account VALUES (NEW.host, 'wish', 'x'); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER wishes AFTER INSERT ON wish DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION grant_wish()",
    )
    with closing(ground.connect()) as late:
        late.execute("BEGIN")
        late.execute("INSERT INTO wish VALUES ('b.example')")
        ground.fence(b="c")
        with refused():
            late.execute("COMMIT")
    assert ground.number("SELECT count(*) FROM account") == 0


def test_a_savepoint_lets_the_rest_of_a_transaction_stand(ground: Ground) -> None:
    """A refused statement is an error like any other."""
    ground.fence(b="c")
    with closing(ground.connect(autocommit=False)) as connection:
        connection.execute(INSERT, ("a.example", "u"))
        connection.execute("SAVEPOINT s")
        with refused():
            connection.execute(INSERT, ("b.example", "u"))
        connection.execute("ROLLBACK TO SAVEPOINT s")
        connection.commit()
    assert ground.number("SELECT count(*) FROM account") == 1


def _in_background(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def _wait_for_lock(ground: Ground, waiting: threading.Thread) -> None:
    """Until a connection waits for a lock of a table, on behalf of a thread."""
    with closing(ground.cluster.connect("postgres", "dba")) as looking:
        waits = (
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE NOT l.granted AND l.locktype = 'relation' AND d.datname = %s"
        )
        while looking.execute(waits, (ground.database,)).fetchone() == (0,):
            assert waiting.is_alive(), "it waited for nobody"


def test_it_waits_for_who_writes_and_sees_what_they_wrote(ground: Ground) -> None:
    """A transaction that passed before the fence is waited for; it is in the log and in the table of the transaction that fences."""
    seen: list[int] = []
    with ground.store.transaction() as tx:
        token = tx.advance()

    def fence() -> None:
        with ground.store.transaction(fencing=True) as tx:
            tx.fence({"b": "c"})
            seen.append(tx.spool(1, Channel.USERS, "b", token))
            tx.forget_spool(1, Channel.USERS)

    with closing(ground.connect()) as writer:
        writer.execute("BEGIN")
        writer.execute(INSERT, ("b.example", "before"))
        fencing = _in_background(fence)
        _wait_for_lock(ground, fencing)
        writer.execute(INSERT, ("b.example", "meanwhile"))
        writer.execute("COMMIT")
        fencing.join(timeout=30)
        with refused():
            writer.execute(INSERT, ("b.example", "after"))
    assert seen == [2]


def test_who_waits_behind_the_fence_meets_it(ground: Ground) -> None:
    """A writer whose statement was given before the fence committed, and waited for it, is refused."""
    refusals: list[str | None] = []

    def write() -> None:
        with closing(ground.connect()) as connection:
            try:
                connection.execute(INSERT, ("b.example", "u"))
            except psycopg.Error as error:
                refusals.append(error.sqlstate)

    with ground.store.transaction(fencing=True) as tx:
        tx.fence({"b": "c"})
        writer = _in_background(write)
        _wait_for_lock(ground, writer)
    writer.join(timeout=30)
    assert refusals == ["PP001"]


def test_a_writer_that_stays_is_said_and_nothing_is_left_behind(ground: Ground) -> None:
    """STORE_LOCKED; neither lock, fence nor document stays, and the next attempt works."""
    impatient = ground.open(lock_wait_s=0.05)
    with closing(ground.connect()) as writer:
        writer.execute("BEGIN")
        writer.execute(INSERT, ("b.example", "u"))
        with pytest.raises(PoolpairError) as caught, impatient.transaction(fencing=True) as tx:
            tx.fence({"b": "c"})
        assert caught.value.code is Code.STORE_LOCKED
        ground.run("INSERT INTO account VALUES ('b.example', 'other', 'x')")
        writer.execute("COMMIT")
    with impatient.transaction(fencing=True) as tx:
        tx.fence({"b": "c"})
    with refused():
        ground.run("INSERT INTO account VALUES ('b.example', 'late', 'x')")
    impatient.close()


def test_a_failed_transaction_leaves_the_old_fence(ground: Ground) -> None:
    """The fence is as much part of its transaction as what is noted beside it."""
    ground.fence(b="c")

    def fail() -> None:
        with ground.store.transaction(fencing=True) as tx:
            tx.fence({"a": "c"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    ground.run("INSERT INTO account VALUES ('a.example', 'u', 'x')")
    with refused():
        ground.run("INSERT INTO account VALUES ('b.example', 'u', 'x')")
    assert ground.store.check_capture() == ""


def test_a_prepared_transaction_is_a_writer_too(ground: Ground) -> None:
    """Two-phase commit: what was prepared before the fence may commit at any time, so it is waited for."""
    impatient = ground.open(lock_wait_s=0.05)
    with closing(ground.connect()) as writer:
        writer.execute("BEGIN")
        writer.execute(INSERT, ("b.example", "u"))
        writer.execute("PREPARE TRANSACTION 'fence'")
        with pytest.raises(PoolpairError) as caught, impatient.transaction(fencing=True):
            pass
        assert caught.value.code is Code.STORE_LOCKED
        writer.execute("COMMIT PREPARED 'fence'")
    ground.fence(b="c")
    impatient.close()


def test_a_writer_that_crosses_the_locks_goes_on(ground: Ground) -> None:
    """It writes the last table, then the first, while the fence has locked the first: it is never the one that is sacrificed."""
    failures: list[BaseException] = []

    def fence() -> None:
        try:
            ground.fence(b="c")
        except BaseException as error:  # told by the test
            failures.append(error)

    with closing(ground.connect()) as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO part VALUES ('a.example', 1, 'x')")
        fencing = _in_background(fence)
        _wait_for_lock(ground, fencing)
        writer.execute(INSERT, ("a.example", "u"))
        writer.execute("COMMIT")
    fencing.join(timeout=30)
    assert not failures
    with refused():
        ground.run("INSERT INTO account VALUES ('b.example', 'u', 'x')")


def test_psql_is_refused_in_words(ground: Ground) -> None:
    """What a person sees who tries by hand."""
    ground.fence(b="c")
    statement = "INSERT INTO account VALUES ('b.example', 'u', 'x')"
    told = subprocess.run(
        [programs() / "psql", ground.cluster.url(ground.database), "-X", "-v", "VERBOSITY=verbose", "-c", statement],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert f"ERROR:  PP001: {REFUSAL}" in told.stderr


def test_the_way_out_opens_the_fence_and_is_not_forgotten(ground: Ground) -> None:
    """The two lines of the function's comment let everything be written; capture says so until `init` closes the fence again."""
    ground.fence(b="c")
    assert ground.store.check_capture() == ""
    with closing(ground.connect()) as connection:
        row = connection.execute("SELECT obj_description('poolpair.refused(text)'::regprocedure)").fetchone()
        assert row is not None
        assert row[0].endswith(WAY_OUT)
        connection.execute(WAY_OUT)
        connection.execute(INSERT, ("b.example", "u"))
    with pytest.raises(PoolpairError) as caught:
        ground.store.check_capture()
    assert caught.value.code is Code.CAPTURE_BROKEN
    assert "poolpair.refused" in str(caught.value)
    assert ground.install() == ("poolpair.refused",)
    with refused():
        ground.run("INSERT INTO account VALUES ('b.example', 'v', 'x')")
    assert ground.store.check_capture() == ""


@pytest.mark.parametrize("function", ["refused(text)", "refuse(text, boolean)", "home_of(text)", "shared_home()"])
def test_a_function_that_is_gone_is_told(ground: Ground, function: str) -> None:
    """Writes fail loudly without it, and capture names it; `init` puts it back."""
    ground.fence(b="c")
    ground.run(f"DROP FUNCTION poolpair.{function}")
    with pytest.raises(PoolpairError) as caught:
        ground.store.check_capture()
    assert caught.value.code is Code.CAPTURE_BROKEN
    assert ground.install() == (f"poolpair.{function.partition('(')[0]}",)
    with refused():
        ground.run("INSERT INTO account VALUES ('b.example', 'v', 'x')")


def test_a_role_without_privileges_of_ours_writes_and_is_refused(ground: Ground) -> None:
    """The application may use another role than the service: it needs its tables only, and cannot touch the fence."""
    ground.run("GRANT INSERT ON account TO other")
    ground.fence(b="c")
    with closing(ground.cluster.connect(ground.database, "other")) as other:
        other.execute(INSERT, ("a.example", "u"))
        with refused():
            other.execute(INSERT, ("b.example", "u"))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(WAY_OUT)


def test_the_fence_stands_after_init_and_in_a_new_session(ground: Ground) -> None:
    """`init` again, with nothing amiss, changes nothing."""
    ground.fence(b="c")
    assert ground.install() == ()
    with refused():
        ground.run("INSERT INTO account VALUES ('b.example', 'u', 'x')")
    ground.fence(b="c")
    assert ground.store.check_capture() == ""
