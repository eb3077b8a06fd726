"""Builds a site from a pool file: the only module that knows concrete adapters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from poolpair.clock import Clock, SystemClock
from poolpair.config import PoolConfig, home_of, home_ranks, settings_digest
from poolpair.config_values import MANAGEMENT_PROFILE
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import TASK_ASSIGNMENT, PoolIdentity, folders, identity_file
from poolpair.hooks.commands import CommandHooks
from poolpair.hooks.port import Hooks
from poolpair.keyfile import keys_of, read_key_file
from poolpair.model import Channel, new_id
from poolpair.parting import begin_with_another
from poolpair.pipeline.fence import fence_pools
from poolpair.pipeline.identity import identity_in, refuse_clone, refuse_other_name
from poolpair.pipeline.limits import Limits
from poolpair.pipeline.site import SCRATCH_SUFFIX, FileHome, Site, outbound_name
from poolpair.protocol import compare_anew
from poolpair.report import PULSE, Pulse, pulse
from poolpair.scratch import make_scratch, scratch_of
from poolpair.share.open import own_share, partner_share
from poolpair.smb_address import is_smb
from poolpair.state import Outbound, Seed
from poolpair.store.documents_profile import management_profile
from poolpair.store.kind import StoreHandle, StoreKind
from poolpair.store.open import kind_of
from poolpair.store.own_places import database_files, outside
from poolpair.store.port import Transaction
from poolpair.store.prepared import SETTINGS, Installed, InstalledSettings, refuse_layout
from poolpair.store.profile import Profile, match_path
from poolpair.store.profile_file import load_profile
from poolpair.store.tree import DirectoryTree
from poolpair.store.whole import found_in

SERIAL = "serial"
SERIALS_PER_START = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialStart:
    """From where a service's cookie serials begin: each start skips ahead."""

    start: int


def profile_of(config: PoolConfig, *, anew: bool = False) -> Profile:
    """The profile that a pool file names; of a whole application with its tables, see `whole.found_in`. Raises PROFILE, STORE_*."""
    if config.profile == MANAGEMENT_PROFILE:
        return management_profile()
    profile = replace(load_profile(config.profile), serials_travel=len({pool for _, pool in config.homes}) == 1)
    return found_in(store_kind(config), profile, anew=anew) if profile.whole else profile


def channels_of(profile: Profile) -> tuple[Channel, ...]:
    """The channels of this pair, the leading one first: `users`, and `conferences` if the profile has any of it; or `cms` alone."""
    if profile.lead is Channel.CMS:
        return (Channel.CMS,)
    has_conferences = bool(profile.files) or any(table.channel is Channel.CONFERENCES for table in profile.tables)
    return (Channel.USERS, Channel.CONFERENCES) if has_conferences else (Channel.USERS,)


def settings_of(config: PoolConfig, profile: Profile) -> str:
    """The digest of what both pools must agree on: homes, profile, and whether the profile's files are carried."""
    lacks_files = bool(profile.files) and config.files is None
    return settings_digest(config.homes, profile.agreed, without_files=lacks_files)


def lock_of(config: PoolConfig) -> Path:
    """The file that a working service keeps locked."""
    return make_scratch(config) / "service.lock"


def store_kind(config: PoolConfig) -> StoreKind:
    """The database of a pool; nothing is opened."""
    return kind_of(config.store, config.limits.lock_wait_s, lambda: lock_of(config))


def open_store(config: PoolConfig, profile: Profile, clock: Clock | None = None) -> StoreHandle:
    """Open the store of a pool. Raises NOT_INSTALLED if another release prepared it; one that was never prepared is opened."""
    kind = store_kind(config)
    store = kind.open(profile, clock or SystemClock())
    try:
        refuse_layout(_prepared_with(store), kind.shown())
    except PoolpairError:
        store.close()
        raise
    return store


def _prepared_with(store: StoreHandle) -> InstalledSettings | None:
    try:
        return store.read(InstalledSettings, SETTINGS)
    except PoolpairError as error:
        if error.code is Code.NOT_INSTALLED:
            return None
        raise


