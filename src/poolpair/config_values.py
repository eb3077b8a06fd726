"""How each kind of value in the pool file is read. Every reader takes what TOML gave and raises `ValueError` with what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from poolpair.smb_address import is_smb, parse_smb
from poolpair.units import read_duration, read_size, show_duration, type_name

_POOL_NAME = re.compile(r"[a-z0-9-]{1,32}")
_PROFILE_NAME = re.compile(r"[a-z0-9_-]+")
NOT_SET = "(not set)"
MANAGEMENT_PROFILE = "cms"


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    return value


def parse_pool_name(value: object) -> str:
    """The name of a pool."""
    name = _text(value, "the name of a pool")
    if not _POOL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a pool: 1 to 32 of a-z, 0-9 and -")
    return name


def parse_store(value: object) -> str:
    """The URL of a store."""
    url = _text(value, 'a URL such as "sqlite:////abs/path"')
    if url.startswith("postgresql://"):
        return url
    if not url.startswith("sqlite:///"):
        raise ValueError(f"expected sqlite:////abs/path or postgresql://..., not {without_password(url)!r}")
    if not _is_clean_path(url.removeprefix("sqlite:///")):
        raise ValueError(f"{url!r}: the path must be absolute, which makes four slashes: sqlite:////abs/path")
    return url


def without_password(url: str) -> str:
    """A URL as it may be printed."""
    return re.sub(r"((?:^|[?&])(?:ssl)?password=)[^&]*", r"\1***", re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url))


def parse_profile(value: object) -> str:
    """The name of a shipped profile, or the absolute path of an own one."""
    name = _text(value, "the name of a profile or an absolute path")
    if name == MANAGEMENT_PROFILE:
        raise ValueError(f"{name!r} is the management store's own profile, not an application's")
    if not _PROFILE_NAME.fullmatch(name) and not _is_clean_path(name):
        raise ValueError(f"{name!r} is neither the name of a profile (a-z, 0-9, _ and -) nor an absolute path")
    return name


def _is_clean_path(text: str) -> bool:
    return text.startswith("/") and len(text) > 1 and "\0" not in text


def parse_absolute(value: object) -> str:
    """An absolute path, as text."""
    text = _text(value, "an absolute path")
    if not _is_clean_path(text):
        raise ValueError(f"{text!r} is no absolute path")
    return text


def parse_share(value: object) -> str:
    """An absolute path, or a share on a file server in the one form in which it is printed."""
    text = _text(value, "an absolute path or the address of a share")
    if is_smb(text):
        return str(parse_smb(text))
    if "://" in text or "\\" in text:
        raise ValueError(f"{text!r} is neither an absolute path nor an address such as smb://server/share/folder")
    return parse_absolute(text)


def parse_path(value: object) -> Path | None:
    """An absolute path."""
    return Path(parse_absolute(value))


def show_path(path: Path | None) -> str:
    """As `config show` prints it."""
    return str(path) if path else NOT_SET


def parse_address(value: object) -> tuple[str, int]:
    """An IP address and a port."""
    expected = 'expected an address and a port, such as "127.0.0.1:7462" or "[::1]:7462"'
    said = _text(value, "an address and a port")
    host, _, port = said.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ip_address(bare)
    except ValueError:
        raise ValueError(f"{expected}, not {said!r}") from None
    if (address.version == 6) is (bare == host) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{expected}, not {said!r}")
    return str(address), int(port)


def parse_line(value: object) -> str:
    """One line of text."""
    text = _text(value, "the name of this front end")
    if not text or not text.isprintable() or len(text) > 255:
        raise ValueError("expected one line of 1 to 255 printable characters")
    return text


def parse_boolean(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    return value


def count_between(low: int, high: int) -> Callable[[object], int]:
    """Reads an integer between both limits."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected an integer, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}, not {value}")
        return value

    return read


def duration_between(low: float, high: float) -> Callable[[object], float]:
    """Reads a duration between both limits, in seconds."""

    def read(value: object) -> float:
        seconds = read_duration(value)
        if not low <= seconds <= high:
            raise ValueError(f"must lie between {show_duration(low)} and {show_duration(high)}, not {value!r}")
        return seconds

    return read


def duration_or(none: str, low: float, high: float) -> Callable[[object], float | None]:
    """Reads a duration between both limits, in seconds, or a word for None."""

    def read(value: object) -> float | None:
        return None if value == none else duration_between(low, high)(value)

    return read


def parse_size(value: object) -> int:
    """A size in bytes."""
    size = read_size(value)
    if not 1 <= size < 2**63:
        raise ValueError(f"must be at least one byte and less than 8 EiB, not {value!r}")
    return size


def parse_command(value: object) -> tuple[str, ...]:
    """A program and its arguments."""
    expected = 'expected a program and its arguments, such as ["systemctl", "stop", "prosody"]'
    if not isinstance(value, list):
        raise ValueError(f"{expected}, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    if not value or not all(isinstance(word, str) for word in value) or not value[0]:
        raise ValueError(f"{expected}; there is no shell, so each word stands by itself")
    if any("\0" in word for word in value):
        raise ValueError("a word of a command cannot hold a NUL")
    return tuple(value)


def show_command(command: tuple[str, ...]) -> str:
    """As it stands in the pool file."""
    return json.dumps(command, ensure_ascii=False) if command else NOT_SET
