"""What the demo prints and keeps: numbered steps with a tick or a cross, plain sentences below, and the report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

from poolpair.lab.pool import NotSeen

WIDTH = 100


@dataclass
class Step:
    """One step: what was to be seen, whether it was, and figures for the report."""

    title: str
    ok: bool = False
    seconds: float = 0.0
    figures: dict[str, object] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    failure: str = ""

    def say(self, line: str) -> None:
        """A sentence to print below the step."""
        self.said.append(line)


class Stage:
    """Prints steps as they end, and remembers them."""

    def __init__(self) -> None:
        self.console = Console(width=min(WIDTH, Console().width) if Console().is_terminal else WIDTH, highlight=False)
        self.steps: list[Step] = []
        self._begun_s = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step; what it raises as NotSeen makes it a failed one and passes on."""
        step = Step(title)
        self.steps.append(step)
        begun_s = time.monotonic()
        try:
            with self.console.status(f"{len(self.steps)} {title}"):
                yield step
            step.ok = True
        except NotSeen as reason:
            step.failure = str(reason)
            raise
        finally:
            step.seconds = round(time.monotonic() - begun_s, 2)
            self._print(step)

    def _print(self, step: Step) -> None:
        mark, colour = ("✓", "green") if step.ok else ("✗", "bold red")
        seconds = f"{step.seconds:.1f} s"
        head = f"{len(self.steps):>2} {step.title}"
        gap = max(1, self.console.width - len(head) - len(seconds) - 3)
        self.console.print(Text.assemble((mark, colour), " ", (head, "bold"), " " * gap, (seconds, "dim")))
        for line in [*step.said, *([step.failure] if step.failure else [])]:
            for part in Text(line).wrap(self.console, self.console.width - 5):
                self.console.print(Text("     ") + part, style="red" if line == step.failure else "")

    @property
    def seconds(self) -> float:
        """How long it took until now."""
        return round(time.monotonic() - self._begun_s, 1)

    def write(self, path: Path, failure: str) -> None:
        """Write the report."""
        report = {
            "ok": not failure and all(step.ok for step in self.steps),
            "failure": failure,
            "seconds": self.seconds,
            "steps": [asdict(step) for step in self.steps],
        }
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
