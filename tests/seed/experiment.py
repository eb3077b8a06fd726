"""The original's experiment with two real services: "stop the backup service on lyncfe04 and invoke a backup sync".

It is done once; each test looks at one thing that was seen in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poolpair.lab.pool import PROGRAM, Pool, make_pools

FINAL = ("sync", "--wait", "final", "--timeout", "60")
EDIT = "UPDATE prosody SET value = 'edited' WHERE user = 'myriel' AND key = 'napoleon@b.example'"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ASK = "SELECT value FROM prosody WHERE user = 'myriel' AND key = 'napoleon@b.example'"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What `poolpair status` said at one pool: for people, in colour, for programs."""

    exit_status: int
    text: str
    coloured: str
    json: dict[str, Any]

    def export(self, module: str = "UserServices.PresenceFocus") -> dict[str, Any]:
        """The export of one module."""
        found: dict[str, Any] = next(each for each in self.json["channels"] if each["module"] == module)["export"]
        return found

    def states(self) -> list[str]:
        """The export states of all modules."""
        return [each["export"]["status"] for each in self.json["channels"]]


@dataclass(frozen=True, kw_only=True)
class Look:
    """Both pools at one moment: what stands where, and what each says."""

    packages: dict[str, list[str]]
    cookies: dict[str, list[str]]
    status: dict[str, Said]
    value_at_b: object
    tasks: dict[str, tuple[str, int]]
    """Per pool, content of the task assignment and when it was written (ns)."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The four moments of the experiment, and what the package that stood was."""

    at_rest: Look
    stopped: Look
    after_more_syncs: Look
    started_again: Look
    inspected: str
    package_bytes: bytes


def run_experiment(folder: Path) -> Seen:
    """Stop B, change a buddy list and sync at A, start B again."""
    a, b = make_pools(folder, eager="false")
    try:
        for pool in (a, b):
            pool.start()
        _sync_both(a, b)
        at_rest = _look(a, b)
        b.stop()
        with a.sql() as connection:
            connection.execute(EDIT)
        a.must("sync", "--channel", "PresenceFocus")
        stopped = _look(a, b)
        (package,) = b.packages()
        inspected, content = a.must("inspect", str(package)).out, package.read_bytes()
        a.must("sync")
        a.stop()
        a.start()
        after_more_syncs = _look(a, b, ask=False)
        b.start()
        _sync_both(a, b)
        started_again = _look(a, b)
    finally:
        for pool in (a, b):
            pool.stop()
    return Seen(
        at_rest=at_rest,
        stopped=stopped,
        after_more_syncs=after_more_syncs,
        started_again=started_again,
        inspected=inspected,
        package_bytes=content,
    )


def _sync_both(*pools: Pool) -> None:
    asked = [_spawn(pool, *FINAL) for pool in pools]
    for command in asked:
        assert not command.communicate()[0]
        assert command.returncode == 0


def _look(*pools: Pool, ask: bool = True) -> Look:
    return Look(
        packages={pool.name: [_inside(pool, path) for path in pool.packages()] for pool in pools},
        cookies={pool.name: [_inside(pool, path) for path in pool.cookies()] for pool in pools},
        status=_ask(*pools) if ask else {},
        value_at_b=pools[1].ask(ASK)[0][0],
        tasks={pool.name: _task(pool) for pool in pools},
    )


def _inside(pool: Pool, path: Path) -> str:
    return str(path.relative_to(pool.share))


def _task(pool: Pool) -> tuple[str, int]:
    (path,) = (pool.share / "TaskAssignment").iterdir()
    return path.read_text(), path.stat().st_mtime_ns


def _ask(*pools: Pool) -> dict[str, Said]:
    """Ask every pool twice, all at once: what a program reads must agree with what a person sees at a terminal."""
    asked = {pool.name: (_spawn(pool, "status"), _spawn(pool, "status", "--json")) for pool in pools}
    said = {}
    for name, (for_people, for_programs) in asked.items():
        coloured, text = for_people.communicate()[0], for_programs.communicate()[0]
        assert for_people.returncode == for_programs.returncode
        said[name] = Said(
            exit_status=for_people.returncode,
            text=COLOUR.sub("", coloured),
            coloured=coloured,
            json=json.loads(text),
        )
    return said


def _spawn(pool: Pool, *words: str) -> subprocess.Popen[str]:
    terminal = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "100"}
    return subprocess.Popen(
        [*PROGRAM, "-c", str(pool.toml), *words],
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
        env=terminal,
    )
