"""The world of a run: two pools with their databases, trees, shares and clocks, and the services that live and die in it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from poolpair.errors import Code, PoolpairError
from poolpair.format.keys import SECRET_BYTES, KeyRing
from poolpair.format.layout import PoolIdentity, cookie_dir, data_dir, folders, identity_file
from poolpair.hooks.memory import MemoryHooks
from poolpair.model import new_id
from poolpair.moves import GateRules
from poolpair.pipeline.site import Site, outbound_name
from poolpair.serving.gate import begin
from poolpair.share.memory import MemoryShare, Stored
from poolpair.state import Outbound, Seed
from poolpair.store.tree_memory import MemoryTree
from poolpair.testing.clock import VirtualClock
from poolpair.testing.faulty import Gate, Gated, ProcessEnd
from poolpair.testing.schema import (
    CHANNELS,
    LEAD,
    LIMITS,
    MANAGEMENT,
    POOLS,
    SETTINGS,
    file_home,
    inherited_file,
    other,
)
from poolpair.testing.steps import Step
from poolpair.testing.truth import Truth
from poolpair.testing.view import Database, Write
from poolpair.wiring import begin_work

TICK_S = 0.001
"""Every step and every interlude takes this long, so that times tell their order."""
FOLDERS = tuple(folder(channel) for channel in CHANNELS for folder in (data_dir, cookie_dir))
RECORDED_MAX = 24
"""Packages and cookies that somebody who watches a share keeps, to bring them again."""


class Speaking:
    """Stands in for the lock around speaking: the simulator asks whether it is held before it lets the other thread speak."""

    def __init__(self) -> None:
        self.depth = 0

    def __enter__(self) -> bool:
        self.depth += 1
        return True

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


@dataclass(slots=True)
class Process:
    """A running service: the site of its work, the site of its heartbeat, both with one memory."""

    site: Site
    beater: Site
    speaking: Speaking
    busy: bool = False
    """In the middle of a pass: it has one thread for that."""
    told: bool = False
    """It wrote a pulse since it started."""
    asked: Site | None = None
    """The same ports without gates, for who asks for its status."""


@dataclass(slots=True)
class Pool:
    """One pool: what survives a crash, and its processes."""

    name: str
    clock: VirtualClock
    database: Database
    share: MemoryShare
    tree: MemoryTree
    ring: KeyRing
    gate: Gate
    scratch: Path
    processes: list[Process] = field(default_factory=list)
    backups: list[tuple[object, Any]] = field(default_factory=list)
    recorded: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Files that once stood in this pool's share: folder, name and content."""
    long: tuple[Write, ...] = ()
    """What the open transaction of the application has written."""
    hooks: MemoryHooks = field(default_factory=MemoryHooks)
    """As the operator set them: they outlive every process."""
    rules: GateRules = field(default_factory=GateRules)
    """What the pool file says of the gate."""
    unhooked: set[str] = field(default_factory=set)
    """Plans that began before there were hooks."""

    def standing(self) -> tuple[Stored, ...]:
        """Packages and cookies in this pool's share; each file that is put there is an object of its own."""
        return tuple(stored for folder in FOLDERS for stored in self.share.tree[folder].values())


Watcher = Callable[["World", str, str, bool, tuple[Any, ...]], None]
"""Is told of each port call: whose, its point, whether it is over, its arguments."""


