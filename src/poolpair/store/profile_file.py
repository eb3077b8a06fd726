"""Reads profiles: a TOML file that an operator can write; `profiles/prosody.toml` is shipped and is the model.

Reading needs no database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files as resource_files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.profile import CAPTURE, Profile, ProfileFiles, ProfileTable, Whole, profile_digest
from poolpair.tomlfile import KeyPath, TomlFile, nearest, open_toml
from poolpair.units import type_name


def load_profile(name_or_path: str) -> Profile:
    """Read a shipped profile by name, or a file by absolute path. Raises PROFILE with everything that is wrong."""
    called = f"profile {name_or_path}"
    if name_or_path.startswith("/"):
        return _read(name_or_path, open_toml(Code.PROFILE, Path(name_or_path), called))
    shipped = shipped_profiles()
    if name_or_path not in shipped:
        detail = f"{called}: not shipped (there is {', '.join(shipped)}), and an own one needs its absolute path"
        raise PoolpairError(Code.PROFILE, detail)
    return parse_profile((_shipped() / f"{name_or_path}.toml").read_bytes(), name_or_path)


def shipped_profiles() -> tuple[str, ...]:
    """The names of those that come with the program."""
    return tuple(
        sorted(entry.name.removesuffix(".toml") for entry in _shipped().iterdir() if entry.name.endswith(".toml"))
    )


def _shipped() -> Traversable:
    return resource_files("poolpair") / "profiles"


def parse_profile(content: bytes, name: str) -> Profile:
    """Read a profile's TOML. Raises PROFILE with everything that is wrong."""
    return _read(name, TomlFile(Code.PROFILE, f"profile {name}", content))


def _read(name: str, file: TomlFile) -> Profile:
    known = ("tables", "files", "description", "whole", "without", "skip")
    for key in file.data:
        if key not in known:
            near = nearest(key, known)
            file.problem((key,), "unknown key" + (f", did you mean {near}?" if near else ""))
    tables = tuple(_table(number, entry) for number, entry in enumerate(_entries(file, "tables"), 1))
    trees = tuple(_tree(entry) for entry in _entries(file, "files"))
    whole = _whole(file)
    if not tables and not trees and not whole and "tables" not in file.data:
        file.problem(("tables",), "missing: write [[tables]] once for every table that is carried, or whole = true")
    file.raise_problems()
    if whole and not trees:
        trees = (ProfileFiles(pattern="{*path}", home_key="files", conference="{path}", skip=whole.skip),)
    digest = profile_digest(tables, trees, whole)
    return Profile(name=name, tables=tables, files=trees, digest=digest, agreed=digest, whole=whole)


def _whole(file: TomlFile) -> Whole | None:
    top = _Entry(file, (), "", {key: file.data[key] for key in ("without", "skip") if key in file.data}, called=False)
    whole = Whole(without=top.texts("without"), skip=top.texts("skip"))
    if file.data.get("whole", False) not in {True, False}:
        file.problem(("whole",), "expected true or false")
    if file.data.get("whole") is True:
        return whole
    for key in ("without", "skip"):
        if key in file.data:
            file.problem((key,), "belongs to whole = true")
    return None


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

    def __init__(
        self, file: TomlFile, path: KeyPath, label: str, values: dict[str, object], *, called: bool = True
    ) -> None:
        self._file = file
        self._path = path
        self._label = f"{label}: " if called else ""
        self._values = values

    def problem(self, key: str, reason: str) -> None:
        """Note a problem with one key of this entry."""
        self._file.problem((*self._path, key), reason, called=f"{self._label}{key}")

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
        return value

    def expression(self, key: str) -> str | None:
        """SQL, or None; blanks around it mean nothing."""
        value = self.text(key)
        return value.strip() if value else None

    def needed(self, key: str) -> str:
        """A text that must be there, blanks and all: a name may begin with one."""
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

    def triggers(self) -> tuple[str, ...] | None:
        """Those of the application's triggers that run; None: all."""
        if isinstance(self._values.get("triggers"), list):
            return self.texts("triggers")
        return None if self.choice("triggers", "fire", "skip") == "fire" else ()

    def choice(self, key: str, *choices: str) -> str:
        """One of a few words; the first if nothing is said."""
        value = self._values.get(key, choices[0])
        if value not in choices:
            words = " or ".join(f'"{choice}"' for choice in choices if choice)
            self.problem(key, f"expected {words}, not {value!r}")
            return choices[0]
        return str(value)


_NOT_SAID = frozenset({"number", "shared", "fire", "indexing", "home_is_pool"})
"""Of a table, what no profile says, or says in another way."""


def _table(number: int, entry: _Entry) -> ProfileTable:
    entry.refuse_unknown((*(field.name for field in fields(ProfileTable) if field.name not in _NOT_SAID), "home"))
    name, key = entry.needed("name"), entry.texts("key")
    fire = entry.triggers()
    if not key:
        entry.problem("key", "name at least one column: the rows that agree in these columns travel together")
    return ProfileTable(
        number=number,
        name=name,
        channel=Channel(entry.choice("channel", Channel.USERS.value, Channel.CONFERENCES.value)),
        key=key,
        where=entry.expression("where"),
        home_key=entry.expression("home_key"),
        principal=entry.expression("principal"),
        shared=entry.choice("home", "", "shared") == "shared",
        leave_out=entry.texts("leave_out"),
        order_by=entry.texts("order_by"),
        sequences=entry.texts("sequences"),
        triggers="fire" if fire is None else "skip",
        fire=fire or (),
        conference=entry.expression("conference"),
    )


def _tree(entry: _Entry) -> ProfileFiles:
    entry.refuse_unknown(tuple(field.name for field in fields(ProfileFiles)))
    pattern = entry.needed("pattern")
    captures = CAPTURE.findall(pattern)
    bare = CAPTURE.sub("", pattern)
    if pattern and any(part in {"", ".", ".."} for part in pattern.split("/")):
        entry.problem("pattern", "must be a path below `files`: no / at either end, no empty part, no . or ..")
    if "{" in bare or "}" in bare:
        entry.problem(
            "pattern", "write a part that varies as {name}, of letters, digits and _, or {*name} if it may hold /"
        )
    if "}{" in pattern:
        entry.problem("pattern", "something must stand between two captures, or nobody knows where one ends")
    if len(set(captures)) < len(captures):
        entry.problem("pattern", "each capture needs a name of its own")
    templates = {key: entry.needed(key) for key in ("home_key", "conference")}
    for key, template in templates.items():
        for name in CAPTURE.findall(template):
            if name not in captures:
                entry.problem(key, f"{{{name}}} is not captured by the pattern")
    decode: Literal["", "percent"] = "percent" if entry.choice("decode", "", "percent") else ""
    return ProfileFiles(pattern=pattern, decode=decode, skip=entry.texts("skip"), **templates)
