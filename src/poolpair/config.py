"""The pool file: one TOML file per pool, read into one frozen value.

Everything that is wrong is listed in one CONFIG error, with key and line. `PoolConfig.sources` says of every value
where it came from.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from poolpair.errors import Code
from poolpair.homes import SHARED, HomePattern, Homes, home_of, home_problem, home_ranks, matches, settings_digest
from poolpair.tomlfile import KeyReader, Setting, TomlFile, open_toml
from poolpair.units import read_duration, read_fraction, read_size, show_duration, show_fraction, show_size, type_name

__all__ = [
    "LYNC_NAMES",
    "SHARED",
    "Guard",
    "HomePattern",
    "Homes",
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
_POOL_NAME = re.compile(r"[a-z0-9-]{1,32}")
_PROFILE_NAME = re.compile(r"[a-z0-9_-]+")
_NOT_SET = "(not set)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """The other pool, its share as it is reached from here, and the secret of the pair."""

    pool: str
    share: str
    key_file: Path


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
    scratch: Path | None
    front_end: str
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
    pool, store = read.required("pool", _pool_name), read.required("store", _store, show=_without_password)
    profile, share = read.required("profile", _profile), read.required("share", _absolute)
    files = read.optional("files", _path, None, _show_path)
    partner_pool, partner_share = read.required("partner.pool", _pool_name), read.required("partner.share", _absolute)
    key_file = read.required("partner.key_file", _absolute)
    homes = _read_homes(file, read, {pool, partner_pool})
    sync = Sync(
        interval_s=read.optional("sync.interval", _duration(5, 10_800), 120.0, show_duration),
        eager=read.optional("sync.eager", _boolean, True, lambda value: str(value).lower()),
        conference_max_bytes=read.optional("sync.conference_max", _size, 100 * MIB, show_size),
        package_max_bytes=read.optional("sync.package_max", _size, 1024 * MIB, show_size),
        window=read.optional("sync.window", _count(1, 1000), 8, str),
        heartbeat_max_s=read.optional("sync.heartbeat_max", _duration(0.1, 10_800), 10.0, show_duration),
    )
    guard = Guard(
        delete_fraction=read.optional("guard.delete_fraction", read_fraction, 0.2, show_fraction),
        delete_groups=read.optional("guard.delete_groups", _count(0, 10**9), 1000, str),
    )
    limits = Limits(
        quarantine_files=read.optional("limits.quarantine_files", _count(1, 10**6), 1000, str),
        parked_groups=read.optional("limits.parked_groups", _count(0, 10**7), 10_000, str),
        lock_wait_s=read.optional("limits.lock_wait", _duration(0.1, 3600), 5.0, show_duration),
    )
    scratch = read.optional("scratch", _path, None, _show_path)
    if scratch is None and store and store.startswith("postgresql://"):
        file.problem(
            ("scratch",), "missing: with a store on PostgreSQL say where packages are made, in a private folder"
        )
    front_end = read.optional("front_end", _line_of_text, socket.gethostname(), str)
    read.refuse_unknown(free="homes")
    if partner_pool and partner_pool == pool:
        file.problem(("partner", "pool"), f"both pools are called {pool!r}")
    if share and partner_share:
        _check_places(file, share, partner_share, {("partner", "key_file"): key_file, ("scratch",): str(scratch or "")})
    file.raise_problems()
    partner = Partner(pool=partner_pool, share=partner_share, key_file=Path(key_file))
    return PoolConfig(
        path=path, pool=pool, store=store, profile=profile, share=share, files=files, partner=partner, homes=homes,
        sync=sync, guard=guard, limits=limits, scratch=scratch, front_end=front_end, sources=tuple(read.settings),
    )  # fmt: skip


def _check_places(file: TomlFile, share: str, partner_share: str, private: dict[tuple[str, ...], str]) -> None:
    """Two pools have two shares, and what must stay private lies in neither."""
    ours, theirs = os.path.realpath(share), os.path.realpath(partner_share)
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


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    return value


def _pool_name(value: object) -> str:
    name = _text(value, "the name of a pool")
    if not _POOL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a pool: 1 to 32 of a-z, 0-9 and -")
    return name


def _store(value: object) -> str:
    url = _text(value, 'a URL such as "sqlite:////abs/path"')
    if url.startswith("postgresql://"):
        return url
    if not url.startswith("sqlite:///"):
        raise ValueError(f"expected sqlite:////abs/path or postgresql://..., not {_without_password(url)!r}")
    if not _is_clean_path(url.removeprefix("sqlite:///")):
        raise ValueError(f"{url!r}: the path must be absolute, which makes four slashes: sqlite:////abs/path")
    return url


def _without_password(url: str) -> str:
    return re.sub(r"((?:^|[?&])(?:ssl)?password=)[^&]*", r"\1***", re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url))


def _profile(value: object) -> str:
    name = _text(value, "the name of a profile or an absolute path")
    if not _PROFILE_NAME.fullmatch(name) and not _is_clean_path(name):
        raise ValueError(f"{name!r} is neither the name of a profile (a-z, 0-9, _ and -) nor an absolute path")
    return name


def _is_clean_path(text: str) -> bool:
    return text.startswith("/") and len(text) > 1 and "\0" not in text


def _absolute(value: object) -> str:
    text = _text(value, "an absolute path")
    if text.startswith("\\\\"):
        raise ValueError(f"{text!r} is a UNC path: mount the share and give the absolute path of the mount")
    if not _is_clean_path(text):
        raise ValueError(f"{text!r} is no absolute path")
    return text


def _path(value: object) -> Path | None:
    return Path(_absolute(value))


def _show_path(path: Path | None) -> str:
    return str(path) if path else _NOT_SET


def _line_of_text(value: object) -> str:
    text = _text(value, "the name of this front end")
    if not text or not text.isprintable() or len(text) > 255:
        raise ValueError("expected one line of 1 to 255 printable characters")
    return text


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    return value


def _count(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected an integer, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}, not {value}")
        return value

    return read


def _duration(low: float, high: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        seconds = read_duration(value)
        if not low <= seconds <= high:
            raise ValueError(f"must lie between {show_duration(low)} and {show_duration(high)}, not {value!r}")
        return seconds

    return read


def _size(value: object) -> int:
    size = read_size(value)
    if not 1 <= size < 2**63:
        raise ValueError(f"must be at least one byte and less than 8 EiB, not {value!r}")
    return size
