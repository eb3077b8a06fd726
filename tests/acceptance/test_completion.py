"""What the tabulator key offers, in the shells that people use."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolpair.cli.main import app
from tests.page.test_watch import Terminal

POOL_FILE = """
pool = "north"
store = "sqlite:////nowhere/app.sqlite"
profile = "prosody"
share = "/nowhere/share-north"
[partner]
pool = "south"
share = "/nowhere/share-south"
key_file = "/nowhere/pair.key"
[homes]
"n.example" = "north"
"s.example" = "south"
"""
OFFERED = {
    "fail": ["failback", "failover"],
    "held ": ["apply", "list", "refuse"],
    "failover --dis": ["--disaster"],
    "-c pool.toml failover ": ["north", "south"],
    "-c pool.toml failback s": ["south"],
    "-c pool.toml drill ": ["north", "south"],
    "-c absent.toml failover ": [],
    "failover ": [],
    "sync --wait ": ["final", "steady"],
    "sync --channel ": ["conferences", "users"],
    "pause --reason x ": ["conferences", "users"],
    "held apply c": ["conferences"],
    "hook show gate": ["gate-close", "gate-open"],
    "token new ann --role ": ["operator", "reader"],
}
"""What stands behind `poolpair`, and what is offered then."""
SHELLS = {
    "bash": ("bash --noprofile --norc", "source <(_POOLPAIR_COMPLETE=source_bash poolpair)"),
    "zsh": (
        "zsh --no-rcs",
        "autoload -Uz compinit && compinit -u -D && source <(_POOLPAIR_COMPLETE=source_zsh poolpair)",
    ),
    "fish": ("fish --no-config", "_POOLPAIR_COMPLETE=source_fish poolpair | source"),
}
"""How each is started, and how INSTALL.md makes it know the program."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a pool file lies, and the program is found as it is when it is installed."""
    (tmp_path / "pool.toml").write_text(POOL_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.delenv("POOLPAIR_CONFIG", raising=False)
    return tmp_path


@pytest.mark.parametrize("line", OFFERED)
def test_names_are_offered_where_they_are_expected(folder: Path, line: str) -> None:
    """Commands, options, pools of the pool file, channels, hooks, roles and states; nothing, and no error, without a pool file."""
    asked = {
        "_POOLPAIR_COMPLETE": "complete_bash",
        "COMP_WORDS": f"poolpair {line}",
        "COMP_CWORD": str(len(f"poolpair {line}|".split()) - 1),
    }
    said = CliRunner().invoke(app, [], prog_name="poolpair", env=asked)
    assert sorted(said.stdout.split()) == OFFERED[line], f"{folder}: {said.output}"


def presses(folder: Path, shell: str) -> None:
    """Type in a shell what is completed by the tabulator key, and see it completed."""
    start, ready = SHELLS[shell]
    terminal = Terminal(folder, 100, 30)
    try:
        terminal.start(*shlex.split(start))
        terminal.keys(f"PS1='$ '; {ready}; echo re''ady" if shell != "fish" else f"{ready}; echo re''ady", "Enter")
        terminal.wait("\nready")
        terminal.keys("poolpair -c pool.toml failo", "Tab")
        terminal.wait("poolpair -c pool.toml failover")
        terminal.keys("so", "Tab")
        terminal.wait("poolpair -c pool.toml failover south")
        terminal.keys(" --dis", "Tab")
        terminal.wait(" --disaster")
    finally:
        terminal.end()


@pytest.mark.timeout(120)
def test_bash_completes_by_the_tabulator_key(folder: Path) -> None:
    """A command, a pool and an option."""
    presses(folder, "bash")


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_so_do_other_shells(folder: Path, shell: str) -> None:
    """The same, as they write it."""
    presses(folder, shell)
