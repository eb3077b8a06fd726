"""Steps of the services and of the machines under them: passes, heartbeats, deaths, rivals, clones, clocks, locks, backups."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.testing.database_memory import REFUSE_MODULUS
from poolpair.testing.facts import digests_in_catalogue, digests_on_disk, lines, serving_of
from poolpair.testing.faulty import ProcessEnd
from poolpair.testing.hooking import note_unhooked
from poolpair.testing.schema import CHANNELS, POOLS, other
from poolpair.testing.steps import Step
from poolpair.testing.turns import one_beat, one_count, one_pass
from poolpair.testing.world import Pool, Process, World, serve

BACKUPS_KEPT = 3


def wait(world: World, step: Step) -> str:
    """Let time pass: mostly seconds, sometimes minutes."""
    seconds = (0.5, 1.0, 5.0, 11.0, 31.0, 125.0)[step.number % 6]
    world.advance(seconds)
    return f"{seconds} s"


def run(world: World, step: Step) -> str:
    """A service looks at all its channels, or at one; sometimes forced."""
    channels = (CHANNELS, CHANNELS, CHANNELS[:1], CHANNELS[1:])[step.number % 4]
    force, rescan = step.number % 7 == 0, step.number % 11 == 0

    def work(process: Process) -> bool:
        process.busy = True
        try:
            return one_pass(process, channels, force=force, rescan=rescan)
        finally:
            process.busy = False

    pool = world.pools[step.pool]
    if pool.processes and pool.processes[step.number % len(pool.processes)].busy:
        return "works already"
    return _let(world, step, work)


def beat(world: World, step: Step) -> str:
    """A heartbeat: of the first channel, once per interval of all. Never while the other thread speaks: that would wait."""
    channels = CHANNELS if step.number % 3 == 0 else CHANNELS[:1]
    pool = world.pools[step.pool]
    if any(process.speaking.depth for process in pool.processes):
        return "waits until the other thread has spoken"
    return _let(world, step, lambda process: one_beat(process, channels))


def count(world: World, step: Step) -> str:
    """The housekeeping of an interval."""
    return _let(world, step, one_count)


def _let(world: World, step: Step, work: Callable[[Process], bool]) -> str:
    pool = world.pools[step.pool]
    if not pool.processes:
        return "is down"
    process = pool.processes[step.number % len(pool.processes)]
    return serve(world, pool, process, lambda: work(process))


def kill(world: World, step: Step) -> str:
    """`kill -9`."""
    pool = world.pools[step.pool]
    if pool.gate.writing:
        return "in the middle of its own call"
    world.kill(step.pool)
    return "dead"


def start(world: World, step: Step) -> str:
    """Start the service unless one runs."""
    pool = world.pools[step.pool]
    return "runs already" if pool.processes else _start(world, pool)


def rival(world: World, step: Step) -> str:
    """The file system loses the lock, and a second service of the same pool starts beside the first; every other one works at once."""
    pool = world.pools[step.pool]
    if len(pool.processes) != 1 or pool.gate.writing:
        return "not now"
    pool.database.lose_lock()
    said = _start(world, pool)
    if len(pool.processes) < 2 or step.number % 2:
        return said
    second = pool.processes[-1]
    return f"{said}, {serve(world, pool, second, lambda: one_pass(second, CHANNELS, force=False, rescan=False))}"


def _start(world: World, pool: Pool) -> str:
    try:
        world.start(pool.name)
    except ProcessEnd:
        return "died at once"
    except PoolpairError as error:
        return f"did not start: {error.code}"
    return "started"


def clone(world: World, step: Step) -> str:
    """A copy of the database is started beside the original, with the same shares: it must do nothing."""
    pool = world.pools[step.pool]
    database = pool.database.clone()
    site = world.site(pool, database)
    before = {
        name: {folder: dict(files) for folder, files in each.share.tree.items()} for name, each in world.pools.items()
    }
    process = Process(site, site, world.new_speaking(site))
    for channel in CHANNELS:
        one_pass(process, (Channel(channel),), force=True, rescan=True)
        one_beat(process, (Channel(channel),))
    site.store.close()
    database.close()
    after = {name: each.share.tree for name, each in world.pools.items()}
    world.truth.used["a_clone_does_nothing"] += 1
    if after != before:
        world.truth.broken.append(("a_clone_does_nothing", f"a clone of {pool.name} changed a share"))
    return "ran beside"


def away(world: World, step: Step) -> str:
    """The whole site is away for hours or days: its service is dead, its share not to be reached."""
    pool, partner = world.pools[step.pool], world.pools[other(step.pool)]
    if pool.gate.writing:
        return "not now"
    world.kill(pool.name)
    partner.gate.modes["other"].down = True
    world.advance(3600.0 * Random(step.number).randrange(1, 72))
    return "gone"


def clock_jump(world: World, step: Step) -> str:
    """One machine was suspended: its monotonic clock jumps by up to five hours."""
    world.pools[step.pool].clock.advance(step.number % 18000)
    return f"{step.number % 18000} s"


def clock_skew(world: World, step: Step) -> str:
    """The date of one machine is set to hours before or after."""
    offset = step.number % 72000 - 36000
    world.pools[step.pool].clock.wall_offset_s = offset
    return f"{offset} s"


def lock(world: World, step: Step) -> str:
    """Another process holds the store's write lock, with nothing to write."""
    try:
        world.pools[step.pool].database.begin_long(())
    except PoolpairError as error:
        if error.code is not Code.STORE_LOCKED:
            raise
        return "locked already"
    return "locked"


