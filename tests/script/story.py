"""Stories: text files of commands and what they print, played on two real SQLite pools and real shares, on a virtual clock.

A story is a list of steps: a line with a command and its arguments, more lines if it takes a text, a line `----`, what is printed, an empty
line. Lines that begin with `#` tell the reader what goes on. `python -m tests.script.story --rewrite` writes what is printed now.
"""

from __future__ import annotations

import io
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from poolpair.cli import look
from poolpair.cli.work import show_verified
from poolpair.decisions import begin_verify
from poolpair.errors import CATALOGUE, PoolpairError
from poolpair.model import Channel
from poolpair.wiring import initialise
from tests.badinput.ground import Ground, first_copy, flipped, make_ground

STORIES = Path(__file__).parent / "stories"
RULE = "----"
ORDERED = (
    (re.compile(r"backup-[0-9a-f]{32}-([0-9]{8})-[0-9a-f]{8}\.zip"), r"backup-<stream>-\1-<id>.zip"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f0-9])[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"(stream|store|pair|package|are|ours|id) [0-9a-f]{8,12}\b"), r"\1 <id>"),
    (re.compile(r"\b[0-9][0-9,]* bytes"), "N bytes"),
    (re.compile(r"\b[0-9.]+ [KMG]iB"), "N MiB"),
    (re.compile(r"process [0-9]+"), "process <n>"),
    (re.compile(r"^[0-9a-f]{8}(?=\t)", re.MULTILINE), "<id>"),
)
"""What differs from one play to the next, and what stands in its place."""


@dataclass
class Step:
    """One command of a story."""

    words: list[str]
    body: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    """Remarks and empty lines that stand before it."""

    def text(self, printed: list[str]) -> list[str]:
        """The step as it stands in the file."""
        return [*self.before, " ".join(self.words), *self.body, RULE, *printed]


def read_story(text: str) -> list[Step]:
    """Take a story apart."""
    steps: list[Step] = []
    lines = text.splitlines()
    at, before = 0, list[str]()
    while at < len(lines):
        if not lines[at] or lines[at].startswith("#"):
            before.append(lines[at])
            at += 1
            continue
        rule = lines.index(RULE, at)
        end = next((n for n in range(rule, len(lines)) if not lines[n]), len(lines))
        steps.append(Step(lines[at].split(), lines[at + 1 : rule], lines[rule + 1 : end], before))
        at, before = end, []
    return steps


