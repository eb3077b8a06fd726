"""Waiting for something to be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.02


class NotSeen(Exception):
    """Something that had to be seen was not seen in time; the text says what, and what was seen instead."""


def wait_for(what: str, look: Callable[[], T | None], timeout_s: float, *, poll_s: float = POLL_S) -> T:
    """Look again and again until there is something to see. Raises NotSeen."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline_s:
            raise NotSeen(f"{what}: not seen within {timeout_s:g} s")
        time.sleep(poll_s)
