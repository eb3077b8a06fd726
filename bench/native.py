"""PostgreSQL's own logical replication: one publication, one subscription, everything else as it comes."""

from __future__ import annotations

import re
import subprocess
import time

from bench import userdata
from bench.peer import wait_until
from bench.server import Server


class Native:
    """Implements `bench.peer.Peer`."""

    name = "native"
    database = "bench"

    def __init__(self, a: Server, b: Server, template: str) -> None:
        self.a, self.b = a, b
        self._template = template

    def begin(self) -> None:
        self.a.create(self.database, self._template)
        userdata.empty(self.b, self.database)
        self.a.run(self.database, "CREATE PUBLICATION bench FOR TABLE userdata")

    def copy(self) -> float:
        began = time.monotonic()
        self.b.run(
            self.database, f"CREATE SUBSCRIPTION bench CONNECTION '{self.a.tcp(self.database)}' PUBLICATION bench"
        )
        with self.b.connect(self.database) as watcher:
            ready = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"
            wait_until("the native copy", lambda: watcher.execute(ready).fetchone() == (True,))
        return began

    def rest(self) -> None:
        with self.a.connect(self.database) as watcher:
            level = "SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication"
            wait_until("rest", lambda: watcher.execute(level).fetchone() == (True,))

    def pause(self) -> None:
        self.b.run(self.database, "ALTER SUBSCRIPTION bench DISABLE")
        with self.a.connect(self.database) as watcher:
            wait_until(
                "a pause", lambda: watcher.execute("SELECT count(*) FROM pg_stat_replication").fetchone() == (0,)
            )

    def resume(self) -> None:
        self.b.run(self.database, "ALTER SUBSCRIPTION bench ENABLE")

    def shipped(self) -> int:
        """What the walsender's connection sent, by the kernel's own count."""
        port = self.a.number(self.database, "SELECT client_port FROM pg_stat_replication LIMIT 1")
        told = subprocess.run(
            ["ss", "-Htin", f"sport = :{self.a.port} and dport = :{int(port)}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return max((int(found) for found in re.findall(r"bytes_sent:(\d+)", told)), default=0)

    def end(self) -> None:
        self.b.run(self.database, "ALTER SUBSCRIPTION bench DISABLE", "DROP SUBSCRIPTION bench")