class World:
    """Both pools. `make` gives each its database; `interlude` carries out what happens between two port calls, `watch` hears of each."""

    def __init__(
        self, scratch: Path, make: Callable[[str], Database], interlude: Callable[[Step], None], watch: Watcher
    ) -> None:
        self.truth = Truth()
        self._watch = watch
        self.interlude = interlude
        self.fired: Counter[str] = Counter()
        self.ring = KeyRing.of(new_id(), bytes(range(SECRET_BYTES)))
        self.spare = bytes(range(1, SECRET_BYTES + 1))
        self.pools: dict[str, Pool] = {}
        self.value = 0
        """The last value that the application wrote; each is new."""
        for name in POOLS:
            self.pools[name] = self._make_pool(name, scratch / name, make(name), interlude)

    def _make_pool(self, name: str, scratch: Path, database: Database, interlude: Callable[[Step], None]) -> Pool:
        scratch.mkdir()
        clock = VirtualClock()
        share, tree = MemoryShare(clock.monotonic_s), MemoryTree(clock.monotonic_s)
        tree.write(*inherited_file(name))
        gate = Gate(name, interlude, self.advance, lambda point, over, args: self._watch(self, name, point, over, args))
        pool = Pool(name, clock, database, share, tree, self.ring, gate, scratch)
        share.prepare(folders(CHANNELS))
        store = database.open(clock)
        owner = PoolIdentity(pool=name, pair_id=self.ring.pair_id, store_id=store.identity().store_id)
        share.write_small(identity_file(LEAD), owner.encode().encode())
        with store.transaction(fencing=True) as tx:
            for channel in CHANNELS:
                tx.save(outbound_name(channel), Outbound(stream=new_id(), seed=Seed()))
            tx.fence({other(name): other(name)})
        store.close()
        return pool

    def advance(self, seconds: float) -> None:
        """Let time pass on both machines."""
        for pool in self.pools.values():
            pool.clock.advance(seconds)

    def acted(self, pool: Pool) -> None:
        """Note that the simulator did something to this pool's copy just now."""
        self.truth.acts[pool.name] = self.pools[other(pool.name)].clock.now_s

    def start(self, name: str) -> None:
        """Start a service of a pool."""
        pool = self.pools[name]
        site = self.site(pool, pool.database)
        speaking = self.new_speaking(site)
        pool.gate.arm(())
        try:
            begin_work(site, f"{name}-{len(pool.processes)}")
            with suppress(PoolpairError):
                begin(site)
        except BaseException:  # the process ends, whatever kept it from starting
            bare(site.store).close()
            raise
        store = pool.database.join(bare(site.store), pool.clock)
        beater = replace(site, store=cast("Any", Gated(store, "store", "store", pool.gate)))
        pool.processes.append(Process(site, beater, speaking))

    @staticmethod
    def new_speaking(site: Site) -> Speaking:
        """Put a lock that can be asked into a site."""
        speaking = Speaking()
        site.memory.speaking = cast("Any", speaking)
        return speaking

    def site(self, pool: Pool, database: Database) -> Site:
        """A site over gated ports."""

        def gated(port: object, name: str) -> Any:  # noqa: ANN401
            return Gated(port, name, name, pool.gate)

        return Site(
            pool=pool.name,
            partner=other(pool.name),
            pair_id=self.ring.pair_id,
            keys=lambda: pool.ring,
            store=gated(database.open(pool.clock), "store"),
            own=gated(pool.share, "own"),
            other=gated(self.pools[other(pool.name)].share, "other") if len(self.pools) > 1 else gated(None, "other"),
            tree=None if MANAGEMENT else gated(pool.tree, "tree"),
            file_home=file_home,
            clock=pool.clock,
            settings=SETTINGS,
            limits=LIMITS,
            scratch=pool.scratch,
            channels=CHANNELS,
            front_end=f"fe-{pool.name}",
            hooks=gated(pool.hooks, "hooks"),
            gate=pool.rules,
        )

    def commander(self, pool: Pool) -> Site:
        """A site as a command has it: no lease, no gate, the same store and share."""
        site = self.site(pool, pool.database)
        return replace(site, store=bare(site.store), own=cast("Any", pool.share))

    def kill(self, name: str) -> None:
        """End all processes of a pool without a word."""
        pool = self.pools[name]
        while pool.processes:
            self.end(pool, pool.processes[-1])

    def end(self, pool: Pool, process: Process) -> None:
        """End one process; whatever it had open closes with it."""
        pool.processes.remove(process)
        bare(process.beater.store).close()
        bare(process.site.store).close()

    def close(self) -> None:
        """The end of a run."""
        for pool in self.pools.values():
            self.kill(pool.name)
            pool.database.close()
            shutil.rmtree(pool.scratch)

    def record(self, pool: Pool) -> None:
        """Whoever watches a share keeps copies of what stands in it."""
        for folder in FOLDERS:
            for name, stored in pool.share.tree[folder].items():
                entry = (folder, name, stored.data)
                if entry not in pool.recorded:
                    pool.recorded.append(entry)
        del pool.recorded[:-RECORDED_MAX]


def bare(port: object) -> Any:  # noqa: ANN401
    """The port behind a gate."""
    return object.__getattribute__(port, "_target") if isinstance(port, Gated) else port


def serve(world: World, pool: Pool, process: Process, work: Callable[[], object]) -> str:
    """Let a process work; a lost lease ends it, and its death is death for all of the pool's processes here."""
    try:
        moved = work()
    except ProcessEnd as end:
        world.kill(end.pool)
        return "died"
    except PoolpairError as error:
        if error.code is not Code.LEASE:
            raise
        if process in pool.processes:
            world.end(pool, process)
        return "lost its lease"
    return "moved" if moved else "idle"
