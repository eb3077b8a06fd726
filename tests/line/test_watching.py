"""`status --watch` over a store that fails for a while: it stays, says that what is shown is old, and goes on."""

from __future__ import annotations

import io
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from rich.console import Console

from poolpair.cli.watch import watch
from poolpair.errors import Code, PoolpairError
from poolpair.store.memory.store import MemoryStore
from tests.memory_pair import MemoryPair

T = TypeVar("T")


class Screen(io.StringIO):
    """What is written, and what happens once that was seen."""

    fails = False

    def write(self, text: str) -> int:
        """The store fails after the first look; whoever reads that ends it."""
        if "what is shown is old" in text:
            os.kill(os.getpid(), signal.SIGTERM)
        self.fails = True
        return super().write(text)


@pytest.mark.timeout(60)
def test_a_store_that_cannot_be_read_for_a_while_does_not_end_it(tmp_path: Path) -> None:
    """Everything that is shown was read before; nothing is read while it is drawn."""
    pair, screen = MemoryPair(tmp_path), Screen()
    pair.start("a")

    class Failing(MemoryStore):
        def read(self, cls: type[T], name: str) -> T | None:
            """As the store that it is, until it fails."""
            if screen.fails:
                raise PoolpairError(Code.STORE_MISSING, "the disk is gone")
            return super().read(cls, name)

    site = replace(pair.sites["a"], store=Failing(pair.disks["a"], pair.clock))
    watch(site, Console(file=screen, force_terminal=True, width=100), 0.01)
    assert "what is shown is old: P201: the disk is gone" in screen.getvalue()
