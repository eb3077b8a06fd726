"""Settings that may be the same for a whole deployment: how soon and how much at once, guards, limits. What the original calls them."""

from __future__ import annotations

from dataclasses import dataclass

from poolpair.config_values import count_between, duration_between, parse_boolean, parse_size
from poolpair.tomlfile import KeyReader
from poolpair.units import read_fraction, show_duration, show_fraction, show_size

MIB = 1024**2
LYNC_NAMES = {"sync.interval": "SyncInterval", "sync.conference_max": "MaxDataConfPackageSizeKB"}
"""What the original calls a key of ours."""
SECTIONS = ("sync", "guard", "limits", "bandwidth")
"""Those of the pool file that may as well stand in the management store, for all pools or for one."""


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


def read_sync(read: KeyReader) -> Sync:
    """The section [sync]."""
    return Sync(
        interval_s=read.optional("sync.interval", duration_between(5, 10_800), 120.0, show_duration),
        eager=read.optional("sync.eager", parse_boolean, True, lambda value: str(value).lower()),
        conference_max_bytes=read.optional("sync.conference_max", parse_size, 100 * MIB, show_size),
        package_max_bytes=read.optional("sync.package_max", parse_size, 1024 * MIB, show_size),
        window=read.optional("sync.window", count_between(1, 1000), 8, str),
        heartbeat_max_s=read.optional("sync.heartbeat_max", duration_between(0.1, 10_800), 10.0, show_duration),
    )


def read_guard(read: KeyReader) -> Guard:
    """The section [guard]."""
    return Guard(
        delete_fraction=read.optional("guard.delete_fraction", read_fraction, 0.2, show_fraction),
        delete_groups=read.optional("guard.delete_groups", count_between(0, 10**9), 1000, str),
    )


def read_limits(read: KeyReader) -> Limits:
    """The section [limits]."""
    return Limits(
        quarantine_files=read.optional("limits.quarantine_files", count_between(1, 10**6), 1000, str),
        parked_groups=read.optional("limits.parked_groups", count_between(0, 10**7), 10_000, str),
        lock_wait_s=read.optional("limits.lock_wait", duration_between(0.1, 3600), 5.0, show_duration),
    )
