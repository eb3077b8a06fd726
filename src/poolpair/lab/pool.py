"""One pool as real processes: its pool file, its service, the commands run for it.

Nothing here runs the product in this process: it is driven from outside, as an operator would. A `Pool` ends only the process it started.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from poolpair.lab.database import Change, Database, SqliteDatabase
from poolpair.lab.waiting import POLL_S, NotSeen, wait_for

__all__ = ["NotSeen", "Pool", "wait_for"]

T = TypeVar("T")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "les_miserables"
HOMES = {"a.example": "a", "*.a.example": "a", "b.example": "b", "*.b.example": "b"}
START_S = 20.0
STOP_S = 20.0
COMMAND_S = 90.0
PROGRAM = (sys.executable, "-m", "poolpair.cli.main")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave back."""

    exit_status: int
    out: str
    talk: str

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        """Standard output read as JSON."""
        return json.loads(self.out)


@dataclass
class Pool:
    """One pool below `folder`: `a.toml`, `data-a`, `share-a`, `a.log`."""

    name: str
    partner: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Lines of [sync], such as interval."""
    service: subprocess.Popen[bytes] | None = None
    elsewhere: Database | None = None
    """Its database, if that is not the file in `data`."""
    program: tuple[str, ...] = PROGRAM
    """What is run for it: another release may be installed elsewhere."""
    patience_s: float = START_S
    """How long is waited for what has to be seen of it."""

    @property
    def store(self) -> Database:
        """The application's database, whatever its kind."""
        return self.elsewhere or SqliteDatabase(self.database)

    @property
    def toml(self) -> Path:
        """The pool file."""
        return self.folder / f"{self.name}.toml"

    @property
    def data(self) -> Path:
        """The application's folder: database and files."""
        return self.folder / f"data-{self.name}"

    @property
    def database(self) -> Path:
        """The application's database, if it is a file."""
        return self.data / "prosody.sqlite"

    @property
    def wal(self) -> Path:
        """The database's write-ahead log."""
        return self.data / "prosody.sqlite-wal"

    @property
    def scratch(self) -> Path:
        """Where the service unpacks."""
        return (
            self.data / "prosody.sqlite.poolpair" if self.elsewhere is None else self._scratch / f"poolpair-{self.name}"
        )

    @property
    def _scratch(self) -> Path:
        return self.folder / f"scratch-{self.name}"

    @property
    def share(self) -> Path:
        """The pool's own share."""
        return self.folder / f"share-{self.name}"

    @property
    def uploads(self) -> Path:
        """Where the application keeps what users of this pool uploaded."""
        return self.data / f"share%2e{self.name}%2eexample" / "http_file_share"

    @property
    def log(self) -> Path:
        """What the service says."""
        return self.folder / f"{self.name}.log"

    def prepare(self) -> None:
        """Copy the example data, make the share and the pool file."""
        left = shutil.ignore_patterns("*.sqlite") if self.elsewhere else None
        shutil.copytree(EXAMPLES / self.name, self.data, ignore=left)
        self.store.prepare(EXAMPLES / self.name)
        self.share.mkdir()
        self.write_toml()

    def write_toml(self, **settings: str) -> None:
        """Write the pool file anew; `settings` are TOML values of [sync]."""
        self.settings = {**self.settings, **settings}
        homes = "".join(f'"{pattern}" = "{owner}"\n' for pattern, owner in HOMES.items())
        sync = "".join(f"{key} = {value}\n" for key, value in self.settings.items())
        scratch = f'scratch = "{self._scratch}"\n' if self.elsewhere else ""
        self.toml.write_text(
            f'pool = "{self.name}"\nstore = "{self.store.url}"\nprofile = "prosody"\n{scratch}'
            f'share = "{self.share}"\nfiles = "{self.data}"\nfront_end = "fe-{self.name}"\n\n'
            f'[partner]\npool = "{self.partner}"\nshare = "{self.folder}/share-{self.partner}"\n'
            f'key_file = "{self.folder}/pair.key"\n\n[homes]\n{homes}\n[sync]\n{sync}'
        )

    def run(self, *words: str) -> Answer:
        """Run one command for this pool to its end."""
        return run_command("-c", str(self.toml), *words, program=self.program)

    def spawn(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one command for this pool and do not wait for it."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen([*self.program, "-c", str(self.toml), *words], stdin=quiet, stdout=quiet, stderr=quiet)

    def must(self, *words: str) -> Answer:
        """Run one command that has to succeed. Raises NotSeen with what it said."""
        answer = self.run(*words)
        if answer.exit_status:
            raise NotSeen(
                f"{self.name}: poolpair {' '.join(words)} ended with {answer.exit_status}: {answer.talk.strip()}"
            )
        return answer

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        found: dict[str, Any] = self.run("status", "--json").data
        return found

    def check_works(self) -> None:
        """Raises NotSeen if its service ended by itself; one that was stopped, or never started, is in order."""
        if self.service is not None and self.service.poll() is not None:
            raise NotSeen(f"the service of {self.name} ended with {self.service.returncode} by itself")

    def is_final(self) -> bool:
        """Whether every channel is in FinalState, and nothing else is wrong. Raises NotSeen if its service ended by itself."""
        self.check_works()
        answer = self.run("status", "--json")
        return answer.exit_status == 0 and all(
            channel["export"]["status"] == "FinalState" for channel in answer.data["channels"]
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start the service and wait until it says that it works."""
        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.service = subprocess.Popen(
                service_command(self.toml, self.program), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        service = self.service

        def works() -> bool:
            text = self.log.read_bytes()[said:].decode("utf-8", "replace")
            if service.poll() is not None:
                raise NotSeen(f"the service of {self.name} ended with {service.returncode}: {text.strip()}")
            return "works with" in text

        wait_for(f"the service of {self.name} saying that it works", works, self.patience_s)
        return service

    def stop(self) -> int | None:
        """SIGTERM, and wait for the end; gives the exit status, None if no service was started."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int | None:
        """SIGKILL: no chance to tidy up."""
        return self._end(signal.SIGKILL)

    def _end(self, number: int) -> int | None:
        service, self.service = self.service, None
        if service is None:
            return None
        service.send_signal(number)
        try:
            return service.wait(STOP_S)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()
            raise NotSeen(f"the service of {self.name} did not end within {STOP_S:g} s of a signal") from None

    def packages(self, channel: str = "*") -> list[Path]:
        """Packages that stand in this pool's share. `channel` is the original's module, such as PresenceFocus."""
        return sorted(self.share.glob(f"*/Data/{channel}Data/backup-*.zip"))

    def cookies(self, channel: str = "*") -> list[Path]:
        """Cookies that lie in this pool's share."""
        return sorted(self.share.glob(f"*/Cookie/{channel}Cookie/cookie.zip"))

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """The database's file as the application opens it; commits at the end."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection, connection:
            yield connection

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read rows as the application would; `?` stands for a value."""
        return self.store.ask(query, *values)

    def change(self, *changes: Change) -> None:
        """Change rows as the application would, in one transaction."""
        self.store.change(*changes)


def wait_at(what: str, look: Callable[[], T | None], *pools: Pool, poll_s: float = POLL_S) -> T:
    """Wait for what services bring about. Raises NotSeen at once when one of them ended by itself: it comes no more."""

    def works() -> T | None:
        for pool in pools:
            pool.check_works()
        return look()

    return wait_for(what, works, pools[0].patience_s, poll_s=poll_s)


def run_command(*words: str, timeout_s: float = COMMAND_S, program: tuple[str, ...] = PROGRAM) -> Answer:
    """Run `poolpair` with these words to its end. Raises TimeoutExpired if that is not in time."""
    done = subprocess.run(
        [*program, *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "100"},
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def service_command(toml: Path, program: tuple[str, ...] = PROGRAM) -> list[str]:
    """The command line of a service."""
    return [*program, "-c", str(toml), "run", *(["--allow-root"] if os.geteuid() == 0 else [])]


def make_pools(folder: Path, **settings: str) -> tuple[Pool, Pool]:
    """Both pools of a pair, prepared but not started."""
    pools = (Pool("a", "b", folder, dict(settings)), Pool("b", "a", folder, dict(settings)))
    made = run_command("key", "new", str(folder / "pair.key"))
    if made.exit_status:
        raise NotSeen(f"key new: {made.talk.strip()}")
    for pool in pools:
        pool.prepare()
        pool.must("init")
    return pools
