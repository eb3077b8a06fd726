"""The pool file: one TOML file per pool, read into values; every problem is named, with the nearest known key.

Durations are texts such as "5s", "2m", "3h"; sizes "100MiB", "1GB" or plain bytes; fractions "20%" or 0.2.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import translate as glob_to_regex
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from poolpair.errors import Code, PoolpairError

T = TypeVar("T")
CONFIG_MAX_BYTES = 1 << 20
_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = {"": 1, "B": 1, "k": 1000, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """The other pool of the pair."""

    pool: str
    share: str
    key_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """Pace and size. `interval_s` is the longest that a change may wait, 5 s to 3 h."""

    interval_s: float = 120.0
    eager: bool = True
    conference_max_bytes: int = 100 * 1024**2
    package_max_bytes: int = 1024**3
    window: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """More deletions than both in one table hold a package."""

    delete_fraction: float = 0.2
    delete_groups: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value of the pool file, for `config show`."""

    key: str
    value: str
    source: str
    lync: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePattern:
    """One line of [homes]; the lowest rank that matches wins."""

    rank: int
    pattern: str
    pool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """A whole pool file."""

    path: Path
    pool: str
    store: str
    profile: str
    share: str
    files: Path | None
    partner: Partner
    homes: tuple[tuple[str, str], ...]
    sync: Sync
    guard: Guard
    scratch: Path | None
    front_end: str
    sources: tuple[Setting, ...]

    @property
    def heartbeat_s(self) -> float:
        """A heartbeat goes out this often."""
        return min(self.sync.interval_s, 10.0)


def home_ranks(homes: Iterable[tuple[str, str]]) -> tuple[HomePattern, ...]:
    """Order patterns: exact ones first, then the longest."""
    ordered = sorted(homes, key=lambda home: ("*" in home[0], -len(home[0]), home[0]))
    return tuple(HomePattern(rank=rank, pattern=pattern, pool=pool) for rank, (pattern, pool) in enumerate(ordered, 1))


def home_of(home_key: str, patterns: Iterable[HomePattern]) -> str | None:
    """The pool whose pattern matches; only `*` is special, as in the store."""
    for home in patterns:
        if home.pattern == "shared":
            continue
        literal = home.pattern.replace("[", "[[]").replace("?", "[?]")
        if re.compile(glob_to_regex(literal), re.DOTALL).match(home_key):
            return home.pool
    return None


def settings_digest(homes: Iterable[tuple[str, str]], profile_digest: str) -> str:
    """A digest of what both sides must agree on."""
    return sha256(json.dumps([sorted(homes), profile_digest]).encode()).hexdigest()[:32]


def duration_s(value: object) -> float:
    """Read "2m" as 120.0. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('a duration such as "30s", "2m" or "3h"')
    return float(match.group(1)) * _DURATION[match.group(2)]


def size_bytes(value: object) -> int:
    """Read "100MiB" as 104857600. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = re.fullmatch(r"(\d+)\s*(B|k|kB|MB|GB|KiB|MiB|GiB)?", value) if isinstance(value, str) else None
    if not match or not int(match.group(1)):
        raise ValueError('a size such as "100MiB", or a number of bytes')
    return int(match.group(1)) * _SIZE[match.group(2) or ""]


