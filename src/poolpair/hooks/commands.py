"""Hooks as real commands: without a shell, in a process group of their own, which ends as a whole at the timeout.

A hook that a killed service left running is ended before any hook runs again, so that no two run at once on this machine. Its process
is known by its number and the tick of its start, noted in the scratch folder: a number that was given anew is left alone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from poolpair.hooks.port import HookResult
from poolpair.moves import HookStep
from poolpair.stopping import Stop

OUTPUT_MAX_BYTES = 8192
"""Of a hook's output its end is kept, since errors stand there."""
DRAIN_MAX_BYTES = 1 << 20
"""What a hook leaves in the pipe is read to here: a process that it left behind may go on writing."""
LOOK_S = 0.1
GRACE_S = 2.0
"""Between SIGTERM and SIGKILL, and after that for the end; what runs as another user may obey neither."""
RUNNING = "hook.json"
ASK_EVERY_S = 2.0
"""Nobody connects to the application more often than that to see whether it runs."""


class CommandHooks:
    """The commands of one pool. `scratch` is where a running one is noted, `base` the environment that each gets.

    `watched` is what the application makes anew when it starts.
    """

    def __init__(
        self,
        commands: Mapping[HookStep, tuple[str, ...]],
        timeout_s: float,
        scratch: Path,
        base: Mapping[str, str],
        watched: Path | None = None,
    ) -> None:
        self.commands = commands
        self._watched = watched
        self._timeout_s = timeout_s
        self._note = scratch / RUNNING
        self._base = base
        self._interrupted = Stop()
        self._left: subprocess.Popen[bytes] | None = None
        """One that could not be ended."""
        self._down, self._asked_s = "", -ASK_EVERY_S

    def interrupt(self) -> None:
        self._interrupted.set()

    def application(self) -> object:
        """By the watched file: a socket is another file after each start, a file of a process number is written anew."""
        try:
            found = self._watched.stat() if self._watched else None
        except OSError:
            return None
        return found and (found.st_dev, found.st_ino, found.st_ctime_ns)

    def down(self) -> str:
        """By the watched file: nothing stands there, or it is a socket at which nobody listens, as after a kill -9."""
        if self._watched is not None and time.monotonic() - self._asked_s >= ASK_EVERY_S:
            self._down, self._asked_s = _silence(self._watched), time.monotonic()
        return self._down

    def run(self, step: HookStep, words: Mapping[str, str]) -> HookResult | None:
        if self._interrupted.is_set():
            return None
        if self._left is not None and self._left.poll() is not None:
            self._left = None
        if left := self._end_orphan():
            return HookResult(failure=f"not run: an earlier one (process {left}) is not over, and could not be ended")
        began_s = time.monotonic()
        try:
            process = subprocess.Popen(
                self.commands[step],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**self._base, **words},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return HookResult(failure=f"cannot be run: {reason}")
        output = _Output()
        assert process.stdout is not None
        with process.stdout:
            os.set_blocking(process.stdout.fileno(), False)
            self._write_note(process.pid)
            try:
                ended = self._wait(process, output, began_s + self._timeout_s)
            except BaseException:  # such as Ctrl-C in a command that does the work of a service
                self._end_group(process)
                raise
            output.read(process.stdout.fileno(), DRAIN_MAX_BYTES)
        if process.returncode is None:
            self._left = process
        else:
            self._note.unlink(missing_ok=True)
        if not ended and self._interrupted.is_set():
            return None
        end = "could not be ended" if process.returncode is None else "ended"
        failure = _failure(process.returncode) if ended else f"not over after {self._timeout_s:g} s, and {end}"
        took_s = round(time.monotonic() - began_s, 3)
        return HookResult(took_s=took_s, failure=failure, output=output.text(), cut=output.cut)

    def _wait(self, process: subprocess.Popen[bytes], output: _Output, until_s: float) -> bool:
        """Whether it ended by itself; else its whole group was ended."""
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        poller = select.poll()
        poller.register(pipe, select.POLLIN)
        while not _is_over(process.pid):
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self._interrupted.is_set():
                self._end_group(process)
                return False
            # What a hook writes wakes this at once; its end does not, hence the short look.
            if poller.poll(1000 * min(left_s, LOOK_S)) and not output.read(pipe, OUTPUT_MAX_BYTES):
                poller.unregister(pipe)
        process.wait()
        return True

    @staticmethod
    def _end_group(process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, and after a moment SIGKILL. The leader is not reaped before that, so the number is still the group's."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Every process of the group that may be signalled is; what is left became another user's, and is not waited for.
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(process.pid, number)
            until_s = time.monotonic() + GRACE_S
            while not _is_over(process.pid) and time.monotonic() < until_s:
                select.poll().poll(1000 * LOOK_S)
        process.poll()

    def _write_note(self, pid: int) -> None:
        with suppress(OSError):  # without the note a second run may meet the first: hooks are to bear being repeated
            self._note.write_text(json.dumps({"pid": pid, "ticks": _start_ticks(pid)}))

    def _end_orphan(self) -> int:
        """End what an earlier run left; gives its number if it goes on all the same."""
        try:
            noted = json.loads(self._note.read_text())
            pid, ticks = int(noted["pid"]), int(noted["ticks"])
            handle = os.pidfd_open(pid)
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        goes_on = False
        try:
            if ticks and _start_ticks(pid) == ticks:  # the handle keeps its number from meaning another process
                with suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
                poller = select.poll()
                poller.register(handle, select.POLLIN)
                goes_on = not poller.poll(1000 * GRACE_S)
        finally:
            os.close(handle)
            if not goes_on:
                self._note.unlink(missing_ok=True)
        return pid if goes_on else 0


class _Output:
    """The end of what a hook wrote."""

    def __init__(self) -> None:
        self.cut = False
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def read(self, handle: int, limit: int) -> bool:
        """Take what stands in the pipe, up to a limit; False at its end."""
        while limit > 0:
            try:
                chunk = os.read(handle, min(limit, 65536))
            except BlockingIOError:
                return True
            if not chunk:
                return False
            limit -= len(chunk)
            self._chunks.append(chunk)
            self._size += len(chunk)
            while self._size - len(self._chunks[0]) >= OUTPUT_MAX_BYTES:
                self._size -= len(self._chunks.popleft())
                self.cut = True
        return True

    def text(self) -> str:
        """As text that may be printed on a terminal."""
        whole = b"".join(self._chunks)
        self.cut = self.cut or len(whole) > OUTPUT_MAX_BYTES
        said = whole[-OUTPUT_MAX_BYTES:].decode("utf-8", "replace")
        return "".join(
            letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in said
        )


def _is_over(pid: int) -> bool:
    """Whether a child has ended; it is not reaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _failure(status: int) -> str:
    if status < 0:
        return f"ended by signal {-status}"
    return f"ended with status {status}" if status else ""


def _start_ticks(pid: int) -> int:
    """When a process began, in ticks since boot; 0 if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def _silence(watched: Path) -> str:
    """Why the application does not run, as far as its file tells."""
    try:
        if not stat.S_ISSOCK(watched.stat().st_mode):
            return ""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(1.0)
            asked.connect(str(watched))
    except FileNotFoundError:
        return f"{watched} is not there"
    except ConnectionRefusedError:
        return f"nobody listens at {watched}"
    except OSError:  # not for this user to ask, or it is busy: neither says that it is down
        return ""
    return ""
