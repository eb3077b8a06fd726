"""The clock port: time for pacing and for people; never for correctness.

`monotonic_s` counts seconds since an arbitrary start within one boot and is comparable between processes of that
boot; `boot_id` says which boot. `utc_iso` is for people only.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Where a site gets its time from."""

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary point; never goes back within one boot."""
        ...

    def utc_iso(self) -> str:
        """Now in UTC, to the millisecond, for people."""
        ...

    def boot_id(self) -> str:
        """Names the boot within which `monotonic_s` is comparable."""
        ...


class SystemClock:
    """The machine's own clock; CLOCK_BOOTTIME so that a suspended machine counts its sleep."""

    def __init__(self) -> None:
        self._boot_id = _read_boot_id()

    def monotonic_s(self) -> float:
        """Seconds since boot."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def utc_iso(self) -> str:
        """Now in UTC, to the millisecond."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    def boot_id(self) -> str:
        """The kernel's boot id, or the host's name where there is none."""
        return self._boot_id


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return os.uname().nodename
