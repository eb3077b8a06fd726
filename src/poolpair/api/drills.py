"""Drills that are ordered over HTTP: each is the command `poolpair drill` in a process of its own, one at a time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from poolpair.errors import Code, PoolpairError

LINES_KEPT = 20
STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRun:
    """A drill that runs, or the last one that was ordered here."""

    home: str
    running: bool
    lines: tuple[str, ...]
    """The last of what it said."""


class Drills:
    """The drill of one pool."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._home = ""
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)

    def begin(self, home: str) -> None:
        """Begin one. Raises USAGE while another runs."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                raise PoolpairError(Code.USAGE, f"a drill of {self._home} runs already", "wait for its end")
            self._home = home
            self._lines.clear()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "poolpair.cli.main", "-c", str(self._config), "drill", home],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            threading.Thread(target=self._listen, args=(self._process, self._lines), daemon=True).start()

    def run(self) -> DrillRun | None:
        """How the last one stands; None if none was ordered here."""
        with self._lock:
            if self._process is None:
                return None
            return DrillRun(home=self._home, running=self._process.poll() is None, lines=tuple(self._lines))

    def end(self) -> None:
        """End it, for this process ends; it clears up."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    self._process.kill()

    @staticmethod
    def _listen(process: subprocess.Popen[str], lines: deque[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip()[:500])
        process.wait()
