"""Bucardo, the trigger-based peer, as its package comes: a daemon beside the servers, started once the sync is defined."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from bench import userdata
from bench.peer import wait_until
from bench.server import Server


class Bucardo:
    """Implements `bench.peer.Peer`. Pausing stops the daemon; its start counts as part of catching up."""

    name = "bucardo"
    database = "bench"

    def __init__(self, a: Server, b: Server, template: str, folder: Path) -> None:
        if not shutil.which("bucardo"):
            raise SystemExit("install Bucardo: apt-get install bucardo postgresql-plperl-15")
        self.a, self.b = a, b
        self._template = template
        self._folder = folder

    def _call(self, *words: str) -> str:
        place = (f"--dbhost={self.a.socket}", f"--dbport={self.a.port}", "--dbname=bucardo", "--dbuser=bucardo")
        done = subprocess.run(
            [
                "bucardo",
                "--no-bucardorc",
                *place,
                f"--log-destination={self._folder}",
                f"--piddir={self._folder}",
                *words,
            ],
            user=self.a.user,
            group=self.a.user,
            cwd=self._folder,
            env=dict(os.environ, HOME=str(self._folder)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"bucardo {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def begin(self) -> None:
        self._folder.mkdir(exist_ok=True)
        if self.a.user is not None:
            os.chown(self._folder, self.a.user, self.a.user)
        self.a.create(self.database, self._template)
        userdata.empty(self.b, self.database)
        for server in (self.a, self.b):
            server.run("postgres", "CREATE ROLE bucardo SUPERUSER LOGIN")
        self.a.run("postgres", "CREATE DATABASE bucardo OWNER bucardo")
        self._call("install", "--batch")
        self._call(
            "set", "log_level=terse", f"reason_file={self._folder}/reason", f"warning_file={self._folder}/warning"
        )
        for name, server in (("a", self.a), ("b", self.b)):
            self._call(
                "add",
                "db",
                name,
                f"dbname={self.database}",
                f"host={server.socket}",
                f"port={server.port}",
                "user=bucardo",
            )
        self._call("add", "table", "public.userdata", "db=a", "relgroup=g")
        self._call("add", "sync", "s", "relgroup=g", "dbs=a:source,b:target", "onetimecopy=2", "autokick=1")

    def copy(self) -> float:
        began = time.monotonic()
        self._call("start")
        with self.b.connect(self.database) as watcher:
            marked = f"SELECT count(*) FROM userdata WHERE {userdata.MARK}"
            wait_until("Bucardo's copy", lambda: watcher.execute(marked).fetchone() == (1,))
        return began

    def rest(self) -> None:
        """Its own tables say nothing simple; a mark that arrives does."""
        wanted = userdata.mark(self.a, self.database)
        with self.b.connect(self.database) as watcher:
            version = f"SELECT version FROM userdata WHERE {userdata.MARK}"
            wait_until("rest", lambda: watcher.execute(version).fetchone() == (wanted,))

    def pause(self) -> None:
        self._call("stop")
        wait_until("Bucardo's end", lambda: not (self._folder / "bucardo.mcp.pid").exists(), poll_s=0.1)

    def resume(self) -> None:
        self._call("start")

    def shipped(self) -> int:
        """Not counted: two connections of one daemon."""
        return 0

    def end(self) -> None:
        self.pause()
