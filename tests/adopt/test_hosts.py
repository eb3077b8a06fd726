"""The commands that hooks of the gate run, on a real Prosody over SQLite: who is served, what is forgotten, what is refused."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.adopt.sites import QUICK, Machine

SQLITE = '{ driver = "SQLite3" }'
HOSTS = {"a.example", "rooms.a.example", "share.a.example"}
ROOM = "team@rooms.a.example"
DATA = "FROM prosody WHERE host = 'rooms.a.example' AND key = '_data'"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    """Two adopted sites on SQLite, both prepared; Prosody runs at a, no service does."""
    folder = tmp_path_factory.mktemp("hosts")
    made = {pool: Machine(pool, folder, SQLITE) for pool in ("a", "b")}
    try:
        for machine in made.values():
            machine.make()
            machine.start("prosody")  # it makes its database
            machine.set_password("user", f"{machine.pool}.example", "x")
            machine.stop("prosody")
        a, b = made["a"], made["b"]
        for machine, other in ((a, b), (b, a)):
            (machine.root / "srv/poolpair" / machine.pool).mkdir(parents=True)
            (machine.root / "etc/poolpair").mkdir()
            (machine.root / "var/lib/poolpair").mkdir()
            key = machine.root / "etc/poolpair/pair.key"
            if machine is a:
                assert machine.run("poolpair key new /etc/poolpair/pair.key").status == 0
            else:
                key.write_bytes((a.root / "etc/poolpair/pair.key").read_bytes())
                key.chmod(0o600)
            names = f"--pool {machine.pool} --partner-pool {other.pool} --partner-config {other.config}"
            done = machine.run(f"poolpair adopt prosody {names} --to /etc/poolpair")
            assert done.status == 0, done.text
            with machine.toml.open("a") as toml:
                toml.write(QUICK)
        for machine in made.values():
            with machine.config.open("a") as config:
                config.write(f'Include "{machine.root}/etc/poolpair/poolpair.cfg.lua"\n')
            done = machine.run(f"poolpair -c {machine.toml} init")
            assert done.status == 0, done.text
        a.start("prosody")
        yield made
    finally:
        for machine in made.values():
            machine.tear_down()


@pytest.fixture
def a(machines: dict[str, Machine]) -> Machine:
    """The site where Prosody runs."""
    if "prosody" not in machines["a"].processes:
        machines["a"].start("prosody")
    return machines["a"]


def active(machine: Machine) -> set[str]:
    """The hosts that Prosody serves, but for its own."""
    said = machine.run("prosodyctl shell host list")
    assert said.status == 0, said.text
    return {word for word in said.text.split() if word.endswith(".example")}


def told(machine: Machine, verb: str, home: str, epoch: int) -> str:
    """What the command printed, which went well."""
    done = machine.run(f"poolpair -c {machine.toml} prosody {verb} {home} --epoch {epoch}")
    assert done.status == 0, done.text
    return done.text


def lua(machine: Machine, code: str) -> str:
    """A word of the running server."""
    done = machine.run(f"prosodyctl shell '> {code}'")
    assert done.status == 0, done.text
    return done.text.rpartition("Result: ")[2].strip()


def test_a_pools_hosts_are_served_and_served_no_more(a: Machine) -> None:
    """Those of the home that is meant, rooms and uploads with their domain; a repetition leaves them alone."""
    assert active(a) == set()
    assert "a.example activated" in told(a, "activate", "a", 2)
    assert active(a) == HOSTS
    assert a.serves("a.example")
    mark = lua(a, 'prosody.hosts["a.example"].mark = "left alone"; return true')
    assert mark == "true"
    again = told(a, "activate", "a", 2)
    assert all(f"{host} is active already" in again for host in HOSTS)
    assert lua(a, 'return prosody.hosts["a.example"].mark') == "left alone"
    told(a, "activate", "a", 4)
    assert lua(a, 'return prosody.hosts["a.example"].mark') == "nil", "others served it meanwhile"
    told(a, "deactivate", "a", 4)
    assert active(a) == set()
    assert "a.example was not active" in told(a, "deactivate", "a", 5)
    assert "host-unknown" in a.answer("a.example")
    assert "b.example activated" in told(a, "activate", "b", 1)
    assert "a.example" not in active(a)
    told(a, "deactivate", "b", 2)


def test_a_room_is_not_written_over_what_came_meanwhile(a: Machine) -> None:
    """What a live room remembers is forgotten before its host is activated anew: neither shown, nor written back."""
    told(a, "activate", "a", 6)
    muc = 'local m = prosody.hosts["rooms.a.example"].modules.muc;'
    name = f'{muc} return m.get_room_from_jid("{ROOM}"):get_name()'
    lua(
        a,
        f'{muc} local r = m.create_room("{ROOM}"); r:set_persistent(true); r:set_name("ours"); r:save(true); return true',
    )
    with closing(sqlite3.connect(a.root / "var/lib/prosody/prosody.sqlite", timeout=10)) as rows:
        (value,) = rows.execute(f"SELECT value {DATA}").fetchone()
        with rows:
            rows.execute("DELETE FROM poolpair_fence")  # as an apply does, which the fence does not ask
            rows.execute(
                f"UPDATE prosody SET value = ? {DATA[13:]}", (json.dumps(json.loads(value) | {"name": "theirs"}),)
            )
        assert lua(a, name) == "ours", "Prosody does not look again by itself"
        told(a, "activate", "a", 8)
        assert lua(a, name) == "theirs"
        told(a, "deactivate", "a", 8)
        (value,) = rows.execute(f"SELECT value {DATA}").fetchone()
    assert json.loads(value)["name"] == "theirs"


def test_a_prosody_that_does_not_run(a: Machine) -> None:
    """It serves nobody, which is all that a closing gate wants; to open it is an error that is tried again."""
    a.stop("prosody", signal.SIGKILL)
    assert "Prosody does not run: nothing is served" in told(a, "deactivate", "a", 2)
    done = a.run(f"poolpair -c {a.toml} prosody activate a")
    assert done.status == 64
    assert "P109: Prosody does not run: nobody answers at" in done.text


def test_what_is_refused(a: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that is neither, a pool file without Prosody, a configuration that cannot be read, a Prosody that is not installed."""
    done = a.run(f"poolpair -c {a.toml} prosody activate c")
    assert (done.status, "P105: 'c' is neither pool of this pair (a and b)" in done.text) == (64, True)
    without = tmp_path / "without.toml"
    text = a.toml.read_text()
    without.write_text(text.replace("[application]", "").replace(f'prosody = "{a.config}"', ""))
    done = a.run(f"poolpair -c {without} prosody activate a")
    assert "P101" in done.text
    assert "application.prosody is missing" in done.text
    broken = tmp_path / "broken.cfg.lua"
    broken.write_text("while true do end x = ")
    without.write_text(text.replace(f'prosody = "{a.config}"', f'prosody = "{broken}"'))
    done = a.run(f"poolpair -c {without} prosody activate a")
    assert (done.status, "P108" in done.text) == (64, True)
    done = a.run(f"poolpair -c {without} check")
    assert done.status == 2
    assert f"FAIL  prosody: P108 {broken} cannot be evaluated" in done.text
    (tmp_path / "lua5.4").symlink_to("/usr/bin/lua5.4")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = a.run(f"poolpair -c {a.toml} prosody activate a")
    assert "P109: prosodyctl cannot be run: No such file or directory" in done.text
    (tmp_path / "lua5.4").unlink()
    done = a.run(f"poolpair -c {a.toml} prosody activate a")
    assert "P108: neither of lua5.4 and lua5.3 is installed here" in done.text


