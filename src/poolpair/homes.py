"""The homes map: which pool owns which home key. A pure reference of what the store computes in SQL.

A pattern is a text in which `*` stands for any run of characters, and nothing else is special.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from poolpair.units import type_name

Homes = tuple[tuple[str, str], ...]
"""(pattern, pool) in the order of the file."""

SHARED = "shared"
"""The key in [homes] that names the pool which owns tables without principals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePattern:
    """One line of [homes]; of the patterns that match, the one with the lowest rank decides."""

    rank: int
    pattern: str
    pool: str


def home_problem(pattern: str, pool: object, pools: set[str]) -> str | None:
    """What is wrong with one line of [homes]; a pool that is not known yet is ''."""
    if isinstance(pool, dict):
        return f'a pattern with dots needs quotes, such as "{pattern}.example" = "a"'
    if not isinstance(pool, str):
        return f"expected the name of a pool, not {type_name(pool)}"
    if "" not in pools and pool not in pools:
        return f"{pool!r} is neither pool of this pair ({' and '.join(sorted(pools))})"
    if not pattern or not pattern.isprintable():
        return "a pattern needs at least one character, and only printable ones"
    if "?" in pattern or "[" in pattern:
        return "only * is a wildcard: write one pattern per line instead of ? and [...]"
    if "**" in pattern:
        return "one * matches everything already"
    return None


def home_ranks(homes: Iterable[tuple[str, str]]) -> tuple[HomePattern, ...]:
    """The patterns in the order in which they decide: exact ones first, then the longest."""
    ordered = sorted(homes, key=lambda home: ("*" in home[0], -len(home[0]), home[0]))
    return tuple(HomePattern(rank=rank, pattern=pattern, pool=pool) for rank, (pattern, pool) in enumerate(ordered, 1))


def home_of(home_key: str, patterns: Iterable[HomePattern]) -> str | None:
    """The pool that a home key belongs to; None if no pattern matches. The key `shared` is not a pattern."""
    ranked = sorted((home for home in patterns if home.pattern != SHARED), key=lambda home: home.rank)
    return next((home.pool for home in ranked if matches(home.pattern, home_key)), None)


def matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern in which `*` stands for any run of characters and nothing else is special."""
    first, *middle = pattern.split("*")
    if not middle:
        return text == first
    last = middle.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def settings_digest(homes: Iterable[tuple[str, str]], profile_digest: str, *, without_files: bool = False) -> str:
    """What both pools must agree on, as 128 bits of a SHA-256: it travels in every cookie. The order of [homes] does not matter."""
    said: dict[str, object] = {"homes": sorted(homes), "profile": profile_digest}
    if without_files:  # one side that carries rows but not their files would look equal and be wrong
        said["files"] = False
    canonical = json.dumps(said, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]
