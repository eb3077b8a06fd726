"""A clock that stands still until somebody moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class VirtualClock:
    """Implements `clock.Clock`: time that passes only when a test or the simulator says so."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.wall_offset_s = 0.0
        """By how much the date is wrong; `monotonic_s` does not know of it."""

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary point."""
        return self.now_s

    def utc_iso(self) -> str:
        """A date that moves with the clock."""
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now_s + self.wall_offset_s)
        return now.isoformat(timespec="milliseconds")

    def boot_id(self) -> str:
        """One boot for ever."""
        return "virtual"

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