def save(world: World, step: Step) -> str:
    """Make a backup of the store."""
    pool = world.pools[step.pool]
    if pool.gate.writing:
        return "not now"
    if not pool.hooks.commands:
        note_unhooked(pool)
    pool.backups.append((pool.database.save(), world.truth.keep(pool.name)))
    del pool.backups[:-BACKUPS_KEPT]
    return f"{len(pool.backups)} kept"


def _reigns_known(pool: Pool) -> set[str]:
    view = pool.database.view()
    return {reign_id for home in POOLS for reign_id in serving_of(view, home).known}


def restore(world: World, step: Step) -> str:
    """Put a backup back: everything the store learnt since is gone, the tree and the shares are not."""
    pool = world.pools[step.pool]
    if not pool.backups or pool.gate.writing:
        return "no backup"
    world.kill(pool.name)
    pool.database.end_long(commit=False)
    pool.long = ()
    saved, kept = pool.backups[step.number % len(pool.backups)]
    _fork(world, pool)
    known = _reigns_known(pool)
    pool.database.restore(saved)
    world.truth.forgotten_reigns |= known - _reigns_known(pool)
    world.truth.accounts.lost_with_a_store(world.pools)
    world.truth.files.loosen()
    world.truth.epochs = {at: epoch for at, epoch in world.truth.epochs.items() if at[0] != pool.name}
    world.truth.set_back(pool.name, kept)
    catalogue = digests_in_catalogue(pool.database.view(), (other(pool.name),))
    disk = digests_on_disk(pool, (other(pool.name),))
    world.truth.spoilt_files[pool.name] |= {
        path for path in catalogue.keys() | disk.keys() if catalogue.get(path) != disk.get(path)
    }
    world.truth.tampered.add(pool.name)
    world.acted(pool)
    world.truth.fell_back_s[pool.name] = world.truth.acts[pool.name]
    _fork(world, pool)
    return "set back"


def _fork(world: World, pool: Pool) -> None:
    """Both the streams of the lost future and those that go on again."""
    world.truth.forked |= {line.out.stream for line in lines(world) if line.origin is pool}


def refuse_rows(world: World, step: Step) -> str:
    """From now on this pool's tables refuse some rows, as after a migration that the partner lacks."""
    return _refuse(world, step, frozenset({step.number % REFUSE_MODULUS}))


def take_rows(world: World, step: Step) -> str:
    """The tables take every row again."""
    return _refuse(world, step, frozenset())


def _refuse(world: World, step: Step, values: frozenset[int]) -> str:
    pool = world.pools[step.pool]
    if pool.gate.writing:
        return "not now"
    try:
        pool.database.refuse(values)
    except PoolpairError as error:
        if error.code is not Code.STORE_LOCKED:
            raise
        return "waits for the lock"
    return f"refuses {sorted(values)}"


def tree_missing(world: World, step: Step) -> str:
    """The disk with the files is not mounted."""
    world.pools[step.pool].tree.missing = True
    return "unmounted"


def tree_back(world: World, step: Step) -> str:
    """It is mounted again."""
    world.pools[step.pool].tree.missing = False
    return "mounted"
