"""Settings in the management store, for all pools or for one: the same keys as in a pool file, by our names or the original's. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poolpair.config_sections import read_bandwidth
from poolpair.config_settings import LYNC_NAMES, SECTIONS, read_guard, read_limits, read_sync
from poolpair.errors import Code, PoolpairError
from poolpair.tomlfile import KeyPath, KeyReader, TomlFile, nearest
from poolpair.units import show_size

SETTINGS: Final = "backup"
"""For all pools; `backup/a` for pool a alone, which counts more."""
Values = dict[str, object]
"""By our names, such as "sync.interval"; as TOML has them."""
RANGES: Final = {
    "sync.interval": "5s to 3h",
    "sync.eager": "true or false",
    "sync.conference_max": "a size",
    "sync.package_max": "a size",
    "sync.window": "1 to 1000 packages",
    "sync.heartbeat_max": "100ms to 3h",
    "guard.delete_fraction": "0% to 100%",
    "guard.delete_groups": "0 to 1000000000",
    "limits.quarantine_files": "1 to 1000000",
    "limits.parked_groups": "0 to 10000000",
    "limits.lock_wait": "100ms to 1h",
    "bandwidth.zone": "a time zone, such as Europe/Berlin",
    "bandwidth.users": "kbit/s, or rules",
    "bandwidth.conferences": "kbit/s, or rules",
    "bandwidth.cms": "kbit/s, or rules",
}
_TIME_SPAN: Final = re.compile(r"([0-9]{1,2}):([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One setting: its value, whether it is the default, what may be set."""

    key: str
    value: str
    given: bool
    lync: str
    range: str


def document_of(pool: str | None) -> str:
    """The document with the settings of a pool, or (None) of all."""
    return f"{SETTINGS}/{pool}" if pool else SETTINGS


def parse_settings(text: str, name: str = SETTINGS) -> Values:
    """Read a document. Raises TOPOLOGY with everything that is wrong."""
    file = TomlFile(Code.TOPOLOGY, name, text.encode())
    for section in file.data:
        if section not in SECTIONS:
            file.problem((section,), f"may not be set for a deployment; there is {', '.join(SECTIONS)}")
    _read(file)
    file.raise_problems()
    return {
        f"{section}.{key}": value
        for section, inner in file.data.items()
        if isinstance(inner, dict)
        for key, value in inner.items()
    }


def _read(file: TomlFile) -> KeyReader:
    read = KeyReader(file, LYNC_NAMES)
    read_sync(read)
    read_guard(read)
    read_limits(read)
    read_bandwidth(read)
    read.refuse_unknown(free="")
    return read


def write_settings(values: Mapping[str, object]) -> str:
    """The document. JSON's texts, numbers, booleans and lists of texts are TOML's as well."""
    lines: list[str] = []
    for section in SECTIONS:
        inner = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{section}.")}
        if inner:
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in sorted(inner.items()))]
    return "".join(f"{line}\n" for line in lines)


def explained(values: Mapping[str, object]) -> Iterator[Known]:
    """Every setting there is."""
    file = TomlFile(Code.TOPOLOGY, SETTINGS, write_settings(values).encode())
    for setting in _read(file).settings:
        yield Known(
            key=setting.key,
            value=setting.value,
            given=setting.key in values,
            lync=setting.lync,
            range=RANGES.get(setting.key, ""),
        )


def key_of(name: str) -> str:
    """Our name of a setting, by that or the original's, whatever the case. Raises TOPOLOGY for one that is none."""
    ours = {key.lower(): key for key in RANGES} | {lync.lower(): key for key, lync in LYNC_NAMES.items()}
    found = ours.get(name.lower())
    if found is None:
        near = nearest(name, (*RANGES, *LYNC_NAMES.values()))
        hint = f"did you mean {near}?" if near else "`poolpair config get` prints all"
        raise PoolpairError(Code.TOPOLOGY, f"{name!r} is no setting for a deployment", hint)
    return found


def value_of(name: str, said: str) -> object:
    """A value as it is typed: TOML where it is some, else a text. By the original's name in the original's units."""
    spans = _TIME_SPAN.fullmatch(said)
    if spans and name.lower() == "syncinterval":
        return f"{3600 * int(spans[1]) + 60 * int(spans[2]) + int(spans[3])}s"
    if name.lower() == "maxdataconfpackagesizekb" and said.isdigit():
        return show_size(1024 * int(said))
    try:
        return tomllib.loads(f"value = {said}")["value"]
    except tomllib.TOMLDecodeError:
        return said


def with_setting(values: Mapping[str, object], name: str, said: str | None) -> Values:
    """The same with one setting changed, or (None) at its default again. Raises TOPOLOGY for a value that does not count."""
    key = key_of(name)
    changed = {other: value for other, value in values.items() if other != key}
    if said is not None:
        changed[key] = value_of(name, said)
    parse_settings(_checked_text(changed, key))
    return changed


def _checked_text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    plain = isinstance(value, str | int | float | bool | None) or (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    )
    if not plain:
        raise PoolpairError(Code.TOPOLOGY, f"{key}: a text, a number, true, false or a list of texts is expected")
    return write_settings(values)


def laid(values: Mapping[str, object]) -> Iterator[tuple[KeyPath, object]]:
    """Each value with its path in a pool file."""
    for key, value in values.items():
        section, _, inner = key.partition(".")
        yield (section, inner), value
