"""Our pair on SQLite: two services as real processes, and a share each. Sending pauses by stopping the origin's process where it stands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.peer import wait_until
from bench.sqlite_table import TABLE, mark, opened, reading
from poolpair.keyfile import new_key_file

PROFILE = "whole = true\n"
PROGRAM = (sys.executable, "-m", "poolpair.cli.main")


class SqlitePair:
    """Pool a serves everything, pool b stands by. `folder` is its own."""

    def __init__(self, folder: Path, *, files: bool = False, extra: str = "") -> None:
        self.folder = folder
        self.a, self.b = folder / "a.db", folder / "b.db"
        self._files, self._extra = files, extra
        self.services: dict[str, subprocess.Popen[bytes]] = {}
        self.peak_bytes: dict[str, int] = {}
        self._before = 0

    def tree(self, pool: str) -> Path:
        """Where a pool's files are."""
        return self.folder / f"files-{pool}"

    def begin(self, filled: Path | None) -> None:
        """A copy of a filled database at a, empty tables at b, and both prepared."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        new_key_file(self.folder / "pair.key")
        (self.folder / "profile.toml").write_text(PROFILE)
        if filled is not None:
            shutil.copy(filled, self.a)
        for pool, other in (("a", "b"), ("b", "a")):
            path = self.folder / f"{pool}.db"
            if not path.exists():
                with closing(opened(path)) as connection:
                    connection.execute(TABLE)
            (self.folder / f"share-{pool}").mkdir()
            files = ""
            if self._files:
                self.tree(pool).mkdir()
                files = f'files = "{self.tree(pool)}"\n'
            (self.folder / f"{pool}.toml").write_text(
                f'pool = "{pool}"\nstore = "sqlite:///{path}"\nprofile = "{self.folder}/profile.toml"\n{files}'
                f'share = "{self.folder}/share-{pool}"\n[partner]\npool = "{other}"\nshare = "{self.folder}/share-{other}"\n'
                f'key_file = "{self.folder}/pair.key"\n[homes]\nshared = "a"\n"*" = "a"\n{self._extra}'
            )
            self.command(pool, "init")

    def command(self, pool: str, *words: str) -> str:
        """Run a command of a pool's operator."""
        done = subprocess.run(
            [*PROGRAM, "-c", str(self.folder / f"{pool}.toml"), *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"poolpair {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, pool: str) -> None:
        """Start a pool's service, and wait until it works."""
        path = self.folder / f"{pool}.log"
        words = [*PROGRAM, "-c", str(self.folder / f"{pool}.toml"), "run", "--allow-root"]
        with path.open("ab") as log:
            self.services[pool] = subprocess.Popen(words, stdout=log, stderr=log)
        wait_until("a service", lambda: b"works with" in path.read_bytes())

    def document(self, pool: str, name: str) -> dict[str, Any]:
        """What a pool's store says."""
        with closing(reading(self.folder / f"{pool}.db")) as connection:
            row = connection.execute("SELECT body FROM poolpair_document WHERE name = ?", (name,)).fetchone()
        found: dict[str, Any] = json.loads(row[0]) if row else {}
        return found

    def prove(self, channel: str = "users") -> None:
        """Wait until the copy is proved equal by digests, which ends a first copy."""
        wait_until("the proof of our copy", lambda: bool(self.document("a", f"outbound/{channel}").get("initialised")))

    def rest(self, channel: str = "users") -> None:
        """Wait until nothing is under way."""

        def rests() -> bool:
            out = self.document("a", f"outbound/{channel}")
            with closing(reading(self.a)) as connection:
                logged = connection.execute("SELECT 1 FROM poolpair_log_1 LIMIT 1").fetchone()
            return not (out.get("seed") or out.get("in_flight") or logged)

        wait_until("rest", rests, poll_s=0.02)

    def pause(self) -> None:
        """Stop the origin's service where it stands, but not in a transaction."""
        while True:
            os.kill(self.services["a"].pid, signal.SIGSTOP)
            try:
                with closing(sqlite3.connect(self.a, timeout=0, isolation_level=None)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                os.kill(self.services["a"].pid, signal.SIGCONT)

    def resume(self) -> None:
        """Let it go on."""
        self._before = self._sent()
        os.kill(self.services["a"].pid, signal.SIGCONT)

    def shipped(self) -> int:
        """Bytes of packages since the last `resume`."""
        return self._sent() - self._before

    def _sent(self) -> int:
        with closing(reading(self.a)) as connection:
            query = "SELECT body FROM poolpair_document WHERE name GLOB 'intent/users/*'"
            return sum(json.loads(body).get("package_bytes", 0) for (body,) in connection.execute(query).fetchall())

    def wait_for_mark(self, wanted: int) -> None:
        """Until a change is at b."""
        with closing(reading(self.b)) as watcher:
            wait_until("the mark at b", lambda: mark(watcher) >= wanted, poll_s=0.002)

    def end(self) -> None:
        """Stop both services; notes how much memory each had at most."""
        for pool, service in self.services.items():
            for line in Path(f"/proc/{service.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    self.peak_bytes[pool] = max(self.peak_bytes.get(pool, 0), int(line.split()[1]) * 1024)
            service.send_signal(signal.SIGCONT)
            service.terminate()
            service.wait()
        self.services.clear()