def fraction(value: object) -> float:
    """Read "20%" as 0.2. Raises ValueError."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value)):
        value = float(match.group(1)) / 100
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError('a fraction such as "20%" or 0.2')
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


def _path(value: object) -> Path:
    path = Path(_text(value))
    if not path.is_absolute():
        raise ValueError("an absolute path")
    return path


def _share(value: object) -> str:
    text = _text(value)
    if not text.startswith(("/", "smb://", "\\\\")):
        raise ValueError("an absolute path")
    return text


def _pool(value: object) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", _text(value)):
        raise ValueError("a pool's name: 1 to 32 of a-z, 0-9 and -")
    return str(value)


def _interval(value: object) -> float:
    seconds = duration_s(value)
    if not 5 <= seconds <= 3 * 3600:
        raise ValueError("a duration from 5s to 3h")
    return seconds


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    read: Callable[[object], object]
    default: object = None
    needed: bool = False
    lync: str = ""


_KEYS = (
    _Key("pool", _pool, needed=True),
    _Key("store", _text, needed=True),
    _Key("profile", _text, needed=True),
    _Key("share", _share, needed=True),
    _Key("files", _path),
    _Key("scratch", _path),
    _Key("front_end", _text),
    _Key("partner.pool", _pool, needed=True),
    _Key("partner.share", _share, needed=True),
    _Key("partner.key_file", _path, needed=True),
    _Key("sync.interval", _interval, "2m", lync="SyncInterval"),
    _Key("sync.eager", _truth, True),
    _Key("sync.conference_max", size_bytes, "100MiB", lync="MaxDataConfPackageSizeKB"),
    _Key("sync.package_max", size_bytes, "1GiB"),
    _Key("sync.window", _count, 8),
    _Key("guard.delete_fraction", fraction, "20%"),
    _Key("guard.delete_groups", _count, 1000),
)


def load_config(path: Path) -> PoolConfig:
    """Read a pool file. Raises CONFIG with every problem found."""
    try:
        text = path.read_bytes()[: CONFIG_MAX_BYTES + 1].decode()
        document = tomllib.loads(text)
    except OSError as error:
        raise PoolpairError(Code.CONFIG, f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PoolpairError(Code.CONFIG, f"{path}: {error}") from error
    found, homes, problems = _flatten(document)
    values: dict[str, object] = {}
    settings: list[Setting] = []
    for key in _KEYS:
        raw = found.pop(key.name, key.default)
        if raw is None:
            if key.needed:
                problems.append(f"{key.name} is missing")
            values[key.name] = None
            continue
        try:
            values[key.name] = key.read(raw)
        except ValueError as error:
            problems.append(f"{key.name} = {raw!r}: it must be {error}")
        source = _source(path, text, key.name)
        settings.append(Setting(key=key.name, value=_printed(raw), source=source, lync=key.lync))
    problems += [_unknown(name) for name in found]
    problems += _cross_checks(values, homes)
    if problems:
        raise PoolpairError(Code.CONFIG, f"{path}: " + "; ".join(problems))
    settings += [Setting(key=f"homes.{pattern!r}", value=pool, source=_source(path, text, pattern)) for pattern, pool in homes]
    return _build(path, values, homes, tuple(settings))


def _flatten(document: dict[str, object]) -> tuple[dict[str, object], tuple[tuple[str, str], ...], list[str]]:
    found: dict[str, object] = {}
    problems: list[str] = []
    homes: list[tuple[str, str]] = []
    for name, value in document.items():
        if name == "homes" and isinstance(value, dict):
            for pattern, pool in value.items():
                if isinstance(pool, str):
                    homes.append((pattern, pool))
                else:
                    problems.append(f'homes: quote the pattern that begins with {pattern!r}: "a.example" = "a"')
        elif isinstance(value, dict):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found, tuple(homes), problems


def _unknown(name: str) -> str:
    near = get_close_matches(name, [key.name for key in _KEYS], 1) or [
        key.name for key in _KEYS if get_close_matches(name.rpartition(".")[2], [key.name.rpartition(".")[2]], 1)
    ]
    return f"unknown key {name}" + (f"; did you mean {near[0]}?" if near else "")


def _cross_checks(values: dict[str, object], homes: tuple[tuple[str, str], ...]) -> list[str]:
    problems = []
    pools = {values.get("pool"), values.get("partner.pool")}
    if values.get("pool") and values.get("pool") == values.get("partner.pool"):
        problems.append("partner.pool is this pool itself")
    shares = (values.get("share"), values.get("partner.share"))
    if all(isinstance(share, str) and share.startswith("/") for share in shares) and os.path.realpath(str(shares[0])) == os.path.realpath(str(shares[1])):
        problems.append("share and partner.share are the same folder: each pool needs its own")
    if not homes:
        problems.append("[homes] is missing or empty")
    for pattern, pool in homes:
        if pool not in pools:
            problems.append(f"homes: {pattern!r} belongs to {pool!r}, which is neither pool of this pair")
    return problems


def _source(path: Path, text: str, key: str) -> str:
    name = re.escape(key.rpartition(".")[2] if key[0] != "*" and key in {k.name for k in _KEYS} else key)
    section = key.rpartition(".")[0] if key in {k.name for k in _KEYS} else "homes"
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[([\w.]+)\]", line):
            here = match.group(1)
        elif here == section and re.match(rf"\s*[\"']?{name}[\"']?\s*=", line):
            return f"{path.name}:{number}"
    return "default" if key in {k.name for k in _KEYS} else path.name


def _printed(raw: object) -> str:
    return str(raw).lower() if isinstance(raw, bool) else str(raw)


def _build(path: Path, values: dict[str, object], homes: tuple[tuple[str, str], ...], settings: tuple[Setting, ...]) -> PoolConfig:
    def get(key: str, kind: type[T]) -> T:
        value = values[key]
        assert isinstance(value, kind)
        return value

    files, scratch, front_end = values["files"], values["scratch"], values["front_end"]
    return PoolConfig(
        path=path,
        pool=get("pool", str),
        store=get("store", str),
        profile=get("profile", str),
        share=get("share", str),
        files=files if isinstance(files, Path) else None,
        partner=Partner(pool=get("partner.pool", str), share=get("partner.share", str), key_file=get("partner.key_file", Path)),
        homes=homes,
        sync=Sync(
            interval_s=get("sync.interval", float),
            eager=get("sync.eager", bool),
            conference_max_bytes=get("sync.conference_max", int),
            package_max_bytes=get("sync.package_max", int),
            window=get("sync.window", int),
        ),
        guard=Guard(delete_fraction=get("guard.delete_fraction", float), delete_groups=get("guard.delete_groups", int)),
        scratch=scratch if isinstance(scratch, Path) else None,
        front_end=front_end if isinstance(front_end, str) else os.uname().nodename,
        sources=settings,
    )
