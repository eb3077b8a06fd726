"""A story told in a lab: the same kind of file as `tests/script/story` plays, but with real processes, whose ages and counts are left out.

`lab` is `poolpair lab`; `poolpair` a command at a pool; `until` looks with `status` at a pool until it says something; `enough` waits for
notes that a pool's application has taken. `python -m tests.lab.story` plays the stories and writes what is printed now.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from poolpair.lab.deployment.application import committed, notes
from poolpair.lab.deployment.layout import load
from poolpair.lab.deployment.making import make, remove
from poolpair.lab.pool import run_command, wait_for
from tests.script.story import Player, read_story

STORIES = Path(__file__).parent / "stories"
WAIT_S = 300.0
COMMAND_S = 300.0
"""A machine that does much else is given time: what is told is what happens, not how soon."""
MEASURED = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00| UTC)"), "<time>"),
    (re.compile(r"[0-9.]+ (ms|s|min) ago"), "<age> ago"),
    (re.compile(r"package [0-9]+"), "package <n>"),
    (re.compile(r"\b[0-9,]+ (changed groups?|packages?|groups?|buckets?|rows?)\b"), r"<n> \1"),
)
HASTE = re.compile(r"was heard .* ago: if it is alive|asked of .* no answer yet")
"""A line that stands there or not by how quick the machine is."""


class LabPlayer(Player):
    """Plays steps in a lab below a folder."""

    def play_all(self, text: str) -> str:
        """Play a story; returns it as it would be written now."""
        lines = []
        for step in read_story(text):
            printed = [line for line in self.play(step) if not HASTE.search(line)]
            for pattern, instead in MEASURED:
                printed = [pattern.sub(instead, line) for line in printed]
            lines += step.text(printed)
        return "\n".join(lines) + "\n"

    @property
    def _lab(self) -> Path:
        return self.folder / "lab"

    def do_up(self, store: str) -> Iterator[str]:
        """`lab up`, and what it says that it made."""
        said: list[str] = []
        make(self._lab, store, said.append)
        yield from said

    def do_lab(self, *words: str) -> Iterator[str]:
        """Another command for the lab."""
        answer = run_command("lab", *words, "--dir", str(self._lab), timeout_s=COMMAND_S)
        yield from (answer.out + answer.talk).splitlines()

    def do_poolpair(self, pool: str, *words: str) -> Iterator[str]:
        """A command at a pool, and what it prints; a refusal with its hint."""
        answer = run_command("-c", str(load(self._lab).pool_file(pool)), *words, timeout_s=COMMAND_S)
        yield from answer.out.splitlines()
        if answer.exit_status:
            yield from answer.talk.splitlines()
            yield f"(exit status {answer.exit_status})"

    def do_until(self, pool: str, *words: str) -> Iterator[str]:
        """Look until a line of status begins like this."""
        wanted = " ".join(words)

        def there() -> str:
            shown = run_command("-c", str(load(self._lab).pool_file(pool)), "status", timeout_s=COMMAND_S).out
            return next((line for line in shown.splitlines() if line.strip() == wanted), "")

        yield wait_for(f"status at {pool} saying: {wanted}", there, WAIT_S, poll_s=0.2)

    def do_enough(self, pool: str, owner: str) -> Iterator[str]:
        """The application of a pool takes notes of users of a pool from now on."""
        layout = load(self._lab)
        before = len(committed(layout, pool))

        def taken() -> bool:
            return any(each.owner == owner for each in committed(layout, pool)[before:])

        wait_for(f"notes of {owner}'s users at {pool}", taken, WAIT_S)
        yield f"notes of {owner}'s users are taken at pool {pool}"

    def do_compare(self) -> Iterator[str]:
        """Whether every note that was committed is at both pools of its pair; looked at without poolpair."""
        layout = load(self._lab)
        for one, other in (("a", "b"), ("c", "d")):
            listed = {(each.owner, each.note) for pool in (one, other) for each in committed(layout, pool)}

            def at_both(listed: set[tuple[str, str]] = listed, pair: tuple[str, str] = (one, other)) -> bool:
                return all(listed <= notes(layout, pool).keys() for pool in pair)

            wait_for(f"every note at {one} and {other}", at_both, WAIT_S, poll_s=0.2)
            yield f"pools {one} and {other}: every note that was committed is at both"

    def close(self) -> None:
        """Nothing stays."""
        if self._lab.exists():
            remove(load(self._lab))


def play(path: Path, folder: Path) -> str:
    """Play one story."""
    player = LabPlayer(folder)
    try:
        return player.play_all(path.read_text())
    finally:
        player.close()


def main() -> None:
    """Write every story anew."""
    for path in sorted(STORIES.glob("*.txt")):
        with tempfile.TemporaryDirectory() as folder:
            played = play(path, Path(folder))
        print(f"{path.stem}: {'as it was' if played == path.read_text() else 'differs'}", file=sys.stderr)  # noqa: T201 - a tool
        path.write_text(played)


if __name__ == "__main__":
    main()
