"""The pool file: one TOML file per pool, read into one frozen value.

Everything that is wrong is listed in one CONFIG error, with key and line. `PoolConfig.sources` says of every value
where it came from.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from poolpair.bandwidth import Bandwidth
from poolpair.config_sections import Api, Management, Watched, read_api, read_bandwidth, read_management, read_watched
from poolpair.config_settings import LYNC_NAMES, Guard, Limits, Sync, read_guard, read_limits, read_sync
from poolpair.config_values import (
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
    parse_store,
    show_command,
    show_path,
    without_password,
)
from poolpair.errors import Code
from poolpair.homes import SHARED, HomePattern, Homes, home_of, home_problem, home_ranks, matches, settings_digest
from poolpair.moves import GateRules, HookStep
from poolpair.smb_address import is_smb
from poolpair.tomlfile import KeyPath, KeyReader, Laid, Setting, TomlFile, open_toml
from poolpair.units import show_duration

__all__ = [
    "LYNC_NAMES",
    "SHARED",
    "Api",
    "Guard",
    "HomePattern",
    "Homes",
    "HookCommands",
    "Limits",
    "Management",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """The other pool, its share as it is reached from here, and the secret of the pair."""

    pool: str
    share: str
    key_file: Path
    share_credentials: Path | None = None
    """Who this pool is at the file server; None: whoever has a ticket, or no file server."""


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
    cms: Management | None = None
    """Set in the pair that holds the central management store."""
    member_key: Path | None = None
    """With this the store of another pair sends this pool its configuration."""
    watched: Watched = ()
    """Files of the application's that the management store keeps alike."""
    prosody: Path | None = None
    """Prosody's configuration, which `check` and the gate's hooks read."""
    overruled: tuple[str, ...] = ()
    """What stands in the file and does not count, since the management store says something else."""
    sources: tuple[Setting, ...]
    """Every value with where it came from, for `config show`; always in the same order."""

    @property
    def heartbeat_s(self) -> float:
        """How often the cookie is written when nothing happens."""
        return min(self.sync.interval_s, self.sync.heartbeat_max_s)


def load_config(path: Path, given: Mapping[KeyPath, Laid] = MappingProxyType({})) -> PoolConfig:
    """Read a pool file, with what is `given` for the whole deployment. Raises CONFIG with everything that is wrong."""
    file = open_toml(Code.CONFIG, path)
    file.lay_over(given)
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
    sync, guard, limits = read_sync(read), read_guard(read), read_limits(read)
    hooks = _read_hooks(read)
    gate = _read_gate(file, read, hooks, min(sync.interval_s, sync.heartbeat_max_s))
    bandwidth, api = read_bandwidth(read), read_api(file, read)
    management, member_key = read_management(file, read, {pool, partner_pool})
    watched = read_watched(file, read)
    if watched and management is None and member_key is None:
        file.problem(("cms", "files"), "come from the management store: say home or member_key in [cms]")
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
        front_end=front_end, share_credentials=own_account, cms=management, member_key=member_key, watched=watched,
        prosody=prosody, overruled=tuple(file.overruled), sources=tuple(read.settings),
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
