"""Two pools on the example stores, in a temporary folder, stepped by hand on a virtual clock."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from poolpair.alongside import write_pulse
from poolpair.config import PoolConfig, load_config
from poolpair.cycle import beat, count_unhomed, due_beats, run_pass
from poolpair.errors import PoolpairError
from poolpair.keyfile import new_key_file
from poolpair.model import Channel
from poolpair.pipeline.acknowledge import listen
from poolpair.pipeline.reach import look_at_tree
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.serving.asks import attend
from poolpair.status import ChannelStatus, PairStatus
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import begin_work, initialise, open_site

EXAMPLES = Path(__file__).parents[1] / "examples" / "les_miserables"
HOMES = {"a.example": "a", "*.a.example": "a", "b.example": "b", "*.b.example": "b"}


@dataclass
class Pair:
    """Both pools of a pair; `down` names those whose service does not run now."""

    folder: Path
    clock: VirtualClock
    sites: dict[str, Site] = field(default_factory=dict)
    clocks: dict[str, VirtualClock] = field(default_factory=dict)
    """Pools whose machine has a clock of its own; the others go by `clock`."""
    beaten: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When `live` last sent a heartbeat of the first channel, and of all."""

    @classmethod
    def reopened(cls, folder: Path, original: Path) -> Pair:
        """A copy of a stopped pair at another place, as if it had always been there."""
        pair = cls(folder, VirtualClock())
        for pool in ("a", "b"):
            toml = pair.toml(pool)
            toml.write_text(toml.read_text().replace(str(original), str(folder)))
            store = open_site(pair.config(pool), pair.clock).store
            store.adopt(store.identity().store_id)
            store.close()
        return pair

    def path(self, pool: str) -> Path:
        """The database of a pool."""
        return self.folder / f"data-{pool}" / "prosody.sqlite"

    def toml(self, pool: str) -> Path:
        """The pool file."""
        return self.folder / f"{pool}.toml"

    def config(self, pool: str) -> PoolConfig:
        """The pool file, read."""
        return load_config(self.toml(pool))

    def share(self, pool: str) -> Path:
        """The share of a pool."""
        return self.folder / f"share-{pool}"

    def start(self, pool: str) -> Site:
        """Start a pool's service, in this process and by hand."""
        site = open_site(self.config(pool), self.clock_of(pool))
        try:
            begin_work(site, f"test-{pool}")
        except PoolpairError:
            site.store.close()
            raise
        for channel in site.channels:
            count_unhomed(site, channel)
        self.sites[pool] = site
        self.beaten.pop(pool, None)
        return site

    def stop(self, pool: str) -> None:
        """Stop a pool's service; everything that it held in memory is gone."""
        site = self.sites.pop(pool)
        site.store.release_lease()
        site.store.close()

    def turn(self, *pools: str, force: bool = False) -> bool:
        """One pass of every channel at the named pools, or at all that run. Returns whether something moved."""
        moved = False
        for pool in pools or tuple(self.sites):
            site = self.sites[pool]
            moved |= any([run_pass(site, channel, force=force) for channel in site.channels])
            write_pulse(site)
        return moved

    def beat(self) -> None:
        """A heartbeat of every running pool, and a second so that each hears the other's answer."""
        for _ in range(2):
            for site in self.sites.values():
                _look(site)
                for channel in site.channels:
                    beat(site, channel)
            self.turn()

    def clock_of(self, pool: str) -> VirtualClock:
        """The clock of the machine that a pool runs on."""
        return self.clocks.get(pool, self.clock)

    def advance(self, seconds: float) -> None:
        """Let time pass on all machines, and nothing else happen."""
        for clock in {id(clock): clock for clock in (self.clock, *self.clocks.values())}.values():
            clock.advance(seconds)

    def live(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass as running services spend it: heartbeats when they are due, and in every step a pass and a look at plans."""
        for _ in range(round(seconds / step_s)):
            self.advance(step_s)
            for pool in tuple(self.sites):
                self._beat_if_due(pool)
            self.turn()
            for site in self.sites.values():
                attend(site)

    def _beat_if_due(self, pool: str) -> None:
        """The heartbeat as `service.Service` sends it: of the first channel, and of the others once per interval."""
        site, now = self.sites[pool], self.clock_of(pool).monotonic_s()
        last_s, last_all_s = self.beaten.get(pool, (float("-inf"), float("-inf")))
        if now - last_s < site.limits.heartbeat_s:
            return
        every = now - last_all_s >= site.limits.interval_s
        _look(site)
        for channel in due_beats(site, every=every):
            beat(site, channel)
        self.beaten[pool] = (now, now if every else last_all_s)
        write_pulse(site)

    def settle(self, turns: int = 60, *, force: bool = False) -> None:
        """Run turns until nothing moves; `force` has what waits for the interval leave before each."""
        for _ in range(turns):
            if force:
                self.turn(force=True)  # it always moves something: a forced pass sends its word,
                self.turn()  # which is heard now
            if not self.turn():
                self.beat()
                if not self.turn():
                    return
        raise AssertionError("the pair does not come to rest")

    def status(self, pool: str) -> PairStatus:
        """Status as the command gives it, with the service running or not."""
        if pool in self.sites:
            return gather(self.sites[pool])
        site = open_site(self.config(pool), self.clock_of(pool))
        try:
            return gather(site)
        finally:
            site.store.close()

    def channel(self, pool: str, channel: Channel = Channel.USERS) -> ChannelStatus:
        """Status of one channel."""
        return next(found for found in self.status(pool).channels if found.channel is channel)

    @contextmanager
    def sql(self, pool: str) -> Iterator[sqlite3.Connection]:
        """The database as the application opens it; commits at the end."""
        with closing(sqlite3.connect(self.path(pool), timeout=5)) as connection, connection:
            yield connection

    @contextmanager
    def tampering(self, pool: str) -> Iterator[sqlite3.Connection]:
        """The database as somebody opens it who takes the fence away for what he does."""
        with self.sql(pool) as connection:
            fence = connection.execute("SELECT * FROM poolpair_fence").fetchall()
            connection.execute("DELETE FROM poolpair_fence")
            yield connection
            connection.executemany("INSERT INTO poolpair_fence VALUES (?, ?)", fence)

    def rows(self, pool: str) -> list[tuple[object, ...]]:
        """Every carried row, in a comparable order."""
        with self.sql(pool) as connection:
            site_local = "('cron', 'upload_stats', 'smacks_h', 'state')"
            plain = connection.execute(f"SELECT * FROM prosody WHERE store NOT IN {site_local}").fetchall()
            archive = connection.execute(
                'SELECT host, user, store, key, "when", "with", type, value FROM prosodyarchive'
            ).fetchall()
        return sorted(plain, key=repr) + sorted(archive, key=repr)

    def files(self, pool: str) -> dict[str, bytes]:
        """Every uploaded file."""
        root = self.folder / f"data-{pool}"
        return {
            str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("share*/http_file_share/*.bin"))
        }

    def package_files(self, pool: str) -> list[Path]:
        """Packages that stand in a pool's share."""
        return sorted(self.share(pool).glob("*/Data/*/backup-*.zip"))


def _look(site: Site) -> None:
    """The line of a service hears a word and looks at its tree some milliseconds after it came: nearly always before its own heartbeat."""
    with suppress(PoolpairError):
        listen(site, site.lead)
    if site.tree is not None:
        with suppress(PoolpairError):
            look_at_tree(site, site.tree)


def make_pair(
    folder: Path, *, extra: str = "", interval: str = "2m", eager: bool = True, homes: dict[str, str] | None = None
) -> Pair:
    """Copy the example stores and prepare both pools; no service runs yet."""
    folder.mkdir(exist_ok=True)
    new_key_file(folder / "pair.key")
    for pool, other in (("a", "b"), ("b", "a")):
        shutil.copytree(EXAMPLES / pool, folder / f"data-{pool}")
        (folder / f"share-{pool}").mkdir()
        lines = [f'"{pattern}" = "{owner}"' for pattern, owner in (homes or HOMES).items()]
        (folder / f"{pool}.toml").write_text(
            f'pool = "{pool}"\nstore = "sqlite:///{folder}/data-{pool}/prosody.sqlite"\nprofile = "prosody"\n'
            f'share = "{folder}/share-{pool}"\nfiles = "{folder}/data-{pool}"\nfront_end = "fe-{pool}"\n{extra}\n'
            f'[partner]\npool = "{other}"\nshare = "{folder}/share-{other}"\nkey_file = "{folder}/pair.key"\n'
            "[homes]\n" + "\n".join(lines) + f'\n[sync]\ninterval = "{interval}"\neager = {str(eager).lower()}\n'
        )
    pair = Pair(folder, VirtualClock())
    for pool in ("a", "b"):
        initialise(pair.config(pool))
    return pair