def open_site(config: PoolConfig, clock: Clock | None = None, *, needs_key: bool = True) -> Site:
    """Open everything that a pool file names. Another clock than the machine's serves tests and the simulator."""
    clock = clock or SystemClock()
    profile = profile_of(config)
    pair_id, keys = keys_of(config.partner.key_file, needed=needs_key)
    scratch = make_scratch(config)
    patterns = home_ranks(config.homes)

    belongs = outside(config.files, own_places(config)) if config.files is not None else lambda _: True

    def file_home(path: bytes) -> FileHome | None:
        matched = match_path(profile, path)
        if matched is None or not belongs(path):
            return None
        return FileHome(home_of(matched.home_key, patterns) or "", matched.conference)

    sync = config.sync
    return Site(
        pool=config.pool,
        partner=config.partner.pool,
        pair_id=pair_id,
        keys=keys,
        store=open_store(config, profile, clock),
        own=own_share(config),
        other=partner_share(config),
        tree=DirectoryTree(config.files, scratch / "spool") if config.files is not None else None,
        file_home=file_home,
        clock=clock,
        settings=settings_of(config, profile),
        profile=profile.digest,
        limits=Limits(
            interval_s=sync.interval_s,
            heartbeat_s=config.heartbeat_s,
            eager=sync.eager,
            window=sync.window,
            conference_max_bytes=sync.conference_max_bytes,
            package_max_bytes=sync.package_max_bytes,
            guard_fraction=config.guard.delete_fraction,
            guard_groups=config.guard.delete_groups,
            parked_max=config.limits.parked_groups,
        ),
        scratch=scratch,
        channels=channels_of(profile),
        front_end=config.front_end,
        hooks=hooks_of(config, scratch),
        gate=config.gate,
        bandwidth=config.bandwidth,
    )


def own_places(config: PoolConfig) -> tuple[Path, ...]:
    """Files and folders that are never files of the application's, wherever they lie."""
    database = store_kind(config).local_file()
    shares = [Path(share) for share in (config.share, config.partner.share) if not is_smb(share)]
    return (scratch_of(config), *shares, *(database_files(database) if database is not None else ()))


def hooks_of(config: PoolConfig, scratch: Path) -> Hooks:
    """The operator's commands; each may ask `poolpair` about the same pool."""
    base = {**os.environ, "POOLPAIR_CONFIG": str(config.path.absolute())}
    return CommandHooks(dict(config.hooks.commands), config.hooks.timeout_s, scratch, base, config.gate.watch)


def check_settings(site: Site) -> None:
    """The database must have been prepared with the homes and the profile that the pool file names now."""
    known = site.store.read(InstalledSettings, SETTINGS)
    if known is None or known.settings != site.settings:
        raise PoolpairError(Code.NOT_INSTALLED, "homes or profile changed since this store was prepared")
    if known.profile != site.profile:
        raise PoolpairError(Code.NOT_INSTALLED, "tables came, went or changed their keys since this store was prepared")


def is_outdated(config: PoolConfig) -> bool:
    """Whether a store that was prepared is to be prepared anew, for homes or profile that a management store has changed."""
    if config.cms is None and config.member_key is None:
        return False
    profile = profile_of(config)
    store = open_store(config, profile)
    try:
        known = _prepared_with(store)
    finally:
        store.close()
    return known is not None and (known.settings, known.profile) != (settings_of(config, profile), profile.digest)


def begin_work(site: Site, holder: str) -> None:
    """Take the lease and begin: cookie serials go on above every one written before."""
    site.store.take_lease(holder, site.front_end)
    with site.store.transaction() as tx:
        before = tx.load(SerialStart, SERIAL) or SerialStart(start=0)
        tx.save(SERIAL, SerialStart(start=before.start + SERIALS_PER_START))
        site.memory.started_s = site.clock.monotonic_s()
        known = tx.load(Pulse, PULSE)
        if known is not None and known.boot_id == site.clock.boot_id():
            site.memory.confirmed_s = known.echoed_s
        tx.save(PULSE, pulse(site))  # or status would go by the word that an earlier service had heard
    site.memory.serial = before.start
    for left in site.scratch.glob(f"*{SCRATCH_SUFFIX}"):
        left.unlink(missing_ok=True)


