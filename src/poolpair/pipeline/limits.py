"""How much of everything: the limits of one site."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one site; what happens at each is said where it is read."""

    interval_s: float
    heartbeat_s: float
    eager: bool
    window: int
    conference_max_bytes: int
    package_max_bytes: int
    guard_fraction: float
    guard_groups: int
    parked_max: int
    piece_min_bytes: int = 64 * 1024
    piece_max_bytes: int = 64 * 1024**2
    """What of a package goes out at once; in between it is as much as the line takes in half a second."""
    placed_together: int = 64
    """Files that are made durable at once when a package is applied."""
