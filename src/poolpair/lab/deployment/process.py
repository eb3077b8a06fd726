"""Processes that outlive the command which started them, and are never taken for others: by id, start time and boot.

A mark names one process for good. Signals go through a descriptor of that process, so that a number which was given away meanwhile is
never met.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from poolpair.clock import SystemClock

_STATE, _STARTED = 0, 19
"""Fields of /proc/PID/stat after the name of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One process."""

    pid: int
    started: int
    """Clock ticks after the boot."""
    boot_id: str

    def save(self, path: Path) -> None:
        """Write it down, all or nothing."""
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"{path.name}~")
        temporary.write_text(json.dumps(asdict(self)) + "\n")
        temporary.replace(path)


def load_mark(path: Path) -> Mark | None:
    """The mark of a file; None if there is none, or nothing that is one."""
    try:
        body = json.loads(path.read_text())
        return Mark(pid=int(body["pid"]), started=int(body["started"]), boot_id=str(body["boot_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def mark_of(pid: int) -> Mark | None:
    """The mark of a running process."""
    fields = _stat(pid)
    if not fields or fields[_STATE] in "ZX":
        return None
    return Mark(pid=pid, started=int(fields[_STARTED]), boot_id=SystemClock().boot_id())


def state(mark: Mark | None) -> str:
    """`up`, `frozen` (stopped by a signal) or `down`."""
    if mark is None or mark_of(mark.pid) != mark:
        return "down"
    fields = _stat(mark.pid)
    return "frozen" if fields and fields[_STATE] in "Tt" else "up"


def send(mark: Mark | None, *numbers: int) -> bool:
    """Send signals to that process and no other; False if it has ended."""
    if mark is None:
        return False
    try:
        descriptor = os.pidfd_open(mark.pid)
    except OSError:
        return False
    try:
        if mark_of(mark.pid) != mark:  # the descriptor is of whoever has the number now
            return False
        for number in numbers:
            signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def wait_end(mark: Mark | None, timeout_s: float) -> bool:
    """Wait until a process has ended; False if it has not in time."""
    deadline_s = time.monotonic() + timeout_s
    while mark is not None and state(mark) != "down":
        try:
            descriptor = os.pidfd_open(mark.pid)
        except OSError:
            return True
        try:
            left_s = deadline_s - time.monotonic()
            # Readable once it has ended, even if nobody has asked for its exit status yet.
            if not select.select([descriptor], [], [], max(0.0, left_s))[0]:
                return False
        finally:
            os.close(descriptor)
        return True
    return True


def end(mark: Mark | None, timeout_s: float) -> bool:
    """Ask a process to end, and kill it if it does not in time; False if it had to be killed."""
    if not send(mark, signal.SIGTERM, signal.SIGCONT):
        return True
    if wait_end(mark, timeout_s):
        return True
    send(mark, signal.SIGKILL)
    wait_end(mark, timeout_s)
    return False


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Mark:
    """Start a process that goes on when this one ends, and says what it says into a file. Raises OSError."""
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    process.returncode = 0  # nobody here waits for it, and Python need not warn of that
    return mark_of(process.pid) or Mark(pid=process.pid, started=0, boot_id="")
