"""A pool whose own share is away, or takes nothing: its service begins all the same, keeps its gate, and may be ordered to take over."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from poolpair.lab.pool import Pool, wait_for
from poolpair.lab.steps import wait_final
from tests.acceptance.conftest import running

BUDDY = "UPDATE prosody SET value = 'x' WHERE host = 'a.example' AND user = 'myriel' AND key = 'napoleon@b.example'"
WAIT_S = 40.0


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[tuple[Pool, Pool]]:
    """Two pools after their first copy."""
    with running(tmp_path) as made:
        yield made


@contextmanager
def away(pool: Pool) -> Iterator[None]:
    """The pool's own share is not mounted."""
    elsewhere = pool.share.with_name(f"{pool.share.name}.away")
    pool.share.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(pool.share)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder is mounted read-only."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def write(pool: Pool) -> str:
    """What the application's own client is told: nothing, or why it is refused."""
    try:
        with pool.sql() as connection:
            connection.execute(BUDDY)
    except sqlite3.IntegrityError as error:
        return str(error)
    return ""


@pytest.mark.timeout(240)
def test_the_gate_closes_before_the_own_share_is_there(pools: tuple[Pool, Pool]) -> None:
    """The database is there before the file server: nobody is served, and the service waits for its share, then for a word."""
    a, b = pools
    for pool in pools:
        pool.kill()
    with a.toml.open("a") as file:
        file.write("\n[gate]\nat_start = true\n")
    assert write(a) == ""
    with away(a):
        a.start()
        wait_for("the gate being closed", lambda: "pool b (perhaps) serves" in write(a), WAIT_S)
        wait_for("the share being missed", lambda: "users: P211" in a.log.read_text(), WAIT_S)
        b.start()
        wait_for("b hearing nothing", lambda: "P211" in b.run("status").out, WAIT_S)
        assert "pool b (perhaps) serves" in write(a)
        assert "P408" in a.run("status").out
    wait_for("the gate being opened", lambda: write(a) == "", WAIT_S)
    assert "gate: open, b was heard" in a.log.read_text()
    wait_final(a, b)


@pytest.mark.timeout(240)
def test_a_survivor_takes_over_without_its_own_share(pools: tuple[Pool, Pool]) -> None:
    """What stands cannot be read, which is said, and no service runs either; the users are served."""
    _, b = pools
    for pool in pools:
        pool.kill()
    with away(b):
        answer = b.must("failover", "a", "--disaster", "--yes")
        assert "users: what stands cannot be read: P211" in answer.out
        assert "served by pool b" in answer.out
        assert "what stood and could not be read is not in it: users: P211" in answer.out
        assert write(b) == ""


@pytest.mark.timeout(240)
def test_a_front_end_begins_where_its_share_takes_nothing(pools: tuple[Pool, Pool]) -> None:
    """TaskAssignment is for people: that it cannot be written is said once, and it is written when it can."""
    a, b = pools
    task = a.share / "TaskAssignment" / "backup-service.txt"
    a.stop()
    task.write_text("another\n")
    with read_only(a.share):
        service = a.start()
        assert write(a) == ""
        wait_for("it being said", lambda: "housekeeping: P214" in a.log.read_text(), WAIT_S)
        wait_for("a working on", lambda: "users: P214" in a.log.read_text(), WAIT_S)
        assert service.poll() is None
        assert a.log.read_text().count("housekeeping: P214") == 1
    wait_for("the front end being named", lambda: task.read_text() == "fe-a\n", WAIT_S)
    wait_final(a, b)
