"""What every way of copying can be asked to do, so that one measurement serves them all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from bench.server import Server

WAIT_S = 900.0


class Peer(Protocol):
    """Copies database `database` of server `a` to that of server `b`."""

    name: str
    a: Server
    b: Server
    database: str

    def begin(self) -> None:
        """Make ready for a first copy: all rows at a, none at b."""
        ...

    def copy(self) -> float:
        """Start, and wait until every row is there; gives when it began, with every process up."""
        ...

    def rest(self) -> None:
        """Wait until nothing is under way."""
        ...

    def pause(self) -> None:
        """Stop sending; changes are still captured."""
        ...

    def resume(self) -> None:
        """Send again."""
        ...

    def shipped(self) -> int:
        """Bytes sent since the last `resume`."""
        ...

    def end(self) -> None:
        """Stop everything; the databases stay."""
        ...


def wait_until(what: str, seen: Callable[[], bool], poll_s: float = 0.005, timeout_s: float = WAIT_S) -> None:
    """Look until it is so."""
    deadline_s = time.monotonic() + timeout_s
    while not seen():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{what}: not seen within {timeout_s:g} s")
        time.sleep(poll_s)
