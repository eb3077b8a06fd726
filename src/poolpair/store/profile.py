"""Profiles: what of an application's database and tree is carried, whose it is, and in which channel.

A profile is a TOML file that an operator can write; `profiles/prosody.toml` is shipped and is the model. Expressions
are SQL over the key columns of their table, so that a deleted row still tells whose it was. Reading needs no database;
whether a profile fits the tables that are there is `profile_check`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.resources import files as resource_files
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_to_bytes

from poolpair.errors import Code, PoolpairError
from poolpair.homes import matches
from poolpair.model import Channel
from poolpair.tomlfile import KeyPath, TomlFile, nearest, open_toml
from poolpair.units import type_name

Triggers = Literal["fire", "skip"]
_CAPTURE = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable:
    """One tracked table, or a part of one. The unit of change is the group of rows with the same key."""

    number: int
    """1-based, in the order of the file; packages name tables by it."""
    name: str
    channel: Channel
    key: tuple[str, ...]
    where: str | None = None
    """Over the key columns; rows that it does not accept are site-local."""
    home_key: str | None = None
    """Over the key columns; None when `shared`."""
    principal: str | None = None
    shared: bool = False
    """Has no principals; belongs to the pool that [homes] names as `shared`."""
    leave_out: tuple[str, ...] = ()
    """Columns that each site assigns for itself."""
    order_by: tuple[str, ...] = ()
    """Rows enter in the origin's order by these."""
    sequences: tuple[str, ...] = ()
    """Sequences of PostgreSQL from which the application draws numbers for this table by itself, not as a column's default."""
    triggers: Triggers = "fire"
    """Whether the application's own triggers run on applied rows."""
    conference: str | None = None
    """Over the key columns: the conference that a row of the conferences channel describes."""
    home_is_pool: bool = False
    """The first key column names the home pool itself. No profile says this: it is the ledger, which every store tracks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFiles:
    """Which paths of the tree belong, whose they are, and what one conference is."""

    pattern: str
    """The whole relative path; each {name} stands for one or more characters other than "/"."""
    home_key: str
    conference: str
    decode: Literal["", "percent"] = ""
    """How captures are decoded: "percent" makes %2e a dot."""
    skip: tuple[str, ...] = ()
    """Names that do not belong although the pattern fits, such as "*~"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A whole profile; `digest` is the same wherever the same rules are read, whatever file they stand in."""

    name: str
    tables: tuple[ProfileTable, ...]
    files: tuple[ProfileFiles, ...] = ()
    digest: str = ""
    serials_travel: bool = False
    """All users are at home in one pool, so that at any time one pool gives the numbers."""

    @property
    def lead(self) -> Channel:
        """The channel that leads: of the management store its only one, of every application that of users."""
        return Channel.CMS if any(table.channel is Channel.CMS for table in self.tables) else Channel.USERS


@dataclass(frozen=True, slots=True)
class MatchedPath:
    """Whose a path is and to which conference it belongs."""

    home_key: str
    conference: str


def load_profile(name_or_path: str) -> Profile:
    """Read a shipped profile by name, or a file by absolute path. Raises PROFILE with everything that is wrong."""
    called = f"profile {name_or_path}"
    if name_or_path.startswith("/"):
        return _read(name_or_path, open_toml(Code.PROFILE, Path(name_or_path), called))
    folder = resource_files("poolpair") / "profiles"
    shipped = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name_or_path not in shipped:
        detail = f"{called}: not shipped (there is {', '.join(shipped)}), and an own one needs its absolute path"
        raise PoolpairError(Code.PROFILE, detail)
    return parse_profile((folder / f"{name_or_path}.toml").read_bytes(), name_or_path)


def parse_profile(content: bytes, name: str) -> Profile:
    """Read a profile's TOML. Raises PROFILE with everything that is wrong."""
    return _read(name, TomlFile(Code.PROFILE, f"profile {name}", content))


def _read(name: str, file: TomlFile) -> Profile:
    for key in file.data:
        if key not in {"tables", "files", "description"}:
            near = nearest(key, ("tables", "files", "description"))
            file.problem((key,), "unknown key" + (f", did you mean {near}?" if near else ""))
    tables = tuple(_table(number, entry) for number, entry in enumerate(_entries(file, "tables"), 1))
    trees = tuple(_tree(entry) for entry in _entries(file, "files"))
    if not tables and not trees and "tables" not in file.data:
        file.problem(("tables",), "missing: write [[tables]] once for every table that is carried")
    file.raise_problems()
    return Profile(name=name, tables=tables, files=trees, digest=profile_digest(tables, trees))


