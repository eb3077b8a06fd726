"""One TOML file that an operator wrote: what it says, on which line, and everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from poolpair.errors import Code, PoolpairError
from poolpair.units import type_name

T = TypeVar("T")
FILE_MAX_BYTES = 1 << 20
KeyPath = tuple[str, ...]
_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY_LINE = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one was probably meant to be."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def key_name(path: KeyPath) -> str:
    """A key as one would write it in the file; parts that need quotes get them."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"' for part in path)


def key_lines(text: str) -> dict[KeyPath, list[int]]:
    """The lines on which each key or header stands. The n-th `[[name]]` counts as the header `name.n`, from 0."""
    lines: dict[KeyPath, list[int]] = {}
    arrays: dict[KeyPath, int] = {}
    section: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            header = _lone_path(line)
            if header and line.lstrip().startswith("[["):
                arrays[header] = arrays.get(header, -1) + 1
                header = (*header, str(arrays[header]))
            section = header or section
            lines.setdefault(section, []).append(number)
        elif found := _KEY_LINE.match(line):
            key = _lone_path(f"{found[1]} = 0")
            lines.setdefault((*section, *key), []).append(number)
    return lines


def _lone_path(line: str) -> KeyPath:
    """The path of the only key in one line of TOML, empty if the line alone is no TOML (part of a longer value)."""
    try:
        node: object = tomllib.loads(line)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ()
    path: list[str] = []
    while isinstance(node, dict) and node:
        ((name, node),) = node.items()
        path.append(name)
    return tuple(path)


@dataclass(frozen=True, slots=True)
class Laid:
    """A value that does not stand in the file, but counts as if it did; and where it comes from, in words."""

    value: object
    source: str


class TomlFile:
    """The parsed file and the problems found in it so far. Raises `code` at once if it is no TOML."""

    def __init__(self, code: Code, name: str, content: bytes) -> None:
        self.name = name
        self._code = code
        self._problems: list[str] = []
        self._lines: dict[KeyPath, list[int]] = {}
        self._laid: dict[KeyPath, str] = {}
        self.overruled: list[str] = []
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            detail = f"{name}: not UTF-8: byte {error.start} is {content[error.start]:#04x}"
            raise PoolpairError(code, detail) from error
        self._lines = key_lines(text)
        try:
            self.data: dict[str, object] = tomllib.loads(text)
        except RecursionError:
            raise PoolpairError(code, f"{name}: its brackets are nested too deeply") from None
        except tomllib.TOMLDecodeError as error:
            twice = [(path, lines) for path, lines in self._lines.items() if len(lines) > 1]
            if "overwrite" in str(error) and twice:
                for path, lines in twice:
                    self._problems.append(f"{key_name(path)} (line {lines[1]}): given twice, first in line {lines[0]}")
                self.raise_problems()
            raise PoolpairError(code, f"{name}: not TOML: {_lower_first(str(error))}") from error

    def lay_over(self, values: Mapping[KeyPath, Laid]) -> None:
        """Let these count as if they stood in the file; what stands there and differs does not count, and is named in `overruled`."""
        for path, laid in values.items():
            node: dict[str, object] = self.data
            for part in path[:-1]:
                inner = node.setdefault(part, {})
                if not isinstance(inner, dict):
                    break  # what is wrong with it is said when it is read
                node = inner
            else:
                before = node.get(path[-1], laid.value)
                if before != laid.value:
                    where = f" (line {line})" if (line := self.line(path)) else ""
                    words = f"{before!r} does not count, {laid.source} says {laid.value!r}"
                    self.overruled.append(f"{key_name(path)}{where}: {words}; take it away here, or change it there")
                node[path[-1]] = laid.value
                self._laid[path] = laid.source

    def source(self, path: KeyPath) -> str:
        """Where a value came from that was given: the file's line, or what was laid over it."""
        if path in self._laid:
            return self._laid[path]
        line, name = self.line(path), Path(self.name).name
        return f"{name}:{line}" if line else name

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, or of the nearest that is part of it or that it is part of; None if none was seen."""
        for length in range(len(path), 0, -1):
            within = (lines for key, lines in self._lines.items() if key[:length] == path[:length])
            if lines := self._lines.get(path[:length]) or next(within, None):
                return lines[0]
        return None

    def problem(self, path: KeyPath, reason: str, *, here: bool = True, called: str | None = None) -> None:
        """Note that something is wrong with a key. `called` replaces its name; `here`: it stands in the file."""
        line = self.line(path) if here else None
        where = f" (line {line})" if line else ""
        self._problems.append(f"{called or key_name(path)}{where}: {reason}")

    def raise_problems(self) -> None:
        """Raise one error that lists every problem, if there is any."""
        if self._problems:
            raise PoolpairError(self._code, f"{self.name}: {'; '.join(self._problems)}")


def open_toml(code: Code, path: Path, called: str | None = None) -> TomlFile:
    """Read a file. Raises `code` if it cannot be read, is larger than 1 MiB or is no TOML."""
    name = called or str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        hint = (
            "see that the path is right and that this account may read the file; `poolpair -c FILE` names a pool file"
        )
        raise PoolpairError(code, f"{name}: cannot be read: {error.strerror}", hint) from error
    if len(content) > FILE_MAX_BYTES:
        raise PoolpairError(code, f"{name}: larger than 1 MiB")
    return TomlFile(code, name, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value for `config show`. `source` is "default" or "FILE:line"; `lync` is the original's name of the key."""

    key: str
    value: str
    source: str
    lync: str = ""