@contextmanager
def working_site(config: PoolConfig) -> Iterator[Site]:
    """A site that holds the lease. Raises LEASE if a service works already, SHARE_FOREIGN or CLONE if it must not work at all."""
    site = open_site(config)
    try:
        check_settings(site)
        refuse_clone(site)
        path = identity_file(site.lead)
        refuse_other_name(site.other, path, pool=site.pool, partner=site.partner, pair_id=site.pair_id)
        begin_work(site, f"{config.front_end} (process {os.getpid()})")
        yield site
    finally:
        site.store.release_lease()
        site.store.close()


def beater(config: PoolConfig, site: Site) -> Callable[[], Site]:
    """How the heartbeat thread gets a site of its own: same memory, same lease, other connections, on which nothing large is under way."""

    def make() -> Site:
        store = open_store(config, profile_of(config))
        assert isinstance(site.store, StoreHandle)
        store.join_lease(site.store.lease_number)
        return replace(site, store=store, own=own_share(config), other=partner_share(config))

    return make


def initialise(config: PoolConfig) -> Installed:
    """Prepare store and share; idempotent. An old share of another pool is refused before anything is written."""
    profile = profile_of(config, anew=True)
    ring = read_key_file(config.partner.key_file)
    share = own_share(config)
    path = identity_file(profile.lead)
    found = identity_in(share, path)
    if found is not None:
        owner = PoolIdentity.parse(found)
        if (owner.pool, owner.pair_id) != (config.pool, ring.pair_id):
            raise PoolpairError(
                Code.SHARE_FOREIGN, f"{config.share} belongs to pool {owner.pool!r} of pair {owner.pair_id[:8]}"
            )
    pool, partner = config.pool, config.partner.pool
    refuse_other_name(partner_share(config), path, pool=pool, partner=partner, pair_id=ring.pair_id)
    channels = channels_of(profile)
    installed = store_kind(config).install(
        profile,
        home_triples(config),
        settings_of(config, profile),
        record=lambda tx, done: _begin(tx, config, ring.pair_id, channels, done),
    )
    share.prepare([*folders(channels), str(Path(TASK_ASSIGNMENT).parent)])
    if found is None:
        share.write_small(
            path,
            PoolIdentity(pool=config.pool, pair_id=ring.pair_id, store_id=installed.store_id).encode().encode(),
        )
    return installed


def _begin(
    tx: Transaction, config: PoolConfig, pair_id: str, channels: tuple[Channel, ...], installed: Installed
) -> None:
    """Begin the channels, and refuse from now on what this pool does not serve."""
    _begin_channels(tx, channels, installed)
    partner = config.partner.pool
    homes_any = any(owner == partner for _, owner in config.homes)
    begin_with_another(
        tx, config.pool, partner, pair_id, channels, homes_any=homes_any, now_utc=SystemClock().utc_iso()
    )
    fence_pools(tx, config.pool, config.partner.pool)


def _begin_channels(tx: Transaction, channels: tuple[Channel, ...], installed: Installed) -> None:
    """A new channel begins with the first copy; what `init` changed or put back is followed by a comparison."""
    for channel in channels:
        out = tx.load(Outbound, outbound_name(channel))
        if out is None:
            tx.save(outbound_name(channel), Outbound(stream=new_id(), seed=Seed()))
        elif installed.changed:
            tx.save(outbound_name(channel), compare_anew(out, "homes or profile changed"))
        elif installed.repaired:
            tx.save(outbound_name(channel), compare_anew(out, "capture was put back"))


def home_triples(config: PoolConfig) -> list[tuple[int, str, str]]:
    """The homes map as rows for the store."""
    return [(home.rank, home.pattern, home.pool) for home in home_ranks(config.homes)]
