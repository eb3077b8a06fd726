"""Two pools wholly in memory but for a scratch folder: stores, shares and clock; stepped by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from poolpair.alongside import write_pulse
from poolpair.cycle import beat, run_pass
from poolpair.format.keys import SECRET_BYTES, KeyRing
from poolpair.format.layout import POOL_JSON, PoolIdentity, data_dir, folders
from poolpair.homes import settings_digest
from poolpair.model import Channel, new_id
from poolpair.pipeline.limits import Limits
from poolpair.pipeline.site import Site, outbound_name
from poolpair.report import gather
from poolpair.share.memory import MemoryShare
from poolpair.state import Outbound, Seed
from poolpair.status import ChannelStatus
from poolpair.store.memory.disk import MemoryDisk
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable, Row
from poolpair.store.memory.store import MemoryStore
from poolpair.testing.clock import VirtualClock
from poolpair.wiring import begin_work

USERS = Channel.USERS
POOLS = ("a", "b")


def _host(key: Key) -> str:
    return str(key[0])


SCHEMA = MemorySchema(
    (
        MemoryTable(
            number=1,
            name="account",
            key=("host", "user"),
            columns=("host", "user", "value"),
            unique=True,
            home_key=_host,
        ),
        MemoryTable(number=2, name="roster", key=("host", "user"), columns=("host", "user", "contact"), home_key=_host),
        MemoryTable(number=3, name="notice", key=("name",), columns=("name", "value"), unique=True),
    ),
    (("a.example", "a"), ("b.example", "b"), ("shared", "a")),
)
LIMITS = Limits(
    interval_s=120.0,
    heartbeat_s=10.0,
    eager=True,
    window=8,
    conference_max_bytes=1 << 30,
    package_max_bytes=1 << 30,
    guard_fraction=0.2,
    guard_groups=1000,
    parked_max=100,
)


@dataclass
class MemoryPair:
    """Both pools. `disks` and `shares` survive a crash, `sites` do not."""

    scratch: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    ring: KeyRing = field(default_factory=lambda: KeyRing.of(new_id(), bytes(range(SECRET_BYTES))))
    disks: dict[str, MemoryDisk] = field(default_factory=dict)
    shares: dict[str, MemoryShare] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pool in POOLS:
            disk = self.disks[pool] = MemoryDisk(SCHEMA, location=pool)
            share = self.shares[pool] = MemoryShare(self.clock.monotonic_s)
            store = MemoryStore(disk, self.clock)
            share.prepare(folders([USERS]))
            owner = PoolIdentity(pool=pool, pair_id=self.ring.pair_id, store_id=store.identity().store_id)
            share.write_small(POOL_JSON, owner.encode().encode())
            with store.transaction() as tx:
                tx.save(outbound_name(USERS), Outbound(stream=new_id(), seed=Seed()))
            (self.scratch / pool).mkdir()

    def start(self, pool: str) -> Site:
        """Start a pool's service."""
        other = POOLS[1 - POOLS.index(pool)]
        site = self.sites[pool] = Site(
            pool=pool,
            partner=other,
            pair_id=self.ring.pair_id,
            keys=lambda: self.ring,
            store=MemoryStore(self.disks[pool], self.clock),
            own=self.shares[pool],
            other=self.shares[other],
            tree=None,
            file_home=lambda _path: None,
            clock=self.clock,
            settings=settings_digest(SCHEMA.homes, "profile"),
            limits=LIMITS,
            scratch=self.scratch / pool,
            channels=(USERS,),
            front_end=f"fe-{pool}",
        )
        begin_work(site, f"test-{pool}")
        return site

    def crash(self, pool: str) -> None:
        """End a pool's process without a word."""
        self.sites.pop(pool).store.close()

    def turn(self, *, force: bool = False) -> bool:
        """One pass of every pool that runs."""
        self.clock.advance(1)
        moved = [run_pass(site, USERS, force=force) for site in self.sites.values()]
        for site in self.sites.values():
            write_pulse(site)
        return any(moved)

    def settle(self, turns: int = 60) -> None:
        """Run passes and heartbeats until nothing moves."""
        for _ in range(turns):
            if self.turn():
                continue
            for _ in range(2):
                for site in self.sites.values():
                    beat(site, USERS)
                self.turn()
            if not self.turn():
                return
        raise AssertionError("the pair does not come to rest")

    def channel(self, pool: str) -> ChannelStatus:
        """Status of the users channel."""
        return gather(self.sites[pool]).channels[0]

    def outbound(self, pool: str) -> Outbound:
        """What a pool remembers of what it sent."""
        out = self.sites[pool].store.read(Outbound, outbound_name(USERS))
        assert out is not None
        return out

    def rows(self, pool: str) -> dict[str, list[Row]]:
        """Every row of every table, in a comparable order."""
        return {table.name: sorted(self.disks[pool].rows(table.name), key=repr) for table in SCHEMA.tables}

    def packages(self, pool: str) -> list[str]:
        """Names of packages that stand in a pool's share."""
        return [listed.name for listed in self.shares[pool].list(data_dir(USERS))]
