"""Profiles: what of an application's database and tree is carried, whose it is, and in which channel.

A profile is a TOML file that an operator can write; `prosody` is shipped. Expressions are SQL over the key columns of their table, so
that a deleted row still tells whose it was.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib.resources import files as resource_files
from pathlib import Path
from urllib.parse import unquote_to_bytes

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel

PROFILE_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable:
    """One tracked table, or a part of one. The unit of change is the group of rows with the same key."""

    number: int
    name: str
    channel: Channel
    key: tuple[str, ...]
    where: str | None = None
    home_key: str | None = None
    principal: str | None = None
    shared: bool = False
    leave_out: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    triggers: str = "fire"
    conference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFiles:
    """Which paths of the tree belong, whose they are, and what one conference is."""

    pattern: str
    home_key: str
    conference: str
    decode: str = ""
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A whole profile; `digest` is the same wherever the same profile is read."""

    name: str
    tables: tuple[ProfileTable, ...]
    files: tuple[ProfileFiles, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class MatchedPath:
    """Whose a path is and to which conference it belongs."""

    home_key: str
    conference: str


def load_profile(name_or_path: str) -> Profile:
    """Read a shipped profile by name, or a file by absolute path. Raises PROFILE."""
    if name_or_path.startswith("/"):
        try:
            data = Path(name_or_path).read_bytes()[: PROFILE_MAX_BYTES + 1]
        except OSError as error:
            raise PoolpairError(Code.PROFILE, f"{name_or_path}: {error.strerror}") from error
    else:
        source = resource_files("poolpair") / "profiles" / f"{name_or_path}.toml"
        if not re.fullmatch(r"[a-z0-9_-]+", name_or_path) or not source.is_file():
            raise PoolpairError(Code.PROFILE, f"there is no shipped profile {name_or_path!r}; give an absolute path for an own one")
        data = source.read_bytes()
    if len(data) > PROFILE_MAX_BYTES:
        raise PoolpairError(Code.PROFILE, f"{name_or_path} is larger than 1 MiB")
    return parse_profile(data, name_or_path)


def parse_profile(data: bytes, name: str) -> Profile:
    """Read a profile's TOML."""
    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PoolpairError(Code.PROFILE, f"profile {name}: {error}") from error
    _known(document, {"tables", "files", "description"}, name)
    tables = tuple(_table(number, entry, name) for number, entry in enumerate(_entries(document, "tables", name), 1))
    trees = tuple(_files(entry, name) for entry in _entries(document, "files", name))
    if not tables:
        raise PoolpairError(Code.PROFILE, f"profile {name} names no table")
    canonical = json.dumps([[asdict(table) for table in tables], [asdict(tree) for tree in trees]], sort_keys=True)
    return Profile(name=name, tables=tables, files=trees, digest=sha256(canonical.encode()).hexdigest())


def _entries(document: Mapping[str, object], key: str, name: str) -> list[dict[str, object]]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise PoolpairError(Code.PROFILE, f"profile {name}: write [[{key}]] for each entry")
    return value


def _known(entry: Mapping[str, object], known: set[str], where: str) -> None:
    for key in entry:
        if key not in known:
            near = get_close_matches(key, sorted(known), 1)
            raise PoolpairError(Code.PROFILE, f"profile {where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def _table(number: int, entry: dict[str, object], name: str) -> ProfileTable:
    _known(entry, ({f.name for f in fields(ProfileTable)} | {"home"}) - {"number", "shared"}, name)
    table = _text(entry, "name", name) or ""
    where = f"{name}: table {table}"
    shared = entry.get("home") == "shared"
    channel = _text(entry, "channel", where) or "users"
    if channel not in {"users", "conferences"}:
        raise PoolpairError(Code.PROFILE, f"profile {where}: channel is users or conferences, not {channel!r}")
    triggers = _text(entry, "triggers", where) or "fire"
    if triggers not in {"fire", "skip"}:
        raise PoolpairError(Code.PROFILE, f"profile {where}: triggers is fire or skip, not {triggers!r}")
    home_key = _text(entry, "home_key", where)
    key = _texts(entry, "key", where)
    if not table or not key:
        raise PoolpairError(Code.PROFILE, f"profile {where}: name and key are needed")
    if shared == bool(home_key):
        raise PoolpairError(Code.PROFILE, f'profile {where}: give either home_key, or home = "shared"')
    return ProfileTable(
        number=number,
        name=table,
        channel=Channel(channel),
        key=key,
        where=_text(entry, "where", where),
        home_key=home_key,
        principal=_text(entry, "principal", where) or home_key,
        shared=shared,
        leave_out=_texts(entry, "leave_out", where),
        order_by=_texts(entry, "order_by", where),
        triggers=triggers,
        conference=_text(entry, "conference", where),
    )


def _files(entry: dict[str, object], name: str) -> ProfileFiles:
    _known(entry, {f.name for f in fields(ProfileFiles)}, f"{name}: files")
    pattern, home_key, conference = (_text(entry, key, name) or "" for key in ("pattern", "home_key", "conference"))
    captures = set(re.findall(r"\{(\w+)\}", pattern))
    used = set(re.findall(r"\{(\w+)\}", home_key + conference))
    if not pattern or not home_key or not conference or not used <= captures:
        raise PoolpairError(Code.PROFILE, f"profile {name}: files needs pattern, home_key and conference, made of the pattern's {{captures}}")
    return ProfileFiles(
        pattern=pattern, home_key=home_key, conference=conference, decode=_text(entry, "decode", name) or "", skip=_texts(entry, "skip", name)
    )


def _text(entry: Mapping[str, object], key: str, where: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise PoolpairError(Code.PROFILE, f"profile {where}: {key} must be a text")
    return value


def _texts(entry: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise PoolpairError(Code.PROFILE, f"profile {where}: {key} must be a text or a list of texts")
    return tuple(values)


def match_path(profile: Profile, path: bytes) -> MatchedPath | None:
    """Say whose a path is; None if it does not belong to the application's shared files."""
    for rule in profile.files:
        if any(path.endswith(os.fsencode(suffix.lstrip("*"))) for suffix in rule.skip):
            continue
        found = _pattern(rule.pattern).fullmatch(path)
        if found:
            values = {key: _decoded(value, rule.decode) for key, value in found.groupdict().items()}
            return MatchedPath(rule.home_key.format_map(values), rule.conference.format_map(values))
    return None


@cache
def _pattern(pattern: str) -> re.Pattern[bytes]:
    parts = re.split(r"(\{\w+\})", pattern)
    body = b"".join(b"(?P<%b>[^/]+)" % part[1:-1].encode() if part.startswith("{") else re.escape(os.fsencode(part)) for part in parts)
    return re.compile(body, re.DOTALL)


def _decoded(value: bytes, decode: str) -> str:
    return (unquote_to_bytes(value) if decode == "percent" else value).decode("utf-8", "replace")
