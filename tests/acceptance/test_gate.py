"""The gate with real services: closed at the start, closed by silence, opened by a word of the partner or of an operator."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.lab.pool import Pool, wait_for
from tests.acceptance.conftest import running

BUDDY = "UPDATE prosody SET value = 'x' WHERE host = 'a.example' AND user = 'myriel' AND key = 'napoleon@b.example'"
WAIT_S = 40.0


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[tuple[Pool, Pool]]:
    """Two pools after their first copy."""
    with running(tmp_path) as made:
        yield made


def write(pool: Pool) -> str:
    """What the application's own client is told: nothing, or why it is refused."""
    try:
        with pool.sql() as connection:
            connection.execute(BUDDY)
    except sqlite3.IntegrityError as error:
        return str(error)
    return ""


def add(pool: Pool, text: str) -> None:
    """Write more into the pool file."""
    with pool.toml.open("a") as file:
        file.write(text)


@pytest.mark.timeout(240)
def test_a_gate_opens_with_a_word_and_closes_in_silence(pools: tuple[Pool, Pool]) -> None:
    """The partner is dead at the start, an operator speaks for it, it returns, it falls silent, it returns."""
    a, b = pools
    for pool in pools:
        pool.kill()
    log = a.folder / "gate.log"
    script = a.folder / "gate.sh"
    script.write_text(f'#!/bin/sh\necho "$1 $POOLPAIR_HOME" >> {log}\n')
    script.chmod(0o755)
    assert a.run("gate", "close").exit_status == 64
    add(a, f'\n[gate]\nwait = "never"\nself_fence_after = "3s"\n[hooks]\ngate_open = ["{script}", "open"]\n')
    add(a, f'gate_close = ["{script}", "close"]\n')
    a.must("gate", "close")
    assert "pool b (perhaps) serves" in write(a)
    a.start()
    assert "pool b (perhaps) serves" in write(a)
    answer = a.run("status")
    assert "P408" in answer.out or "P407" in answer.out
    a.must("gate", "open", "--reason", "b is in the workshop", "--yes")
    assert write(a) == ""
    assert "b is in the workshop" in a.run("status").out
    wait_for("the application being opened", lambda: log.read_text().endswith("open a\n"), WAIT_S)
    b.start()
    wait_for("the operator's word being forgotten", lambda: a.status()["gate_word"] == "", WAIT_S)
    assert write(a) == ""
    b.kill()
    wait_for("a fencing itself", lambda: "(perhaps)" in write(a), WAIT_S)
    answer = a.run("status")
    assert (answer.exit_status, "P407 closed (silent) until b is heard" in answer.out) == (2, True)
    wait_for("the application being closed", lambda: log.read_text().endswith("close a\n"), WAIT_S)
    b.start()
    wait_for("the fence being lifted", lambda: write(a) == "", WAIT_S)
    wait_for("the application being opened", lambda: log.read_text().endswith("open a\n"), WAIT_S)
    assert set(log.read_text().splitlines()) == {"close a", "close b", "open a"}
