"""The word to end, given by a signal and waited for by threads."""

from __future__ import annotations

import os
import select
import weakref


class Stop:
    """Set once, and set for good. Every thread may wait for it.

    `set` takes no lock, so that a signal handler may call it wherever the signal met the main thread. `threading.Event` cannot
    be used for that: its `set` waits for a lock that the interrupted `wait` of the same thread may hold, and that for ever.
    """

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._set = False
        weakref.finalize(self, os.close, self._event)

    def set(self) -> None:
        """Say it; again is harmless."""
        self._set = True
        os.eventfd_write(self._event, 1)

    def is_set(self) -> bool:
        """Whether it was said."""
        return self._set

    def wait(self, timeout_s: float) -> None:
        """Return when it was said, at the latest after so many seconds."""
        poller = select.poll()
        poller.register(self._event, select.POLLIN)
        poller.poll(1000 * timeout_s)