class KeyReader:
    """Takes keys out of a file one by one, remembers which were asked for, and where each value came from."""

    def __init__(self, file: TomlFile, lync_names: Mapping[str, str]) -> None:
        self._file = file
        self._lync = lync_names
        self._known: set[KeyPath] = set()
        self.settings: list[Setting] = []

    def find(self, path: KeyPath) -> object:
        """What the file says under a key; None if nothing. The key is known from now on."""
        self._known.add(path)
        node: object = self._file.data
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def note(self, path: KeyPath, shown: str, *, given: bool) -> None:
        """Remember a value for `config show`."""
        key, source = key_name(path), self._file.source(path) if given else "default"
        self.settings.append(Setting(key=key, value=shown, source=source, lync=self._lync.get(key, "")))

    def required(self, key: str, parse: Callable[[object], str], show: Callable[[str], str] = str) -> str:
        """A text that must be there; empty after a problem was noted."""
        path = tuple(key.split("."))
        if self.find(path) is None:
            self._file.problem(path, "missing", here=False)
            return ""
        return self.optional(key, parse, "", show)

    def optional(self, key: str, parse: Callable[[object], T], default: T, show: Callable[[T], str]) -> T:
        """A value that may be missing; the default after a problem was noted."""
        path = tuple(key.split("."))
        value = self.find(path)
        parsed = default
        if value is not None:
            try:
                parsed = parse(value)
            except ValueError as error:
                self._file.problem(path, str(error))
        self.note(path, show(parsed), given=value is not None)
        return parsed

    def refuse_unknown(self, free: str) -> None:
        """Note every key that nobody asked for, with the nearest known one; the section `free` has no fixed keys."""
        sections = {path[0] for path in self._known if len(path) > 1}
        for name, value in self._file.data.items():
            if name in sections:
                if not isinstance(value, dict):
                    self._file.problem((name,), f"expected a section [{name}], not {type_name(value)}")
                elif name != free:
                    for inner in value:
                        self._refuse((name, str(inner)))
            elif isinstance(value, dict) and (name,) not in self._known:
                meant = nearest(name, sections)
                self._file.problem((name,), "unknown section" + (f", did you mean [{meant}]?" if meant else ""))
            else:
                self._refuse((name,))

    def _refuse(self, path: KeyPath) -> None:
        if path in self._known:
            return
        named = {name: tuple(key.split(".")) for key, name in self._lync.items()}
        named |= {known[-1]: known for known in sorted(self._known, reverse=True)}
        named |= {known[-1]: known for known in self._known if known[:-1] == path[:-1]}
        near = named.get(nearest(path[-1], named) or "")
        self._file.problem(path, "unknown key" + (f", did you mean {key_name(near)}?" if near else ""))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
