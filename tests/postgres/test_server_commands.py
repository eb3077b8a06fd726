"""The commands on a pool whose store is on PostgreSQL; the service as a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.lab.pool import run_command, service_command, wait_for
from poolpair.server import ServerFailed
from tests.cluster import Cluster
from tests.postgres.server_pair import ServerPair

WAIT_S = 30.0
LOOK_S = 0.1
FEW = 1500
"""More rows than either pool has of its own."""
EDIT = "UPDATE prosody SET value = %s WHERE \"user\" = 'myriel' AND key = 'napoleon@b.example'"


def command(pair: ServerPair, *words: str, pool: str = "a") -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, ["-c", str(pair.toml(pool)), *words])


def with_password(pair: ServerPair) -> None:
    """Put a password into the pool file; this server does not ask for one."""
    text = pair.toml("a").read_text()
    pair.toml("a").write_text(text.replace("postgresql://app@", "postgresql://app:geheim@"))


def test_check_says_ok_line_by_line(pair: ServerPair) -> None:
    """A prepared pool passes every check, with the server's release and the role's privileges."""
    found = command(pair, "check")
    assert found.exit_code == 0, found.output
    assert re.search(
        r"^ok    store: postgresql://app@\S+ is PostgreSQL \d\S* .*, .* and app has its privileges$",
        found.output,
        re.MULTILINE,
    )
    assert "ok    capture: every trigger is there, for 4 entries of the profile" in found.output


def test_a_password_is_never_printed(pair: ServerPair) -> None:
    """Neither settings nor checks nor errors show it, whether the server answers or not."""
    with_password(pair)
    assert pair.cluster is not None
    said = [command(pair, *words) for words in (("config", "show"), ("check",), ("init",), ("status",), ("uninstall",))]
    pair.cluster.drop(pair.databases["a"])
    said += [command(pair, *words) for words in (("check",), ("status",), ("init",), ("run", "--allow-root"))]
    for result in said:
        assert "geheim" not in result.output + str(result.exception)
    assert "P201" in said[-3].output + str(said[-3].exception)


def test_print_sql_is_what_a_dba_can_run(pair: ServerPair) -> None:
    """The printed statements, run by a superuser, give a role that owns nothing all that `init` needs."""
    cluster, database = pair.cluster, "printed"
    assert cluster is not None
    cluster.create(database, pair.databases["a"])
    try:
        text = pair.toml("a").read_text()
        pair.toml("a").write_text(
            text.replace(f"app@/{pair.databases['a']}", f"other@/{database}").replace("prosody_a", "prosody_x")
        )
        cluster.dba(
            "DROP SCHEMA poolpair CASCADE", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO other", database=database
        )
        refused = command(pair, "init")
        assert refused.exit_code
        lacking = command(pair, "check").output
        assert "TRIGGER on public.prosody" in lacking
        printed = command(pair, "init", "--print-sql").output
        with cluster.connect(database, "dba") as connection:
            for statement in printed.split(";\n"):
                if statement.startswith(("CREATE SCHEMA", "GRANT")):
                    connection.execute(statement)
        done = command(pair, "init")
        assert done.exit_code == 0, done.output
        assert "and other has its privileges" in command(pair, "check").output
    finally:
        cluster.drop(database)


def test_uninstall_leaves_nothing(pair: ServerPair) -> None:
    """Schema, triggers and functions go, the application's rows stay; `init` begins anew."""
    assert pair.cluster is not None
    rows = pair.rows("a")
    assert command(pair, "uninstall", "--yes").exit_code == 0
    with pair.connect("a") as connection:
        ours = connection.execute(
            "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'poolpair')"
            " + (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
        ).fetchone()
    assert ours == (0,)
    assert pair.rows("a") == rows
    assert command(pair, "init").exit_code == 0
    assert command(pair, "check").exit_code == 0


class Services:
    """Both services as processes; each is ended by its own process id."""

    def __init__(self, pair: ServerPair) -> None:
        self.pair = pair
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, pool: str) -> None:
        """Start a service; what it says goes to a file."""
        with (self.pair.folder / f"{pool}.log").open("ab") as log:
            self.running[pool] = subprocess.Popen(service_command(self.pair.toml(pool)), stdout=log, stderr=log)

    def end(self, pool: str, how: signal.Signals) -> int:
        """End a service and wait for it."""
        process = self.running.pop(pool)
        process.send_signal(how)
        return process.wait(WAIT_S)

    def wait_equal(self) -> None:
        """Both pools hold the same rows and say that all is done."""
        pair = self.pair
        wait_for("as many rows", lambda: self._count("a") == self._count("b") > FEW, WAIT_S, poll_s=LOOK_S)
        wait_for("equal rows", lambda: pair.rows("a") == pair.rows("b"), WAIT_S, poll_s=LOOK_S)

    def _count(self, pool: str) -> int:
        with self.pair.connect(pool) as connection:
            found = connection.execute("SELECT (SELECT count(*) FROM prosody) + (SELECT count(*) FROM prosodyarchive)")
            (number,) = found.fetchone() or (0,)
        return int(number)

    def edit(self, value: str) -> None:
        """Change a row at a and see it at b."""
        self.pair.run("a", EDIT, value)
        with self.pair.connect("b") as connection:
            query = "SELECT 1 FROM prosody WHERE \"user\" = 'myriel' AND value = %s"
            wait_for(value, lambda: connection.execute(query, (value,)).fetchone(), WAIT_S, poll_s=LOOK_S)


@pytest.fixture
def services(pair: ServerPair) -> Iterator[Services]:
    """Both services, running and equal."""
    for pool in ("a", "b"):
        with pair.toml(pool).open("a") as toml:
            toml.write('[sync]\ninterval = "5s"\nheartbeat_max = "500ms"\n')
    made = Services(pair)
    for pool in ("a", "b"):
        made.start(pool)
    try:
        made.wait_equal()
        yield made
    finally:
        for pool in tuple(made.running):
            made.end(pool, signal.SIGKILL)


def starts(cluster: Cluster) -> bool:
    """Start a killed server anew, as soon as what it left behind has ended."""
    try:
        cluster.start()
    except ServerFailed:
        return False
    return True


def test_services_live_through_kill_9_and_a_restart_of_the_server(services: Services, cluster: Cluster) -> None:
    """A killed service's lease is free at once; a killed server is waited for by both; SIGTERM ends with status 0."""
    pair = services.pair
    services.edit("first")
    services.end("a", signal.SIGKILL)
    services.start("a")
    services.edit("after kill -9")
    assert cluster.postmaster is not None
    os.kill(cluster.postmaster, signal.SIGKILL)
    wait_for("a new start of the server", lambda: starts(cluster), WAIT_S, poll_s=LOOK_S)
    services.edit("after kill -9 of the server")
    cluster.throw_out(pair.databases["a"])
    services.edit("after every connection was cut")
    wait_for("a healthy pair", lambda: run_command("-c", str(pair.toml("a")), "status").exit_status == 0, WAIT_S)
    verified = run_command("-c", str(pair.toml("a")), "verify")
    assert verified.exit_status == 0, verified
    assert services.end("a", signal.SIGTERM) == 0
    assert run_command("-c", str(pair.toml("a")), "status").exit_status == 3
