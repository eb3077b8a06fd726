"""A pair with an API at a, as processes; asked over HTTP as a program asks, and by a browser."""

from __future__ import annotations

import http.client
import json
import math
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poolpair.config import load_config
from poolpair.history import EVERY_S, Hour, Moment, Sample, hour_name
from poolpair.lab.pool import PROGRAM, Pool, make_pools
from poolpair.lab.steps import wait_final
from poolpair.model import Channel
from poolpair.wiring import open_site

SYNC = {"interval": '"5s"', "heartbeat_max": '"500ms"', "eager": "true"}


@dataclass
class Ground:
    """Both pools, the API of a, and its tokens."""

    a: Pool
    b: Pool
    port: int
    operator: str
    reader: str
    hold: Path
    """As long as this file is there, a failover stands at the hook before its fence."""

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """One request; the operator's token unless another is given. Returns status and what was answered, JSON read."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.operator if token is None else token
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            kind = answer.getheader("content-type", "")
            return answer.status, json.loads(text) if "json" in kind else text
        finally:
            connection.close()


@contextmanager
def api(pool: Pool) -> Iterator[int]:
    """`poolpair api` on any free port, ended at the end."""
    if "[api]" not in pool.toml.read_text():
        with pool.toml.open("a") as file:
            file.write('\n[api]\nlisten = "127.0.0.1:0"\n')
    words = [*PROGRAM, "-c", str(pool.toml), "api", "--allow-root"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        try:
            assert "answers on http://127.0.0.1:" in said, said
            yield int(said.split(":")[2].split(";")[0])
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Both services running after the first copy, and the API of a."""
    a, b = make_pools(folder, **SYNC)
    hold, program = folder / "hold", folder / "drain-clients"
    program.write_text(f"#!/bin/sh\nwhile [ -e {hold} ]; do sleep 0.1; done\n")
    program.chmod(0o755)
    a.toml.write_text(f'{a.toml.read_text()}\n[hooks]\nbefore_fence = ["drain-clients"]\n')
    found_before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{found_before}"
    try:
        for pool in (a, b):
            pool.start()
        wait_final(a, b)
        tokens = {role: a.must("token", "show", role).out.split()[0] for role in ("operator", "reader")}
        with api(a) as port:
            yield Ground(a, b, port, tokens["operator"], tokens["reader"], hold)
    finally:
        os.environ["PATH"] = found_before
        for pool in (a, b):
            pool.kill()


def write_a_day(pool: Pool) -> None:
    """Put a day of samples into a pool's store, such as its service would have noted."""
    site = open_site(load_config(pool.toml))
    now_s = int(time.time()) // EVERY_S * EVERY_S
    hours: dict[str, list[Moment]] = {}
    for number in range(24 * 12, 0, -1):
        at_s = now_s - number * EVERY_S
        busy = max(0.05, math.sin((at_s % 86_400) / 86_400 * math.pi)) ** 3
        spike = 40.0 if number in {90, 91} else 0.0
        sample = Sample(
            lag_s=round(0.2 + 2 * busy + spike, 1), sent_bytes=int(9e5 * busy), received_bytes=int(5e5 * busy)
        )
        hours.setdefault(hour_name(at_s), []).append(Moment(at_s=at_s, channels={Channel.USERS: sample}))
    with site.store.transaction() as tx:
        for name, moments in hours.items():
            tx.save(name, Hour(moments=tuple(moments)))
    site.store.close()
