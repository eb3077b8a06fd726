"""The partner's share is a mount that hangs: whoever touches it waits without end. What this pool serves must not suffer, nor its fence."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pytest

from poolpair.api.answers import Answers
from poolpair.config import load_config
from poolpair.lab.pool import Pool, make_pools, wait_for
from poolpair.moves import GATE, Gate, GateWhy
from poolpair.pipeline.site import Site
from poolpair.pulse import PULSE, Pulse
from poolpair.service import Service
from poolpair.share.port import AccessCheck, PartnerShare
from poolpair.wiring import beater, open_site, working_site

BUDDY = "INSERT INTO prosody VALUES ('a.example', 'valjean', 'roster', 'new@a.example', 'json', '{}')"
WAIT_S = 60.0


@dataclass
class HangingShare:
    """A partner's share; every call hangs until it is let go."""

    share: PartnerShare
    free: threading.Event

    def identity(self, path: str, limit_bytes: int) -> bytes | None:
        """Hang."""
        self.free.wait()
        return self.share.identity(path, limit_bytes)

    def bring(self, source: BinaryIO, temp_name: str, begins: int, limit_bytes: int) -> int:
        """Hang."""
        self.free.wait()
        return self.share.bring(source, temp_name, begins, limit_bytes)

    def deliver(self, source: BinaryIO, folder: str, name: str, temp_name: str, begins: int = 0) -> int:
        """Hang."""
        self.free.wait()
        return self.share.deliver(source, folder, name, temp_name, begins)

    def forget(self, temp_name: str) -> None:
        """Hang."""
        self.free.wait()
        self.share.forget(temp_name)

    def replace(self, folder: str, name: str, data: bytes, temp_name: str) -> None:
        """Hang."""
        self.free.wait()
        self.share.replace(folder, name, data, temp_name)

    def free_bytes(self) -> int:
        """Hang."""
        self.free.wait()
        return self.share.free_bytes()

    def check_access(self, folders: Sequence[str]) -> tuple[AccessCheck, ...]:
        """Hang."""
        self.free.wait()
        return self.share.check_access(folders)


@contextmanager
def hanging_service(pool: Pool) -> Iterator[list[str]]:
    """A service in this process whose partner's share hangs from the start; gives what it says, as it says it."""
    config, free, said = load_config(pool.toml), threading.Event(), list[str]()
    with working_site(config) as site:
        another = beater(config, site)

        def hung(made: Site) -> Site:
            return replace(made, other=HangingShare(made.other, free))

        service = Service(hung(site), lambda: hung(another()), lambda line: said.append(str(line)))
        service.begin()
        thread = threading.Thread(target=service.run)
        thread.start()
        try:
            yield said
        finally:
            free.set()
            service.stop()
            thread.join()


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """Pool a, with a gate that closes in silence; b's service does not run."""
    a, _ = make_pools(tmp_path, heartbeat_max='"500ms"')
    with a.toml.open("a") as file:
        file.write('\n[gate]\nself_fence_after = "2s"\n')
    return a


@pytest.mark.timeout(120)
def test_a_hanging_share_keeps_neither_the_pulse_nor_the_gate(pool: Pool) -> None:
    """The service goes on saying that it lives, and still fences its users when it has heard nothing for too long."""
    config = load_config(pool.toml)
    answers = Answers(lambda: open_site(config), ("a", "b"), "a")
    site = open_site(config)
    try:
        with hanging_service(pool) as said:
            assert answers.serving("a").serving
            pulses: set[float] = set()

            def beats() -> bool:
                pulse = site.store.read(Pulse, PULSE)
                pulses.add(pulse.at_s if pulse is not None else 0.0)
                return len(pulses) > 4

            wait_for("the service saying that it lives", beats, WAIT_S)
            wait_for("the gate closing", lambda: site.store.read(Gate, GATE) is not None, WAIT_S)
            gate = site.store.read(Gate, GATE)
            assert gate is not None
            assert gate.why is GateWhy.SILENT
            with pool.sql() as connection, pytest.raises(sqlite3.IntegrityError, match="perhaps"):
                connection.execute(BUDDY)
            assert "gate is closed" in answers.serving("a").why
            assert any("gate: closed (silent)" in line for line in said)
    finally:
        site.store.close()
        answers.close()
