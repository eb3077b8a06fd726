"""What to try in a lab: commands that work as they stand when they are pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from poolpair.lab.deployment.layout import Layout

DEFAULT = Path("lab")
TO_TRY = """
how it stands
  {lab} status
  {a} status --all
publish a setting: every server goes by it within seconds
  {a} config set SyncInterval 00:00:30
  {a} cms replicate
  {d} config show
move the management store, as planned
  {b} cms failover --yes
a pool dies, its partner takes over, it returns, its users come home
  {lab} kill a
  {b} failover a --disaster --yes
  {lab} start a
  {b} status
  {b} ledger list
  {b} failback a --yes
{front_ends}a whole site stands still for a while, and is woken
  {lab} freeze south
  {lab} start south
end it
  {lab} down
"""
FRONT_ENDS = """a front end dies, another goes on
  {lab} kill {first}
  {lab} status
  {lab} start {first}
"""


def program() -> str:
    """How this program is called from where this command was given."""
    beside = Path(sys.executable).parent / "poolpair"
    found = shutil.which("poolpair")
    if found is not None and beside.exists() and Path(found).samefile(beside):
        return "poolpair"
    return f"{shlex.quote(near(beside))}" if beside.exists() else f"{shlex.quote(sys.executable)} -m poolpair.cli.main"


def near(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def to_try(layout: Layout) -> Iterator[str]:
    """The lines: a sentence, and the commands below it, indented."""
    name = program()
    chosen = "" if layout.folder == Path.cwd() / DEFAULT else f" --dir {shlex.quote(near(layout.folder))}"
    words = {pool.name: f"{name} -c {shlex.quote(near(layout.pool_file(pool.name)))}" for pool in layout.pools}
    several = layout.pool("a").front_ends
    front_ends = FRONT_ENDS.format(lab="{lab}", first=several[0]) if len(several) > 1 else ""
    text = TO_TRY.format(lab="{lab}", front_ends=front_ends, **words)
    for line in text.strip().splitlines():
        yield _with_folder(line, name, chosen)


def _with_folder(line: str, name: str, chosen: str) -> str:
    """`poolpair lab kill a --dir DIR`: the folder stands at the end."""
    return f"{line.replace('{lab}', f'{name} lab')}{chosen}" if "{lab}" in line else line
