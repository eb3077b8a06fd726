"""A site: a PostgreSQL server, a Prosody and poolpair's service, each a process of its own; and a pair of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from poolpair.lab.pool import HOMES, PROGRAM, Pool, run_command, wait_for
from poolpair.lab.waiting import NotSeen
from tests.cluster import Cluster
from tests.prosody.server import POOLS, Ports, Prosody, hosts_of

SEEN_S = 30.0
QUICK = {"interval": '"5s"', "heartbeat_max": '"500ms"'}
"""So that nobody waits for a heartbeat."""
KEPT = "synchronous_commit = on\n"
"""What a client was told is kept must be there after the crash."""
ASK_S = 0.2
"""Between two looks that start a program: the servers have the same two processors."""


@dataclass
class SitePool(Pool):
    """A pool whose application is a Prosody; its hooks activate and deactivate hosts."""

    url: str = ""
    files: Path = Path()
    extra: str = ""
    """Whole sections of the pool file."""

    @property
    def mount(self) -> Path:
        """Where this site has mounted the partner's share."""
        return self.folder / f"{self.name}-sees-{self.partner}"

    def lose_mount(self) -> None:
        """The line to the partner's share is cut: nothing leaves this site any more."""
        self.mount.unlink()

    def mount_again(self) -> None:
        """The line is back."""
        self.mount.symlink_to(self.folder / f"share-{self.partner}")

    def write_toml(self, **settings: str) -> None:
        """Write the pool file anew; `settings` are TOML values of [sync]."""
        self.settings = {**self.settings, **settings}
        homes = "".join(f'"{pattern}" = "{owner}"\n' for pattern, owner in HOMES.items())
        sync = "".join(f"{key} = {value}\n" for key, value in self.settings.items())
        self.toml.write_text(
            f'pool = "{self.name}"\nstore = "{self.url}"\nprofile = "prosody"\nscratch = "{self._scratch}"\n'
            f'share = "{self.share}"\nfiles = "{self.files}"\nfront_end = "fe-{self.name}"\n\n'
            f'[partner]\npool = "{self.partner}"\nshare = "{self.mount}"\n'
            f'key_file = "{self.folder}/pair.key"\n\n[homes]\n{homes}\n[sync]\n{sync}\n{self.extra}'
        )


@dataclass
class Site:
    """Everything that stands at one place, and dies with it."""

    name: str
    cluster: Cluster
    prosody: Prosody
    pool: SitePool

    def kill(self) -> None:
        """The power fails: every process of the site ends at once."""
        postmaster = self.cluster.postmaster
        assert postmaster is not None
        server = [postmaster, *_children(postmaster)]
        self.prosody.kill()  # first: it would go on passing on messages that no database keeps any more
        for process in server:
            with suppress(ProcessLookupError):  # a child may have ended by itself
                os.kill(process, signal.SIGKILL)
        self.pool.kill()
        wait_for("the end of PostgreSQL", lambda: not any(map(_lives, server)), SEEN_S)

    def boot(self) -> None:
        """The power is back: everything starts by itself, in the order of a machine's start."""
        if not _lives(self.cluster.postmaster or 0):
            self.cluster.start()
        if self.prosody.process is None:
            self.prosody.start()
        if self.pool.service is None:
            self.pool.start()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the database."""
        with self.cluster.connect("prosody") as connection:
            return connection.execute(query, values or None).fetchall()

    def serves(self, pool: str) -> bool:
        """Whether this Prosody serves the domain of a pool, whole."""
        return set(hosts_of(pool)) <= self.prosody.active()

    def wait_serving(self, *pools: str) -> None:
        """Wait until this Prosody serves exactly these pools' domains."""
        wanted = {host for pool in pools for host in hosts_of(pool)}
        wait_for(f"{self.name} serving {sorted(wanted)}", lambda: self.prosody.active() == wanted, SEEN_S, poll_s=ASK_S)


