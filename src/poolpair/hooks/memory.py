"""Hooks that run nothing: for tests and the simulator, which say how they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from poolpair.hooks.port import HookResult
from poolpair.moves import HookStep


@dataclass
class MemoryHooks:
    """Remembers what ran. The next `failing` runs fail; `meanwhile` is what happens in the middle of each."""

    commands: dict[HookStep, tuple[str, ...]] = field(default_factory=dict)
    failing: int = 0
    ran: list[tuple[HookStep, dict[str, str]]] = field(default_factory=list)
    meanwhile: Callable[[HookStep], None] = lambda _step: None
    failed: Callable[[], None] = lambda: None
    """Is told of each run that fails."""
    well: set[tuple[str, HookStep]] = field(default_factory=set)
    """Plans, and which of their hooks ended well."""
    starts: int = 0
    """Of the application."""
    silent: str = ""
    """Why the application does not run."""

    def run(self, step: HookStep, words: Mapping[str, str]) -> HookResult | None:
        self.ran.append((step, dict(words)))
        self.meanwhile(step)
        if self.failing:
            self.failing -= 1
            self.failed()
            return HookResult(failure="ended with status 1", output="it was told to fail\n")
        self.well.add((words.get("POOLPAIR_PLAN", ""), step))
        return HookResult()

    def interrupt(self) -> None:
        pass

    def application(self) -> object:
        return self.starts

    def down(self) -> str:
        return self.silent
