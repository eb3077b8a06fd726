"""The port behind which hooks run. A hook that fails raises nothing: its result says so, and who ordered it decides what that means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from poolpair.moves import HookStep


@dataclass(frozen=True, slots=True, kw_only=True)
class HookResult:
    """How a hook ended."""

    took_s: float = 0.0
    failure: str = ""
    """Why it counts as failed; empty if it ended with status 0."""
    output: str = ""
    """The end of what it wrote, printable text only."""
    cut: bool = False
    """It wrote more than that."""


class Hooks(Protocol):
    """Runs the commands that the pool file names."""

    @property
    def commands(self) -> Mapping[HookStep, tuple[str, ...]]:
        """The program and its arguments at each step that has a hook."""
        ...

    def run(self, step: HookStep, words: Mapping[str, str]) -> HookResult | None:
        """Run a step's hook to its end, or to its timeout; `words` are added to its environment.

        None: this process was asked to end and ended the hook; it is to run again.
        """
        ...

    def interrupt(self) -> None:
        """End the hook that runs, and run none any more; safe from a signal handler."""
        ...

    def application(self) -> object:
        """A mark of the application's present run: another one after each of its starts, the same always if nothing tells."""
        ...

    def down(self) -> str:
        """Why the application cannot serve anybody just now; empty if it runs, or if nothing tells. A few seconds old at most."""
        ...


class NoHooks:
    """Where none are set."""

    @property
    def commands(self) -> Mapping[HookStep, tuple[str, ...]]:
        return {}

    def run(self, step: HookStep, words: Mapping[str, str]) -> HookResult | None:
        return HookResult()

    def interrupt(self) -> None:
        pass

    def application(self) -> object:
        return None

    def down(self) -> str:
        return ""