Sites = tuple[Site, Site]


def _children(parent: int) -> list[int]:
    """The processes that one started itself."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [process for process in processes if _state(process)[1:2] == [str(parent)]]


def _lives(process: int) -> bool:
    """Whether a process is there and has not ended, reaped or not."""
    return _state(process)[:1] not in ([], ["Z"])


def _state(process: int) -> list[str]:
    """The state of a process and its parent; empty if there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []


def sections_for(prosody: Prosody, toml: Path) -> str:
    """The sections of the pool file that let Prosody serve what the pool serves."""
    steps = {
        "gate_open": "activate",
        "gate_close": "deactivate",
        "before_fence": "deactivate",
        "after_serve": "activate",
    }
    hooks = "".join(
        f"{hook} = {json.dumps([*PROGRAM, '-c', str(toml), 'prosody', verb])}\n" for hook, verb in steps.items()
    )
    return f'[application]\nprosody = "{prosody.config}"\n\n[gate]\nwatch = "{prosody.socket}"\n\n[hooks]\n{hooks}'


def _make_site(folder: Path, pool: str, ports: dict[str, Ports], settings: str, sync: dict[str, str]) -> Site:
    cluster = Cluster(settings=settings)
    cluster.socket.chmod(0o755)
    cluster.create("prosody")
    sql = f'driver = "PostgreSQL"; database = "prosody"; username = "app"; host = "{cluster.socket}"'
    prosody = Prosody(folder / f"prosody-{pool}", ports, pool, sql)
    other = POOLS[1 - POOLS.index(pool)]
    made = SitePool(
        pool,
        other,
        folder,
        dict(sync),
        url=cluster.url("prosody"),
        files=prosody.data,
        extra=sections_for(prosody, folder / f"{pool}.toml"),
    )
    made.share.mkdir()
    made.mount_again()
    made.write_toml()
    return Site(pool, cluster, prosody, made)


def _prepare(site: Site) -> None:
    site.prosody.start()
    site.pool.must("init")


@contextmanager
def built_sites(settings: str = KEPT, sync: dict[str, str] = QUICK) -> Iterator[Sites]:
    """Two sites of which only the databases run: `settings` are theirs, `sync` lines of [sync]."""
    folder = Path(mkdtemp(prefix="poolpair-sites-"))
    folder.chmod(0o755)  # Prosody runs as its own user
    done = run_command("key", "new", str(folder / "pair.key"))
    assert done.exit_status == 0, done.talk
    ports = {pool: Ports() for pool in POOLS}
    sites: list[Site] = []
    try:
        with ThreadPoolExecutor() as builders:
            sites += builders.map(lambda pool: _make_site(folder, pool, ports, settings, sync), POOLS)
        yield sites[0], sites[1]
    finally:
        for site in sites:
            site.pool.kill()
            site.prosody.kill()
            if not _lives(site.cluster.postmaster or 0):
                (site.cluster.data / "postmaster.pid").unlink(missing_ok=True)
            site.cluster.end()
        shutil.rmtree(folder)


@contextmanager
def running_sites() -> Iterator[Sites]:
    """Two sites after their first copy, each serving its own domain."""
    with built_sites() as sites:
        with ThreadPoolExecutor() as builders:
            list(builders.map(_prepare, sites))
        protect(*sites)
        yield sites


def protect(*sites: Site) -> None:
    """Start the services, and wait until each site serves its own domain and is whole at the other."""
    for site in sites:
        site.pool.start()
    for site in sites:
        site.wait_serving(site.name)
    wait_rest(*sites)


def wait_rest(*sites: Site) -> None:
    """Wait until everything that was captured anywhere is applied."""
    for site in sites:
        try:
            wait_for(f"FinalState at {site.name}", site.pool.is_final, SEEN_S, poll_s=ASK_S)
        except NotSeen as error:
            raise NotSeen(f"{error}\n{site.pool.run('status').out}") from error
