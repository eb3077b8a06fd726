"""Three front ends of one pool as real processes: one works, two stand by; whatever becomes of it, another goes on within seconds."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from poolpair.errors import Code, PoolpairError
from poolpair.lab.pool import run_command, service_command, wait_for
from poolpair.store.postgres.database import Database
from poolpair.store.postgres.lease import PostgresLease
from poolpair.wiring import open_site
from tests.postgres.server_pair import ServerPair

WAIT_S = 60.0
_NUMBER = count(1)


@dataclass
class FrontEnd:
    """One server of pool a, and what it says."""

    name: str
    toml: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start its service, whatever it then does."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                service_command(self.toml), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def says(self) -> str:
        """Everything until now."""
        return self.log.read_text() if self.log.exists() else ""

    def send(self, number: int) -> None:
        """A signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> None:
        """End it for good."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def make(pair: ServerPair, pool: str, name: str) -> FrontEnd:
    """A server of a pool: the pool file as every server of it has it, with a name and a folder of its own."""
    text = pair.toml(pool).read_text()
    text = text.replace(f'front_end = "fe-{pool}"', f'front_end = "{name}"')
    text = text.replace(f"/scratch-{pool}", f"/scratch-{name}")
    toml = pair.folder / f"{name}.toml"
    toml.write_text(text)
    return FrontEnd(name, toml, pair.folder / f"{name}.log")


@dataclass
class Deployment:
    """Pool a with three servers, pool b with one."""

    pair: ServerPair
    servers: dict[str, FrontEnd]
    partner: FrontEnd

    def at_work(self) -> str:
        """The front end that the share names; empty if it names none."""
        path = self.pair.folder / "share-a" / "TaskAssignment" / "backup-service.txt"
        return path.read_text().strip() if path.exists() else ""

    def holder(self) -> str:
        """The one that status names."""
        found = run_command("-c", str(self.pair.toml("a")), "status", "--json").data
        return str(found["front_end"]) if found["service_running"] else ""

    def edit(self) -> str:
        """A row of a's users is changed; gives its value."""
        value = f"edit {next(_NUMBER)}"
        self.pair.run(
            "a",
            "UPDATE prosody SET value = $1 WHERE \"user\" = 'myriel' AND key = 'nickname'".replace("$1", "%s"),
            value,
        )
        return value

    def arrives(self, value: str) -> None:
        """It is at b."""
        query = "SELECT count(*) FROM prosody WHERE value = %s"

        def there() -> bool:
            with self.pair.connect("b") as connection:
                found = connection.execute(query, (value,)).fetchone()
            return found is not None and found[0] > 0

        wait_for(f"{value} at b", there, WAIT_S)


@pytest.fixture
def deployment(pair: ServerPair) -> Iterator[Deployment]:
    """All running, fe1 at work."""
    made = Deployment(pair, {name: make(pair, "a", name) for name in ("fe1", "fe2", "fe3")}, make(pair, "b", "feb"))
    with pair.connect("a") as connection:
        connection.execute("INSERT INTO prosody VALUES ('a.example', 'myriel', 'test', 'nickname', 'string', 'before')")
    everybody = [*made.servers.values(), made.partner]
    try:
        made.partner.start()
        for front_end in made.servers.values():
            front_end.start()
            wait_for("fe1 at work", lambda: made.at_work() == "fe1", WAIT_S)
        made.arrives(made.edit())
        yield made
    finally:
        for front_end in everybody:
            front_end.end()


def stands_by(front_end: FrontEnd, for_whom: str) -> bool:
    """What it said last of it."""
    last = [line for line in front_end.says().splitlines() if "stands by" in line or "works with" in line][-1:]
    return any(f"front end {for_whom} works" in line for line in last)


@pytest.mark.timeout(240)
def test_whatever_becomes_of_a_front_end_another_goes_on(deployment: Deployment) -> None:
    """Killed; stopped where it stood, and woken again; ended as it should be: rows go on arriving, and nobody disturbs."""
    servers = deployment.servers
    wait_for("both standing by", lambda: all(stands_by(servers[name], "fe1") for name in ("fe2", "fe3")), WAIT_S)

    shown = run_command("-c", str(deployment.pair.toml("a")), "status", "--json").data
    assert (shown["front_end"], shown["standing_by"]) == ("fe1", ["fe2", "fe3"])

    servers["fe1"].send(signal.SIGKILL)
    deployment.arrives(deployment.edit())
    second = deployment.at_work()
    assert second in {"fe2", "fe3"}
    assert deployment.holder() == second
    third = ({"fe2", "fe3"} - {second}).pop()

    servers[second].send(signal.SIGSTOP)
    deployment.arrives(deployment.edit())
    assert (deployment.at_work(), deployment.holder()) == (third, third)
    servers[second].send(signal.SIGCONT)
    wait_for("the woken one standing by", lambda: stands_by(servers[second], third), WAIT_S)
    deployment.arrives(deployment.edit())
    assert deployment.at_work() == third

    servers[third].send(signal.SIGTERM)
    process = servers[third].process
    assert process is not None
    assert process.wait(WAIT_S) == 0
    deployment.arrives(deployment.edit())
    assert deployment.at_work() == second
    assert process.pid != os.getpid()


@pytest.mark.timeout(240)
def test_one_that_stands_still_in_its_transaction_holds_nobody_up(deployment: Deployment) -> None:
    """Frozen while it waits in the middle of its own writing, with the pool's turn: another ends that, and goes on."""
    servers, pair = deployment.servers, deployment.pair
    with pair.connect("a", autocommit=False) as application:
        application.execute("LOCK TABLE poolpair.document IN ACCESS EXCLUSIVE MODE")  # what it needs next, it waits for
        waiting = (
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE NOT l.granted AND a.application_name LIKE 'poolpair lease %'"
        )

        def waits() -> bool:
            with pair.connect("a") as connection:
                found = connection.execute(waiting).fetchone()
            return found is not None and found[0] > 0

        deployment.edit()
        wait_for("it waiting", waits, WAIT_S)
        servers["fe1"].send(signal.SIGSTOP)
    deployment.arrives(deployment.edit())
    assert deployment.at_work() in {"fe2", "fe3"}
    servers["fe1"].send(signal.SIGCONT)
    wait_for("the woken one standing by", lambda: stands_by(servers["fe1"], deployment.at_work()), WAIT_S)


def test_a_command_that_keeps_services_away_is_not_taken_for_a_dead_one(pair: ServerPair) -> None:
    """It has the lock without a number, as while the store is prepared anew; who wants to work meanwhile is told so."""
    config = pair.config("a")
    at_work, other = open_site(config), open_site(config)
    at_work.store.take_lease("one", "one")
    at_work.store.release_lease()
    database = Database(config.store, 1.0)
    with PostgresLease(database, at_work.clock).kept_free():
        with pytest.raises(PoolpairError) as refused:
            other.store.take_lease("two", "two")
        assert refused.value.code is Code.LEASE
        assert database.number("SELECT 1") == 1
    other.store.take_lease("two", "two")
    for site in (at_work, other):
        site.store.close()
    database.close()


def test_a_second_service_of_the_same_front_end_is_refused(deployment: Deployment) -> None:
    """By mistake started twice on one server, it says so and ends."""
    done = subprocess.run(
        service_command(deployment.servers["fe1"].toml), capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode != 0
    assert "P401" in done.stderr
