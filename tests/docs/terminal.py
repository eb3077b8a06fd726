"""A shell that stays open while the blocks of a page are typed into it, one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.docs.blocks import Block, is_said
from tests.docs.quick import quick_poolpair

HOME = "/home/you"
"""How the pages call the folder in which their commands are given."""
BEGIN = """set -o pipefail
trap 'echo "(exit status $?)"' ERR
"""


class Terminal:
    """One bash, its folder, and what the pages call differently here."""

    def __init__(self, bash: subprocess.Popen[str], folder: Path, here: dict[str, str]) -> None:
        self._bash = bash
        self.folder = folder
        self._here = {HOME: str(folder), **here}
        self._number = 0
        self._say(BEGIN)

    def _say(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text)
        self._bash.stdin.flush()

    def type(self, text: str) -> str:
        """Give commands as one block; returns what they print, and `(exit status N)` for each that fails."""
        self._number += 1
        for theirs, ours in self._here.items():
            text = text.replace(theirs, ours)
        script = self.folder.parent / f"block-{self._number}"
        printed = script.with_suffix(".out")
        script.write_text(f"{text}\n:\n")  # so that the trap is not met once more
        self._say(f". {script} < /dev/null > {printed} 2>&1\necho over\n")
        assert self._bash.stdout is not None
        assert self._bash.stdout.readline() == "over\n", f"the shell ended: {printed.read_text()}"
        found = printed.read_text()
        for theirs, ours in self._here.items():
            found = found.replace(ours, theirs)
        return found

    def must(self, block: Block) -> None:
        """A block of a page: it prints what the page says, and no command fails of which the page does not say so."""
        printed = self.type(block.text)
        if block.prints is not None:
            assert is_said(printed, block.prints), f"{block.where}\n--- said:\n{block.prints}\n--- printed:\n{printed}"
        else:
            assert "(exit status " not in printed, f"{block.where}\n{printed}"


@contextmanager
def terminal(folder: Path, here: dict[str, str] | None = None) -> Iterator[Terminal]:
    """A shell in an empty folder, in which `poolpair` is found; all that it started is ended at the end."""
    home, programs = folder / "home", folder / "bin"
    home.mkdir()
    programs.mkdir()
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": str(home)}
    words = ["bash", "--noprofile", "--norc"]
    pipe = subprocess.PIPE
    with (
        quick_poolpair(programs),
        subprocess.Popen(words, cwd=home, env=environment, stdin=pipe, stdout=pipe, text=True, process_group=0) as bash,
    ):
        try:
            yield Terminal(bash, home, here or {})
        finally:
            with suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)
