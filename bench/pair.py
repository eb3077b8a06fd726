"""Our pair: two services as real processes, and a share each. Sending pauses by stopping the origin's process where it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from bench import userdata
from bench.peer import wait_until
from bench.server import Server
from poolpair.keyfile import new_key_file

PROFILE = """
[[tables]]
name = "userdata"
channel = "users"
key = ["host", "user", "store", "key"]
home_key = "host"
"""
CHANNEL = "users"


class Ours:
    """Implements `bench.peer.Peer`."""

    name = "poolpair"
    database = "bench"

    def __init__(self, a: Server, b: Server, template: str, folder: Path, interval: str = "2m") -> None:
        self.a, self.b = a, b
        self.folder = folder
        self._interval = interval
        self._template = template
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        self._sent_before = 0
        self.peak_bytes: dict[str, int] = {}
        """The largest resident set of each service so far."""

    def begin(self) -> None:
        self.a.create(self.database, self._template)
        userdata.empty(self.b, self.database)
        self.prepare()

    def prepare(self) -> None:
        """Fresh shares and a fresh pair on the databases that are there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        new_key_file(self.folder / "pair.key")
        (self.folder / "profile.toml").write_text(PROFILE)
        for pool, other, server in (("a", "b", self.a), ("b", "a", self.b)):
            (self.folder / f"share-{pool}").mkdir()
            (self.folder / f"{pool}.toml").write_text(
                f'pool = "{pool}"\nstore = "{server.url(self.database)}"\nprofile = "{self.folder}/profile.toml"\n'
                f'share = "{self.folder}/share-{pool}"\nscratch = "{self.folder}/scratch"\n'
                f'[partner]\npool = "{other}"\nshare = "{self.folder}/share-{other}"\nkey_file = "{self.folder}/pair.key"\n'
                f'[homes]\n"a.example" = "a"\n"b.example" = "b"\n[sync]\ninterval = "{self._interval}"\n'
            )
        for pool in "ab":
            self.command(pool, "init")

    def command(self, pool: str, *words: str) -> str:
        """Run a command of a pool's operator."""
        done = subprocess.run(
            [*_program(), "-c", self._toml(pool), *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"poolpair {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _toml(self, pool: str) -> str:
        return str(self.folder / f"{pool}.toml")

    def start(self, pool: str) -> None:
        """Start a pool's service."""
        with (self.folder / f"{pool}.log").open("ab") as log:
            self._services[pool] = subprocess.Popen(
                [*_program(), "-c", self._toml(pool), "run", "--allow-root"], stdout=log, stderr=log
            )

    def copy(self) -> float:
        with self.a.connect(self.database) as counter:
            rows = counter.execute("SELECT count(*) FROM userdata").fetchone()
        assert rows is not None
        for pool in "ba":
            self.start(pool)
            self._wait_for_service(pool)
        with self.b.connect(
            self.database
        ) as watcher:  # a connection for each look would cost the server more than the copy
            began = time.monotonic()
            wait_until("our copy", lambda: _document(watcher, "inbound").get("applied_rows", 0) >= rows[0])
        return began

    def _wait_for_service(self, pool: str) -> None:
        server = self.a if pool == "a" else self.b
        works = "SELECT count(*) FROM poolpair.lease WHERE holder <> ''"
        wait_until("a service", lambda: server.number(self.database, works) > 0)

    def prove(self) -> None:
        """Wait until the copy is proved equal by digests, which ends a first copy."""
        with self.a.connect(self.database) as watcher:
            wait_until("the proof of our copy", lambda: bool(_document(watcher, "outbound").get("initialised")))

    def rest(self) -> None:
        with self.a.connect(self.database) as watcher:

            def rests() -> bool:
                out = _document(watcher, "outbound")
                log = watcher.execute("SELECT FROM poolpair.log_1 LIMIT 1").fetchone()
                return not (out.get("seed") or out.get("in_flight") or log is not None)

            wait_until("rest", rests, poll_s=0.02)

    def brought_together(self) -> None:
        """Wait until b, which serves, has all that a had written, and a's copy is proved equal."""
        with self.b.connect(self.database) as watcher:

            def is_whole() -> bool:
                reign = watcher.execute("SELECT body FROM poolpair.document WHERE name = 'serving/a'").fetchone()
                opened = json.loads(reign[0]).get("open") if reign else True
                return not (opened or _document(watcher, "outbound").get("seed"))

            wait_until("both copies being brought together", is_whole)

    def pause(self, pool: str = "a") -> None:
        """Stop a service where it stands, but not in a transaction."""
        pid, server = self._services[pool].pid, self.a if pool == "a" else self.b
        open_ones = "application_name LIKE 'poolpair%' AND state <> 'idle'"
        while True:
            os.kill(pid, signal.SIGSTOP)
            if not server.number(self.database, f"SELECT count(*) FROM pg_stat_activity WHERE {open_ones}"):
                return
            os.kill(pid, signal.SIGCONT)

    def resume(self, pool: str = "a") -> None:
        self._sent_before = self._sent()
        os.kill(self._services[pool].pid, signal.SIGCONT)

    def shipped(self) -> int:
        return self._sent() - self._sent_before

    def _sent(self) -> int:
        packages = f"name LIKE 'intent/{CHANNEL}/%'"
        bytes_of = "(body::json->>'package_bytes')::bigint"
        return int(self.a.number(self.database, f"SELECT sum({bytes_of}) FROM poolpair.document WHERE {packages}"))

    def pid(self, pool: str) -> int:
        """The process of a service."""
        return self._services[pool].pid

    def died(self, pool: str) -> None:
        """A service was killed."""
        self._services.pop(pool).wait()

    def cpu_s(self, pool: str) -> float:
        """Processor time of a service so far."""
        fields = Path(f"/proc/{self._services[pool].pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        for pool, service in self._services.items():
            status = Path(f"/proc/{service.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+) kB", status)
            assert peak is not None
            self.peak_bytes[pool] = max(self.peak_bytes.get(pool, 0), int(peak[1]) * 1024)
            os.kill(service.pid, signal.SIGCONT)
            service.terminate()
            service.wait(60)
        self._services.clear()

    def close(self) -> None:
        """End what still runs, however the benchmark ended."""
        for service in self._services.values():
            service.kill()
            service.wait()
        self._services.clear()


def _document(watcher: psycopg.Connection[TupleRow], name: str) -> dict[str, Any]:
    """What a pool remembers, without a word to its service."""
    found = watcher.execute(f"SELECT body FROM poolpair.document WHERE name = '{name}/{CHANNEL}'").fetchone()
    return dict(json.loads(found[0])) if found else {}


def _program() -> tuple[str, ...]:
    return sys.executable, "-m", "poolpair.cli.main"
