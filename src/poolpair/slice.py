"""What a first copy is sent in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of a table as the origin's store counts it; only that store understands it."""

    table: int
    low: int
    high: int
