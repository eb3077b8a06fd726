"""Durations, sizes and fractions as people write them: "2m", "100MiB", "20%". What is printed reads back equal.

Binary sizes have an i (KiB, MiB, GiB = powers of 1024), decimal ones have not (k, kB, M, MB ... = powers of 1000); the
case of a unit does not matter. Every reader takes what TOML gave and raises `ValueError` with what was expected.
"""

from __future__ import annotations

import re
from decimal import Decimal

_DURATIONS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_SIZES = {
    "": 1,
    "b": 1,
    **{f"{prefix}{tail}": 1000 ** (n + 1) for n, prefix in enumerate("kmgt") for tail in ("", "b")},
    **{f"{prefix}i{tail}": 1024 ** (n + 1) for n, prefix in enumerate("kmgt") for tail in ("", "b")},
}
_PRINTED_SIZES = (
    ("TiB", 1024**4),
    ("GiB", 1024**3),
    ("MiB", 1024**2),
    ("TB", 1000**4),
    ("GB", 1000**3),
    ("MB", 1000**2),
    ("KiB", 1024),
    ("kB", 1000),
)
_NUMBER = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*([A-Za-z%]*)")


def type_name(value: object) -> str:
    """What TOML calls this value."""
    names = {bool: "a boolean", int: "an integer", float: "a float", str: "a string", list: "an array", dict: "a table"}
    return names.get(type(value), "a date or time")


def read_duration(value: object) -> float:
    """Seconds of "250ms", "5s", "2m" or "1.5h"; a number alone is refused, for it says no unit."""
    expected = 'expected a duration such as "5s", "2m", "3h" or "250ms"'
    if not isinstance(value, str):
        raise ValueError(f"{expected}, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    found = _NUMBER.fullmatch(value.strip())
    factor = _DURATIONS.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise ValueError(f"{expected}, not {value!r}")
    return float(Decimal(found[1]) * factor)


def show_duration(seconds: float) -> str:
    """The largest unit in which it is a whole number, else seconds."""
    exact = Decimal(repr(seconds))
    for unit in ("h", "m", "s", "ms"):
        count = exact / _DURATIONS[unit]
        if count and count == int(count):
            return f"{int(count)}{unit}"
    return f"{exact.normalize():f}s"


def show_count(number: int, what: str) -> str:
    """How many of something, as "1 package" or "1,000 packages"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def show_age(seconds: float) -> str:
    """About how long, for people: tenths below ten seconds, then seconds, minutes, hours."""
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def read_size(value: object) -> int:
    """Bytes of "100MiB", "1GB", "512k" or a plain integer."""
    expected = 'expected a size such as "100MiB", "1GB" or "512k"'
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{expected}, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    found = _NUMBER.fullmatch(value.strip())
    factor = _SIZES.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise ValueError(f"{expected}, not {value!r}")
    size = Decimal(found[1]) * factor
    if size != int(size):
        raise ValueError(f"{value!r} is no whole number of bytes")
    return int(size)


def show_size(size: int) -> str:
    """The largest unit in which it is a whole number, binary first, else plain bytes."""
    for unit, factor in _PRINTED_SIZES:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def show_bytes(count: int) -> str:
    """About how much, for people."""
    mib, gib = 1024**2, 1024**3
    return (
        f"{count / gib:,.1f} GiB" if count >= gib else f"{count / mib:.1f} MiB" if count >= mib else f"{count:,} bytes"
    )


def read_fraction(value: object) -> float:
    """A share of the whole: "20%" or 0.2."""
    expected = 'expected a fraction such as "20%" or 0.2'
    if isinstance(value, int | float) and not isinstance(value, bool):
        fraction = float(value)
    elif isinstance(value, str):
        found = _NUMBER.fullmatch(value.strip())
        if found is None or found[2] != "%":
            raise ValueError(f"{expected}, not {value!r}")
        fraction = float(Decimal(found[1]) / 100)
    else:
        raise ValueError(f"{expected}, not {type_name(value)}")  # noqa: TRY004 - one error for every wrong value
    if not 0 <= fraction <= 1:
        raise ValueError(f"must lie between 0% and 100%, not {value!r}")
    return fraction


def show_fraction(fraction: float) -> str:
    """As a percentage."""
    return f"{(Decimal(repr(fraction)) * 100).normalize():f}%"
