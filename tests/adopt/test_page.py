"""docs/prosody.md, played: every command of it on two machines with real Prosody servers, and what users see after it."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from poolpair.lab.waiting import NotSeen, wait_for
from tests.adopt.sites import QUICK, Machine, Said
from tests.cluster import Cluster

PAGE = Path(__file__).parents[2] / "docs" / "prosody.md"
SEEN_S = 20.0


@pytest.fixture
def machines(cluster: Cluster, tmp_path: Path) -> Iterator[dict[str, Machine]]:
    """Two sites on PostgreSQL that know nothing of each other; both Prosody servers run, each with a user."""
    made = {}
    for pool in ("a", "b"):
        cluster.create(f"page_{pool}")
        sql = f'{{ driver = "PostgreSQL", database = "page_{pool}", username = "app", password = "pa:ss", host = "{cluster.socket}" }}'
        made[pool] = Machine(pool, tmp_path, sql)
        made[pool].make()
    try:
        for pool, user in (("a", "alice"), ("b", "bob")):
            made[pool].start("prosody")
            made[pool].set_password(user, f"{pool}.example", "first")
        yield made
    finally:
        for machine in made.values():
            machine.tear_down()


class Reader:
    """Takes the page's commands one after the other."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self.text = PAGE.read_text()
        self.said = ""
        self.given = 0
        for path, unit in re.findall(r"^`(/\S+)`[^\n]*\n\n```ini\n(.*?)```", self.text, re.MULTILINE | re.DOTALL):
            for pool, machine in machines.items():
                Path(machine.here(path)).write_text(unit.replace("a.toml", f"{pool}.toml"))

    def sections(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Each heading with its commands, and where each is given."""
        for section in self.text.split("\n## ")[1:]:
            title, _, body = section.partition("\n")
            commands, where = [], ""
            for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL):
                for line in () if kind else block.splitlines():
                    if at := re.fullmatch(r"# at (a|b|both)", line):
                        where = at[1]
                    else:
                        assert where
                        commands += [(pool, line) for pool in (("a", "b") if where == "both" else (where,))]
            yield title, commands

    def give(self, pool: str, command: str) -> None:
        """One command on one machine. It must end well."""
        machine = self.machines[pool]
        words = shlex.split(command)
        done = Said(0, "")
        if words[0] == "systemctl":
            self._supervise(machine, words[1:])
        elif words[0] == "scp":
            self._copy(machine, words[1:])
        elif words[:2] == ["apt-get", "install"]:
            done = machine.run(shlex.join(["dpkg", "--status", *words[2:]]))
        elif words[0] == "echo":
            done = machine.run(shlex.join(["sh", "-c", machine.here(command)]))
        elif words[0] == "chown":
            assert Path(machine.here(words[-1])).is_dir()
        elif words[-1] == "status" or "failback" in words:
            done = _at_rest(machine, command)
        else:
            done = machine.run(command.replace("install -d -o prosody", "install -d"))
        self.given += 1
        self.said = done.text
        assert done.status == 0, f"at {pool}: {command}\n{done.text}"
        if "adopt prosody" in command:
            with machine.toml.open("a") as toml:
                toml.write(QUICK)

    @staticmethod
    def _supervise(machine: Machine, words: list[str]) -> None:
        verb, *units = [word for word in words if word != "--now"]
        for unit in units:
            if verb in {"stop", "restart", "disable"}:
                machine.stop(unit)
            if verb in {"start", "restart", "enable"}:
                machine.start(unit)
        assert verb in {"stop", "restart", "disable", "start", "enable", "daemon-reload"}

    def _copy(self, machine: Machine, words: list[str]) -> None:
        *names, target = [word for word in words if not word.startswith("-")]
        other, _, path = target.partition(":")
        to = Path(self.machines[other].here(path))
        for name in map(Path, map(machine.here, names)):
            if name.is_dir():
                shutil.copytree(name, to / name.name)
            else:
                shutil.copy(name, to)


def _at_rest(machine: Machine, command: str) -> Said:
    """Given again until all is well, or only decisions are left."""
    answers: list[Said] = []

    def is_well() -> bool:
        done = machine.run(command)
        answers.append(done)
        if "failback" in command:
            return "has not handed in yet" not in done.text and "is under way" not in done.text
        if "in the ledger without a decision" in done.text and "being brought together" not in done.text:
            answers.append(Said(0, done.text))
        return answers[-1].status == 0

    with suppress(NotSeen):  # the last answer says more
        wait_for(command, is_well, SEEN_S, poll_s=0.3)
    return answers[-1]


def _serves(machines: dict[str, Machine], **where: str) -> None:
    """Clients of each domain are let in at one site, and at the other they hear that it is not served there."""
    for pool, at in where.items():
        domain = f"{pool}.example"
        wait_for(f"{domain} at {at}", partial(machines[at].serves, domain), SEEN_S)
        for other, machine in machines.items():
            if other != at:
                said = wait_for(
                    f"{other} answering", partial(machine.answer, domain), SEEN_S
                )  # it may just have started
                assert "host-unknown" in said, f"{domain} at {other}"


def _dies(machines: dict[str, Machine]) -> None:
    """The service of a is gone first; what users of a do then never left it. Then the site is dead."""
    a = machines["a"]
    a.stop("poolpair", signal.SIGKILL)
    a.set_password("late", "a.example", "stranded")
    a.set_password("alice", "a.example", "at-a")
    a.stop("prosody", signal.SIGKILL)


def _taken_over(machines: dict[str, Machine]) -> None:
    b = machines["b"]
    _serves({"b": b}, a="b", b="b")
    assert b.logs_in("alice", "a.example", "first")
    assert not b.logs_in("late", "a.example", "stranded"), "it never left a"
    b.set_password("alice", "a.example", "at-b")


def _came_home(machines: dict[str, Machine]) -> None:
    _serves(machines, a="a", b="b")
    assert machines["a"].logs_in("late", "a.example", "stranded"), "what a had not sent was merged"
    assert machines["a"].logs_in("alice", "a.example", "at-b"), "as the ledger was decided"
    assert not machines["a"].logs_in("alice", "a.example", "at-a")


def _moved(machines: dict[str, Machine]) -> None:
    _serves(machines, a="b", b="b")
    assert machines["b"].logs_in("alice", "a.example", "first")


BEFORE: dict[str, Callable[[dict[str, Machine]], None]] = {"Site a dies": _dies}
AFTER: dict[tuple[str, str], Callable[[dict[str, Machine]], None]] = {
    ("From two servers to a pair", "systemctl enable --now poolpair"): lambda at: _serves(at, a="a", b="b"),
    ("Every day", "systemctl restart prosody"): lambda at: _serves(at, a="a", b="b"),
    ("Maintenance: a's users go to b, and come home", "poolpair -c /etc/poolpair/a.toml failover a --yes"): _moved,
    ("Maintenance: a's users go to b, and come home", "poolpair -c /etc/poolpair/b.toml failback a --yes"): (
        lambda at: _serves(at, a="a", b="b")
    ),
    ("Site a dies", "poolpair -c /etc/poolpair/b.toml failover a --disaster --yes"): _taken_over,
    ("Site a returns", "systemctl start prosody"): lambda at: _serves(at, a="b", b="b"),
    ("Site a returns", "poolpair -c /etc/poolpair/b.toml failback a --yes"): _came_home,
    ("Removing it", "systemctl start prosody"): lambda at: _serves({"a": at["a"]}, a="a"),
}


@pytest.mark.timeout(300)
def test_the_page_is_right(machines: dict[str, Machine], cluster: Cluster) -> None:
    """Two running servers become a pair, a moves to b and home, dies, returns and comes home, and the pair is removed: as the page says."""
    reader = Reader(machines)
    left = dict(AFTER)
    for title, commands in reader.sections():
        if begin := BEFORE.get(title):
            begin(machines)
        for number, (pool, command) in enumerate(commands):
            reader.give(pool, command)
            is_last = all(later != command for _, later in commands[number + 1 :])
            if is_last and (look := left.pop((title, command), None)):
                look(machines)
            if (title, command) == ("From two servers to a pair", "prosodyctl shell host list"):
                assert "b.example" in reader.said
                assert "a.example" not in reader.said
    assert not left, "each look belongs to a command of the page"
    assert "pa:ss" not in PAGE.read_text()
    for pool, machine in machines.items():
        with cluster.connect(f"page_{pool}", "dba") as connection:
            assert connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'poolpair'").fetchone() == (0,)
        assert machine.serves(f"{pool}.example")
