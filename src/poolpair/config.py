"""The pool file: one TOML file per pool, read into one frozen value.

Everything that is wrong is listed in one CONFIG error, with key and line. `PoolConfig.sources` says of every value
where it came from.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from poolpair.bandwidth import Bandwidth
from poolpair.config_sections import Api, read_api, read_bandwidth
from poolpair.config_values import (
    count_between,
    duration_between,
    duration_or,
    parse_absolute,
    parse_boolean,
    parse_command,
    parse_line,
    parse_path,
    parse_pool_name,
    parse_profile,
    parse_share,
    parse_size,
    parse_store,
    show_command,
    show_path,
    without_password,
)
from poolpair.errors import Code
from poolpair.homes import SHARED, HomePattern, Homes, home_of, home_problem, home_ranks, matches, settings_digest
from poolpair.moves import GateRules, HookStep
from poolpair.smb_address import is_smb
from poolpair.tomlfile import KeyReader, Setting, TomlFile, open_toml
from poolpair.units import read_fraction, show_duration, show_fraction, show_size

__all__ = [
    "LYNC_NAMES",
    "SHARED",
    "Api",
    "Guard",
    "HomePattern",
    "Homes",
    "HookCommands",
    "Limits",
    "Partner",
    "PoolConfig",
    "Setting",
    "Sync",
    "home_of",
    "home_ranks",
    "load_config",
    "matches",
    "settings_digest",
]

MIB = 1024**2
LYNC_NAMES = {"sync.interval": "SyncInterval", "sync.conference_max": "MaxDataConfPackageSizeKB"}
"""What the original calls a key of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """The other pool, its share as it is reached from here, and the secret of the pair."""

    pool: str
    share: str
    key_file: Path
    share_credentials: Path | None = None
    """Who this pool is at the file server; None: whoever has a ticket, or no file server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """How soon and how much at once."""

    interval_s: float = 120.0
    eager: bool = True
    conference_max_bytes: int = 100 * MIB
    package_max_bytes: int = 1024 * MIB
    window: int = 8
    heartbeat_max_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A package that deletes more than both of a table is held."""

    delete_fraction: float = 0.2
    delete_groups: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where patience and space end."""

    quarantine_files: int = 1000
    parked_groups: int = 10_000
    lock_wait_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCommands:
    """Commands of the operator's at the steps of a failover."""

    commands: tuple[tuple[HookStep, tuple[str, ...]], ...] = ()
    """Each that is set: the step, and a program with its arguments."""
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """One pool file."""

    path: Path
    pool: str
    store: str
    """`sqlite:////abs/path` or `postgresql://role@host/database`."""
    profile: str
    """The name of a shipped profile or the absolute path of an own one."""
    share: str
    files: Path | None
    partner: Partner
    homes: Homes
    """(pattern, pool) in the order of the file."""
    sync: Sync
    guard: Guard
    limits: Limits
    hooks: HookCommands
    gate: GateRules
    bandwidth: Bandwidth
    api: Api
    scratch: Path | None
    front_end: str
    share_credentials: Path | None = None
    """As the partner's, for the own share."""
    prosody: Path | None = None
    """Prosody's configuration, which `check` and the gate's hooks read."""
    sources: tuple[Setting, ...]
    """Every value with where it came from, for `config show`; always in the same order."""

    @property
    def heartbeat_s(self) -> float:
        """How often the cookie is written when nothing happens."""
        return min(self.sync.interval_s, self.sync.heartbeat_max_s)


