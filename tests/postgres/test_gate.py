"""The gate and the API's answers over a PostgreSQL store, with a real service."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from poolpair.api.answers import Answers
from poolpair.lab.pool import run_command, service_command, wait_for
from poolpair.wiring import open_site
from tests.postgres.server_pair import ServerPair

EDIT = "UPDATE prosody SET value = 'x' WHERE host = 'a.example' AND \"user\" = 'myriel' AND key = 'napoleon@b.example'"
WAIT_S = 30.0


def write(pair: ServerPair) -> str:
    """What the application of a is told: nothing, or why it is refused."""
    try:
        with closing(pair.connect("a")) as connection:
            connection.execute(EDIT)
    except psycopg.Error as error:
        return f"{error.sqlstate} {error}"
    return ""


@contextmanager
def service(pair: ServerPair) -> Iterator[subprocess.Popen[bytes]]:
    """The service of a, alone."""
    log = pair.folder / "a.log"
    with log.open("wb") as out, subprocess.Popen(service_command(pair.toml("a")), stdout=out, stderr=out) as process:
        try:
            wait_for("the service working", lambda: b"works with" in log.read_bytes(), WAIT_S)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def test_nobody_writes_or_is_sent_here_before_an_operator_speaks(pair: ServerPair) -> None:
    """The partner never ran: the catalogue refuses, the answer is no; then both say yes, until the service is dead."""
    with pair.toml("a").open("a") as file:
        file.write('\n[gate]\nat_start = true\nwait = "never"\n')
    config = pair.config("a")
    asked = Answers(lambda: open_site(config), ("a", "b"), "a")
    assert asked.serving("a").why == "no service runs for this pool"
    assert write(pair) == ""
    with service(pair) as process:
        said = write(pair)
        assert (said[:5], "pool b (perhaps)" in said) == ("PP001", True)
        wait_for("the gate being told", lambda: "gate is closed" in asked.serving("a").why, WAIT_S)
        answer = run_command("-c", str(pair.toml("a")), "gate", "open", "--reason", "b was never there", "--yes")
        assert answer.exit_status == 0, answer.talk
        assert write(pair) == ""
        wait_for("a being served", lambda: asked.serving("a").serving, WAIT_S)
        process.kill()
        process.wait(WAIT_S)
        wait_for("nobody being sent", lambda: not asked.serving("a").serving, WAIT_S)
    asked.close()
