"""Figures of one run, as a table for people and as JSON for later."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def load1() -> float:
    """The machine's load: other work makes every figure worse, and ratios less sure."""
    return round(os.getloadavg()[0], 2)


@dataclass(slots=True)
class Report:
    """What was measured so far, by measurement and peer: every single figure."""

    about: dict[str, Any]
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    loads: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, peer: str, value: float) -> None:
        """Keep a figure, and say it."""
        self.figures.setdefault(what, {}).setdefault(peer, []).append(round(value, 4))
        self.loads.setdefault(what, []).append(load1())
        print(f"{datetime.now(UTC):%H:%M:%S} load {load1():5.2f}  {peer:9} {what}: {value:.4g}", flush=True)

    def median(self, what: str, peer: str) -> float | None:
        """The median, None if it was not measured."""
        found = self.figures.get(what, {}).get(peer)
        return statistics.median(found) if found else None

    def table(self, peers: list[str]) -> str:
        """One line per measurement; the ratio says how many times better ours is than the first peer."""
        lines = ["| what | " + " | ".join(peers) + " | ratio | load |", "|---" * (len(peers) + 3) + "|"]
        for what in self.figures:
            cells = [self._cell(what, peer) for peer in peers]
            lines.append(f"| {what} | {' | '.join(cells)} | {self._ratio(what, peers)} | {max(self.loads[what]):g} |")
        return "\n".join(lines)

    def _cell(self, what: str, peer: str) -> str:
        found = self.figures[what].get(peer)
        if not found:
            return "-"
        each = f" [{', '.join(f'{value:.4g}' for value in found)}]" if len(found) > 1 else ""
        return f"{statistics.median(found):.4g}{each}"

    def _ratio(self, what: str, peers: list[str]) -> str:
        ours, theirs = self.median(what, peers[0]), self.median(what, peers[1]) if len(peers) > 1 else None
        if not ours or not theirs:
            return "-"
        return f"{ours / theirs if 'per second' in what else theirs / ours:.2f}"

    def write(self, name: str) -> Path:
        """Keep every figure in bench/results."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps({"about": self.about, "figures": self.figures, "loads": self.loads}, indent=1))
        return path


def machine() -> dict[str, Any]:
    """Where a run was made."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    return {
        "at_utc": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "cores": os.cpu_count(),
        "processor": model,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": load1(),
    }