class Player:
    """Plays steps on a pair in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ground: Ground | None = None
        self._backups: dict[str, bytes] = {}

    def play(self, step: Step) -> list[str]:
        """Carry out one step; returns what it prints."""
        verb, *words = step.words
        action = getattr(self, f"do_{verb.replace('-', '_')}")
        try:
            printed = "\n".join(action(*words, *(["\n".join(step.body)] if step.body else [])) or ())
        except PoolpairError as error:
            printed = f"{error.code}: {error.detail}\nhint: {error.hint}"
        printed = printed.replace(str(self.folder), "")
        for pattern, instead in ORDERED:
            printed = pattern.sub(instead, printed)
        return [line.rstrip() or "." for line in printed.splitlines()]

    @property
    def pair(self) -> Ground:
        """The pair; the story begins with `pair`."""
        assert self.ground is not None
        return self.ground

    def do_pair(self, *words: str) -> Iterator[str]:
        """Make two pools with some data; `rows=N` of each, `new` without a first copy, `[section]` and `key=value` of the pool files."""
        rows = next((int(word[5:]) for word in words if word.startswith("rows=")), 6)
        extra = "\n".join(word.replace("=", " = ", 1) for word in words if word.startswith("[") or '"' in word)
        ground = self.ground = make_ground(self.folder, rows=rows, extra=extra)
        if "new" in words:
            for pool in ("a", "b"):
                initialise(ground.config(pool))
        else:
            first_copy(ground)
        yield from ()

    def do_start(self, *pools: str) -> Iterator[str]:
        """Start services."""
        for pool in pools:
            self.pair.start(pool)
        yield from ()

    def do_stop(self, *pools: str) -> Iterator[str]:
        """Stop services."""
        for pool in pools:
            self.pair.stop(pool)
        yield from ()

    def do_init(self, pool: str) -> Iterator[str]:
        """Run `init` again."""
        initialise(self.pair.config(pool))
        yield from ()

    def do_sql(self, pool: str, text: str) -> Iterator[str]:
        """Let the application run statements, and print what a query gives, or why it is refused."""
        try:
            with self.pair.sql(pool) as connection:
                for statement in text.split(";\n"):
                    yield from ("|".join(map(str, row)) for row in connection.execute(statement))
        except sqlite3.IntegrityError as error:
            yield f"refused: {error}"

    def do_tamper(self, pool: str, text: str) -> Iterator[str]:
        """Somebody takes the fence away for a statement."""
        with self.pair.tampering(pool) as connection:
            connection.execute(text)
        yield from ()

    def do_upload(self, pool: str, name: str, content: str) -> Iterator[str]:
        """Let a user of the pool upload a file, with the row that describes it."""
        self.pair.do(pool, f"INSERT OR REPLACE INTO upload VALUES ('u@{pool}', '{name}', 'x')")
        self.pair.write_file(pool, name, content.encode())
        yield from ()

    def do_pass(self, *pools: str) -> Iterator[str]:
        """One pass along the line at each pool."""
        self.pair.turn(*pools)
        yield from ()

    def do_live(self, seconds: str) -> Iterator[str]:
        """Let time pass as running services spend it."""
        self.pair.live(float(seconds.removesuffix("s")))
        yield from ()

    def do_settle(self) -> Iterator[str]:
        """Until nothing moves any more."""
        self.pair.settle()
        yield from ()

    def do_status(self, pool: str) -> Iterator[str]:
        """What `poolpair status` prints at this pool."""
        found = self.pair.status(pool)
        text = io.StringIO()
        look.show(found, Console(file=text, width=120, soft_wrap=True, highlight=False, no_color=True))
        yield from text.getvalue().splitlines()
        yield f"(exit status {found.exit_status})"

    def do_poolpair(self, pool: str, *words: str) -> Iterator[str]:
        """Run a command of the program at this pool."""
        result = self.pair.command(pool, *words)
        yield from result.output.splitlines()
        if isinstance(result.exception, PoolpairError):
            error = result.exception
            yield f"{error.code} {error.detail}"
            yield f"hint: {error.hint}"
            yield f"(exit status {CATALOGUE[error.code].exit_status})"
        elif result.exit_code:
            yield f"(exit status {result.exit_code})"

    def do_verify(self, pool: str, *words: str) -> Iterator[str]:
        """What `poolpair verify` does, with `--repair` or without, on the users channel."""
        begin_verify(self.pair.sites[pool], Channel.USERS, repair="--repair" in words)
        self.pair.settle()
        result = self.pair.channel(pool).export.last_verify
        assert result is not None
        yield show_verified(Channel.USERS, result)

    def do_share(self, pool: str) -> Iterator[str]:
        """The files in a pool's share."""
        root = self.pair.share(pool)
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            yield str(path.relative_to(root))

    def do_compare(self) -> Iterator[str]:
        """Whether both pools hold the same rows and files, looked at without poolpair."""
        a, b = self.pair.rows("a"), self.pair.rows("b")
        yield f"{len(a)} rows at a, {len(b)} at b: {'equal' if a == b else 'they differ'}"
        mine, theirs = self.pair.files("a"), self.pair.files("b")
        yield f"{len(mine)} files at a, {len(theirs)} at b: {'equal' if mine == theirs else 'they differ'}"

    def do_unmount(self, pool: str) -> Iterator[str]:
        """The pool's share goes away, for both."""
        self.pair.share(pool).rename(self.folder / f"away-{pool}")
        yield from ()

    def do_mount(self, pool: str) -> Iterator[str]:
        """The share is back."""
        (self.folder / f"away-{pool}").rename(self.pair.share(pool))
        yield from ()

    def do_damage(self, pool: str) -> Iterator[str]:
        """One byte of each package that stands in the pool's share is altered."""
        for path in self.pair.package_files(pool):
            data = path.read_bytes()
            path.write_bytes(flipped(data, len(data) // 2))
        yield from ()

    def do_backup(self, pool: str) -> Iterator[str]:
        """Copy the pool's database, whose service is stopped."""
        self.pair.do(pool, "PRAGMA wal_checkpoint(TRUNCATE)")
        self._backups[pool] = self.pair.path(pool).read_bytes()
        yield from ()

    def do_restore(self, pool: str) -> Iterator[str]:
        """Put the copy back in its place."""
        for suffix in ("-wal", "-shm"):
            Path(f"{self.pair.path(pool)}{suffix}").unlink(missing_ok=True)
        self.pair.path(pool).write_bytes(self._backups[pool])
        yield from ()

    def do_move(self, pool: str) -> Iterator[str]:
        """The database is moved to another place, and the pool file follows it."""
        old = self.pair.path(pool)
        new = old.with_name("moved.sqlite")
        self.pair.do(pool, "PRAGMA wal_checkpoint(TRUNCATE)")
        old.rename(new)
        toml = self.pair.toml(pool)
        toml.write_text(toml.read_text().replace(str(old), str(new)))
        self.pair.moved[pool] = new
        yield from ()

    def close(self) -> None:
        """Stop what still runs."""
        for pool in tuple(self.ground.sites if self.ground else ()):
            self.pair.stop(pool)


def play_story(path: Path, folder: Path) -> str:
    """Play a story; returns it as it would be written now."""
    player = Player(folder)
    try:
        lines = [line for step in read_story(path.read_text()) for line in step.text(player.play(step))]
    finally:
        player.close()
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite every story, or those named."""
    names = [name for name in sys.argv[1:] if name != "--rewrite"]
    for path in sorted(STORIES.glob("*.txt")):
        if names and path.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            played = play_story(path, Path(folder))
        print(f"{path.stem}: {'as it was' if played == path.read_text() else 'differs'}")  # noqa: T201 - a tool
        if "--rewrite" in sys.argv:
            path.write_text(played)


if __name__ == "__main__":
    main()
