"""Two PostgreSQL servers that Patroni keeps, with one etcd, as Debian has them, on loopback: a store that fails over by itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg

from poolpair.lab.deployment.process import Mark, mark_of, send, spawn, wait_end
from poolpair.lab.waiting import wait_for
from poolpair.server import NOBODY, programs

NAMES = ("one", "two")
TTL_S = 20
"""The least that Patroni allows: so long after its last word a leader is given up."""
WAIT_S = 120.0
_NODE = """
scope: pool-a
name: {name}
restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}
etcd3: {{host: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: 2
    retry_timeout: 5
    synchronous_mode: {synchronous}
    postgresql:
      use_pg_rewind: true
      parameters: {{wal_log_hints: 'on', fsync: 'off', max_connections: 60}}
  initdb: [{{encoding: UTF8}}, {{locale: C.UTF-8}}]
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
postgresql:
  listen: '127.0.0.1:{port}'
  connect_address: '127.0.0.1:{port}'
  data_dir: {folder}/data-{name}
  bin_dir: {programs}
  pgpass: {folder}/pgpass-{name}
  authentication: {{superuser: {{username: dba}}, replication: {{username: copier}}, rewind: {{username: dba}}}}
  parameters: {{unix_socket_directories: '{folder}'}}
  remove_data_directory_on_diverged_timelines: true
"""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@dataclass
class Patroni:
    """The cluster: `url` is what a pool file says, and follows whoever is the primary."""

    folder: Path
    synchronous: bool
    ports: dict[str, int] = field(default_factory=dict)
    rests: dict[str, int] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)

    def begin(self) -> None:
        """etcd, the first server, and once that is primary the second."""
        etcd, peer, *others = free_ports(6)
        self.ports, self.rests = dict(zip(NAMES, others[:2], strict=True)), dict(zip(NAMES, others[2:], strict=True))
        at, between = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
        words = ("--listen-client-urls", at, "--advertise-client-urls", at, "--listen-peer-urls", between)
        more = ("--initial-advertise-peer-urls", between, "--initial-cluster", f"default={between}")
        data = ("--data-dir", str(self.folder / "etcd"))
        self.marks["etcd"] = self._spawn("etcd", ["etcd", *words, *more, *data])
        for name in NAMES:
            config = self.folder / f"{name}.yml"
            config.write_text(
                _NODE.format(
                    name=name,
                    rest=self.rests[name],
                    etcd=etcd,
                    ttl=TTL_S,
                    port=self.ports[name],
                    folder=self.folder,
                    programs=programs(),
                    synchronous=str(self.synchronous).lower(),
                )
            )
            self.start(name)
            wait_for("a primary", lambda: self.primary() or None, WAIT_S, poll_s=0.5)
        wait_for("the standby following", self.is_whole, WAIT_S, poll_s=0.5)

    def _spawn(self, name: str, command: list[str]) -> Mark:
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
        environment = {"HOME": str(self.folder)}
        return spawn([*as_nobody, *command], self.folder / "log" / f"{name}.log", environment)

    def start(self, name: str) -> None:
        """Start one Patroni, which starts its server."""
        self.marks[name] = self._spawn(name, ["/usr/bin/patroni", str(self.folder / f"{name}.yml")])

    def members(self) -> dict[str, dict[str, Any]]:
        """What Patroni says of each server, asked at whichever answers."""
        for name in NAMES:
            with (
                suppress(OSError, ValueError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.rests[name]}/cluster", timeout=2) as answer,
            ):
                return {each["name"]: each for each in json.load(answer)["members"]}
        return {}

    def primary(self) -> str:
        """The server that takes writes; empty while none does."""
        for name in NAMES:
            with suppress(psycopg.Error), self.connect(name) as connection:
                if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                    return name
        return ""

    def is_whole(self) -> bool:
        """Whether one leads and the other follows, synchronously if that was asked for."""
        roles = sorted(
            str(each["role"]) for each in self.members().values() if each["state"] in ("running", "streaming")
        )
        return roles == ["leader", "sync_standby" if self.synchronous else "replica"]

    def connect(self, name: str, database: str = "postgres") -> psycopg.Connection[Any]:
        """As the superuser, at one server."""
        return psycopg.connect(
            f"postgresql://dba@127.0.0.1:{self.ports[name]}/{database}", autocommit=True, connect_timeout=3
        )

    def url(self, database: str, role: str) -> str:
        """Both servers, whichever takes writes."""
        ports = ",".join(str(self.ports[name]) for name in NAMES)
        return f"postgresql://{role}@/{database}?host=127.0.0.1,127.0.0.1&port={ports}&target_session_attrs=read-write&connect_timeout=2"

    def postmaster(self, name: str) -> Mark | None:
        """The server's own process."""
        path = self.folder / f"data-{name}" / "postmaster.pid"
        return mark_of(int(path.read_text().splitlines()[0])) if path.exists() else None

    def kill(self, name: str) -> None:
        """The machine of a server dies: Patroni, which would start the server again, and the server."""
        send(self.marks[name], signal.SIGKILL)
        found = self.postmaster(name)
        send(found, signal.SIGKILL)
        wait_end(found, WAIT_S)

    def receiver(self, name: str) -> Mark:
        """The process of a standby that takes in what the primary writes."""
        with self.connect(name) as connection:
            (pid,) = connection.execute("SELECT pid FROM pg_stat_wal_receiver").fetchone() or (0,)
        found = mark_of(pid)
        assert found is not None
        return found

    def end(self) -> None:
        """End everything that was started."""
        for name in NAMES:
            send(self.marks.get(name), signal.SIGKILL)
        for name in NAMES:
            found = self.postmaster(name)
            send(found, signal.SIGQUIT, signal.SIGCONT)
            wait_end(found, WAIT_S)
        send(self.marks.get("etcd"), signal.SIGKILL)
        wait_end(self.marks.get("etcd"), WAIT_S)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def patroni(*, synchronous: bool) -> Iterator[Patroni]:
    """A cluster of two, ready."""
    folder = Path(mkdtemp(prefix="pp-ha-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    made = Patroni(folder, synchronous)
    try:
        made.begin()
        yield made
    finally:
        made.end()