def profile_digest(tables: tuple[ProfileTable, ...], trees: tuple[ProfileFiles, ...]) -> str:
    """SHA-256 over what is not at its default: a later release may know more keys and still agree with this one."""
    canonical = json.dumps([[_said(table) for table in tables], [_said(tree) for tree in trees]], sort_keys=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _said(entry: ProfileTable | ProfileFiles) -> dict[str, object]:
    values = {field.name: (getattr(entry, field.name), field.default) for field in fields(entry)}
    return {name: value for name, (value, default) in values.items() if default is MISSING or value != default}


def _entries(file: TomlFile, key: str) -> Iterator[_Entry]:
    value = file.data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        file.problem((key,), f"write [[{key}]], with two brackets, before every entry")
        return
    for number, entry in enumerate(value):
        name = entry.get("name")
        label = f"table {name}" if isinstance(name, str) and name else f"entry {number + 1} of {key}"
        yield _Entry(file, (key, str(number)), label if key == "tables" else f"entry {number + 1} of files", entry)


class _Entry:
    """One [[tables]] or [[files]]; notes what is wrong with it."""

    def __init__(self, file: TomlFile, path: KeyPath, label: str, values: dict[str, object]) -> None:
        self._file = file
        self._path = path
        self._label = label
        self._values = values

    def problem(self, key: str, reason: str) -> None:
        """Note a problem with one key of this entry."""
        self._file.problem((*self._path, key), reason, called=f"{self._label}: {key}")

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        """Note keys that mean nothing."""
        for key in self._values:
            if key not in known:
                near = nearest(key, known)
                self.problem(key, "unknown key" + (f", did you mean {near}?" if near else ""))

    def text(self, key: str) -> str | None:
        """A text with something in it, or None."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            self.problem(key, f"expected a text, not {type_name(value) if not isinstance(value, str) else repr(value)}")
            return None
        return value.strip()

    def needed(self, key: str) -> str:
        """A text that must be there."""
        if key not in self._values:
            self.problem(key, "missing")
        return self.text(key) or ""

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of different texts; a single text is a list of one."""
        value = self._values.get(key, [])
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(
            isinstance(each, str) and each and "\0" not in each for each in found
        ):
            self.problem(key, 'expected a list of names, such as ["host", "user"]')
            return ()
        twice = sorted({each for each in found if found.count(each) > 1})
        if twice:
            self.problem(key, f"{twice[0]!r} is named twice")
        return tuple(found)

    def choice(self, key: str, *choices: str) -> str:
        """One of a few words; the first if nothing is said."""
        value = self._values.get(key, choices[0])
        if value not in choices:
            words = " or ".join(f'"{choice}"' for choice in choices if choice)
            self.problem(key, f"expected {words}, not {value!r}")
            return choices[0]
        return str(value)


def _table(number: int, entry: _Entry) -> ProfileTable:
    entry.refuse_unknown(
        (*(field.name for field in fields(ProfileTable) if field.name not in {"number", "shared"}), "home")
    )
    name, key = entry.needed("name"), entry.texts("key")
    if not key:
        entry.problem("key", "name at least one column: the rows that agree in these columns travel together")
    return ProfileTable(
        number=number,
        name=name,
        channel=Channel(entry.choice("channel", Channel.USERS.value, Channel.CONFERENCES.value)),
        key=key,
        where=entry.text("where"),
        home_key=entry.text("home_key"),
        principal=entry.text("principal"),
        shared=entry.choice("home", "", "shared") == "shared",
        leave_out=entry.texts("leave_out"),
        order_by=entry.texts("order_by"),
        sequences=entry.texts("sequences"),
        triggers="skip" if entry.choice("triggers", "fire", "skip") == "skip" else "fire",
        conference=entry.text("conference"),
    )


def _tree(entry: _Entry) -> ProfileFiles:
    entry.refuse_unknown(tuple(field.name for field in fields(ProfileFiles)))
    pattern = entry.needed("pattern")
    captures = _CAPTURE.findall(pattern)
    bare = _CAPTURE.sub("", pattern)
    if pattern and any(part in {"", ".", ".."} for part in pattern.split("/")):
        entry.problem("pattern", "must be a path below `files`: no / at either end, no empty part, no . or ..")
    if "{" in bare or "}" in bare:
        entry.problem("pattern", "write a part that varies as {name}, of letters, digits and _")
    if "}{" in pattern:
        entry.problem("pattern", "something must stand between two captures, or nobody knows where one ends")
    if len(set(captures)) < len(captures):
        entry.problem("pattern", "each capture needs a name of its own")
    templates = {key: entry.needed(key) for key in ("home_key", "conference")}
    for key, template in templates.items():
        for name in _CAPTURE.findall(template):
            if name not in captures:
                entry.problem(key, f"{{{name}}} is not captured by the pattern")
    decode: Literal["", "percent"] = "percent" if entry.choice("decode", "", "percent") else ""
    return ProfileFiles(pattern=pattern, decode=decode, skip=entry.texts("skip"), **templates)


@dataclass(frozen=True, slots=True)
class PathRule:
    """One [[files]] entry, ready to be matched."""

    rule: ProfileFiles
    expression: re.Pattern[bytes]

    def match(self, path: bytes) -> MatchedPath | None:
        """Whose this path is by this rule."""
        found = self.expression.fullmatch(path)
        if found is None or any(part in {b"", b".", b".."} for part in path.split(b"/")) or b"\0" in path:
            return None
        name = _shown(path.rpartition(b"/")[2])
        if any(matches(pattern, name) for pattern in self.rule.skip):
            return None
        raw: dict[str, bytes] = found.groupdict()
        values = {key: _shown(unquote_to_bytes(value) if self.rule.decode else value) for key, value in raw.items()}
        return MatchedPath(_filled(self.rule.home_key, values), _filled(self.rule.conference, values))


@cache
def path_rule(rule: ProfileFiles) -> PathRule:
    """Make a rule ready."""
    parts = _CAPTURE.split(rule.pattern)
    body = [b"(?P<%b>[^/]+)" % part.encode() if n % 2 else re.escape(part.encode()) for n, part in enumerate(parts)]
    return PathRule(rule, re.compile(b"".join(body)))


def match_path(profile: Profile, path: bytes) -> MatchedPath | None:
    """Say whose a path is, by the first rule that fits; None if it does not belong to what is carried."""
    return next((found for rule in profile.files if (found := path_rule(rule).match(path))), None)


def _shown(raw: bytes) -> str:
    """A name as text that every store accepts: bytes that are no UTF-8 are escaped, each by its number."""
    return raw.decode("utf-8", "backslashreplace")


def _filled(template: str, values: dict[str, str]) -> str:
    return _CAPTURE.sub(lambda found: values[found[1]], template)
