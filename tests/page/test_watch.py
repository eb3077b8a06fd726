"""`status --watch` in a real terminal, by tmux: it fits, it says what the page says, and it ends as it should."""

from __future__ import annotations

import io
import os
import select
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from poolpair.cli.watch import picture
from poolpair.lab.pool import PROGRAM, make_pools
from poolpair.serving.progress import Progress, Step, StepState
from tests.unit.test_readiness import SENT, status

WAIT_S = 60.0


class Terminal:
    """One window of tmux, on a server of its own."""

    def __init__(self, folder: Path, columns: int, lines: int) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux.sock"), "-f", "/dev/null"]
        self._size = ["-x", str(columns), "-y", str(lines)]

    def start(self, *words: str) -> None:
        """Run a program; what it ends with is shown."""
        told = f"trap : INT; {shlex.join(words)}; echo ended with $?; exec sleep 600"
        outer = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        environment = {**outer, "TERM": "screen-256color", "LC_ALL": "C.UTF-8"}
        subprocess.run([*self._tmux, "new", "-d", *self._size, "sh", "-c", told], check=True, env=environment)

    def seen(self) -> str:
        """What stands on the screen."""
        return subprocess.run([*self._tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True).stdout

    def keys(self, *names: str) -> None:
        """Press keys."""
        subprocess.run([*self._tmux, "send-keys", *names], check=True)

    def wait(self, words: str) -> str:
        """Wait until these words stand on the screen; returns all of it."""
        until_s = time.monotonic() + WAIT_S
        while words not in (found := self.seen()):
            assert time.monotonic() < until_s, f"{words!r} was not seen on:\n{found}"
            select.select([], [], [], 0.1)
        return found

    def end(self) -> None:
        """Close it."""
        subprocess.run([*self._tmux, "kill-server"], check=False)


@contextmanager
def terminal(folder: Path, columns: int = 110, lines: int = 50) -> Iterator[Terminal]:
    """A terminal that is closed at the end."""
    opened = Terminal(folder, columns, lines)
    try:
        yield opened
    finally:
        opened.end()


@pytest.mark.timeout(200)
def test_it_is_seen_in_a_terminal_and_ended_by_a_key(tmp_path: Path) -> None:
    """Without a service it says so at once, is renewed every second, and Ctrl-C ends it with the exit status of what was seen."""
    a, _ = make_pools(tmp_path)
    with terminal(tmp_path) as opened:
        opened.start(*PROGRAM, "-c", str(a.toml), "status", "--watch")
        for words in ("Neither site is known to be able to take over.", "P406", "captured 0"):
            first = opened.wait(words)  # a terminal draws one line after the other
        assert not [line for line in first.splitlines() if len(line) > 110]
        stamp = next(line for line in first.splitlines() if "as of" in line)
        until_s = time.monotonic() + WAIT_S
        while stamp in opened.seen():
            assert time.monotonic() < until_s, "it is not renewed"
            select.select([], [], [], 0.2)
        opened.keys("C-c")
        opened.wait("ended with 3")


def drawn(columns: int) -> str:
    """A look at a pair in which a failover is under way, as text."""
    step = Step(name="before-fence", state=StepState.NOW, runs="drain-clients")
    plan = Progress(
        home="a",
        move="handover",
        to="b",
        at="a",
        begun_utc="2026-01-01T00:00:00.000+00:00",
        steps=(Step(name="compare", state=StepState.DONE), step, Step(name="fence", state=StepState.TO_COME)),
        waits_for="both copies are being compared",
    )
    console = Console(width=columns, record=True, file=io.StringIO(), force_terminal=True)
    console.print(picture(status(export=replace(SENT, lag_s=2.0)), [plan], columns))
    return console.export_text()


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_fits_and_says_what_the_page_says(columns: int) -> None:
    """Headline, cost, steps and the five watermarks, in the width that there is; never by colour alone."""
    text = drawn(columns)
    assert max(map(len, text.splitlines())) <= columns
    flat = " ".join(text.split())
    assert "Both sites could take over." in flat
    assert "nothing would be missing" in flat
    assert "▶ before-fence" in flat
    for name in ("captured", "packed", "delivered", "applied", "acknowledged"):
        assert name in flat