def test_check_knows_prosody(a: Machine) -> None:
    """One line for each thing, in a pool that is in order; what is changed afterwards is found."""
    done = a.run(f"poolpair -c {a.toml} check")
    mine = [line for line in done.text.splitlines() if line.split()[1].startswith("prosody")]
    assert mine
    assert all(line.startswith("ok    prosody ") for line in mine), done.text
    for words in (
        "prosody storage: sql for every store of 6 hosts",
        "prosody database: to know: SQLite has one writer",
        "prosody start: none of 6 hosts is served before the service says so",
        f"prosody socket: Prosody answers at {a.root}/var/lib/prosody/prosody.sock",
        "prosody.sqlite is in WAL mode",
        f"prosody database: it is the store of the pool file: {a.root}/var/lib/prosody/prosody.sqlite",
        "prosody version: Prosody 0.12.",
    ):
        assert any(words in line for line in mine), words
    text = a.toml.read_text()
    try:
        a.toml.write_text(text.replace("\nwatch ", "\n# watch "))
        done = a.run(f"poolpair -c {a.toml} check")
    finally:
        a.toml.write_text(text)
    assert done.status == 2
    assert "FAIL  prosody hooks: P109 a Prosody that is restarted is not told whom to serve" in done.text
    text = a.config.read_text()
    try:
        a.config.write_text(
            text + 'VirtualHost "a.example"\n    enabled = true\n    storage = { archive = "memory" }\n'
        )
        done = a.run(f"poolpair -c {a.toml} check")
    finally:
        a.config.write_text(text)
    assert done.status == 2
    assert "FAIL  prosody start: P109 a.example: served as soon as Prosody starts" in done.text
    assert 'FAIL  prosody storage: P109 the store archive of a.example is kept by "memory"' in done.text