def load_config(path: Path) -> PoolConfig:
    """Read a pool file. Raises CONFIG with everything that is wrong."""
    file = open_toml(Code.CONFIG, path)
    read = KeyReader(file, LYNC_NAMES)
    pool, store = read.required("pool", parse_pool_name), read.required("store", parse_store, show=without_password)
    profile, share = read.required("profile", parse_profile), read.required("share", parse_share)
    files = read.optional("files", parse_path, None, show_path)
    partner_pool, partner_share = (
        read.required("partner.pool", parse_pool_name),
        read.required("partner.share", parse_share),
    )
    key_file = read.required("partner.key_file", parse_absolute)
    homes = _read_homes(file, read, {pool, partner_pool})
    sync = Sync(
        interval_s=read.optional("sync.interval", duration_between(5, 10_800), 120.0, show_duration),
        eager=read.optional("sync.eager", parse_boolean, True, lambda value: str(value).lower()),
        conference_max_bytes=read.optional("sync.conference_max", parse_size, 100 * MIB, show_size),
        package_max_bytes=read.optional("sync.package_max", parse_size, 1024 * MIB, show_size),
        window=read.optional("sync.window", count_between(1, 1000), 8, str),
        heartbeat_max_s=read.optional("sync.heartbeat_max", duration_between(0.1, 10_800), 10.0, show_duration),
    )
    guard = Guard(
        delete_fraction=read.optional("guard.delete_fraction", read_fraction, 0.2, show_fraction),
        delete_groups=read.optional("guard.delete_groups", count_between(0, 10**9), 1000, str),
    )
    limits = Limits(
        quarantine_files=read.optional("limits.quarantine_files", count_between(1, 10**6), 1000, str),
        parked_groups=read.optional("limits.parked_groups", count_between(0, 10**7), 10_000, str),
        lock_wait_s=read.optional("limits.lock_wait", duration_between(0.1, 3600), 5.0, show_duration),
    )
    hooks = _read_hooks(read)
    gate = _read_gate(file, read, hooks, min(sync.interval_s, sync.heartbeat_max_s))
    bandwidth, api = read_bandwidth(read), read_api(file, read)
    scratch = read.optional("scratch", parse_path, None, show_path)
    if scratch is None and store and store.startswith("postgresql://"):
        file.problem(
            ("scratch",), "missing: with a store on PostgreSQL say where packages are made, in a private folder"
        )
    own_account = read.optional("share_credentials", parse_path, None, show_path)
    account = read.optional("partner.share_credentials", parse_path, None, show_path)
    front_end = read.optional("front_end", parse_line, socket.gethostname(), str)
    prosody = read.optional("application.prosody", parse_path, None, show_path)
    read.refuse_unknown(free="homes")
    if partner_pool and partner_pool == pool:
        file.problem(("partner", "pool"), f"both pools are called {pool!r}")
    if share and partner_share:
        _check_places(file, share, partner_share, {("partner", "key_file"): key_file, ("scratch",): str(scratch or "")})
    file.raise_problems()
    partner = Partner(pool=partner_pool, share=partner_share, key_file=Path(key_file), share_credentials=account)
    return PoolConfig(
        path=path, pool=pool, store=store, profile=profile, share=share, files=files, partner=partner, homes=homes,
        sync=sync, guard=guard, limits=limits, hooks=hooks, gate=gate, bandwidth=bandwidth, api=api, scratch=scratch,
        front_end=front_end, share_credentials=own_account, prosody=prosody, sources=tuple(read.settings),
    )  # fmt: skip


def _read_hooks(read: KeyReader) -> HookCommands:
    empty: tuple[str, ...] = ()
    found = {step: read.optional(f"hooks.{key_of(step)}", parse_command, empty, show_command) for step in HookStep}
    timeout_s = read.optional("hooks.timeout", duration_between(0.1, 3600), 60.0, show_duration)
    return HookCommands(commands=tuple((step, words) for step, words in found.items() if words), timeout_s=timeout_s)


def _read_gate(file: TomlFile, read: KeyReader, hooks: HookCommands, heartbeat_s: float) -> GateRules:
    hooked = any(step in {HookStep.GATE_OPEN, HookStep.GATE_CLOSE} for step, _ in hooks.commands)
    wait, after = duration_or("never", 1, 86_400), duration_or("off", 1, 86_400)
    default_s: float | None = 120.0
    rules = GateRules(
        at_start=read.optional("gate.at_start", parse_boolean, hooked, lambda value: str(value).lower()),
        wait_s=read.optional("gate.wait", wait, default_s, lambda value: show_duration(value) if value else "never"),
        self_fence_after_s=read.optional(
            "gate.self_fence_after", after, None, lambda value: show_duration(value) if value else "off"
        ),
        watch=read.optional("gate.watch", parse_path, None, show_path),
    )
    if rules.self_fence_after_s is not None and rules.self_fence_after_s < 3 * heartbeat_s:
        file.problem(
            ("gate", "self_fence_after"), f"must be at least three heartbeats, {show_duration(3 * heartbeat_s)}"
        )
    return rules


def key_of(step: HookStep) -> str:
    """How a hook is called in the section [hooks]."""
    return step.value.replace("-", "_")


def _check_places(file: TomlFile, share: str, partner_share: str, private: dict[tuple[str, ...], str]) -> None:
    """Two pools have two shares, and what must stay private lies in neither."""
    ours, theirs = (each if is_smb(each) else os.path.realpath(each) for each in (share, partner_share))
    if ours == theirs:
        file.problem(("partner", "share"), f"both pools are given one share: {partner_share}")
    for path, place in private.items():
        real = os.path.realpath(place) if place else ""
        inside = [root for root in (ours, theirs) if real == root or real.startswith(root + "/")]
        if place and inside:
            file.problem(path, f"{place} lies inside the share {inside[0]}, where the partner reads or writes")


def _read_homes(file: TomlFile, read: KeyReader, pools: set[str]) -> Homes:
    table = read.find(("homes",))
    if not isinstance(table, dict) or not table:
        file.problem(("homes",), 'missing or empty: say who belongs where, such as "a.example" = "a"')
        return ()
    homes = []
    for pattern, pool in table.items():
        reason = home_problem(pattern, pool, pools)
        if reason:
            file.problem(("homes", pattern), reason)
        else:
            homes.append((pattern, str(pool)))
            read.note(("homes", pattern), str(pool), given=True)
    return tuple(homes)
