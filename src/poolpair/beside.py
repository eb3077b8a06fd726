"""What a process does beside its service: again and again until it is told to stop, and never at the service's cost."""

from __future__ import annotations

import threading
from collections.abc import Callable

from poolpair.errors import PoolpairError
from poolpair.stopping import Stop

AGAIN_S = 5.0
"""Between two tries: what keeps it from working is often over by itself, as another front end that had it."""
JOIN_S = 10.0
"""What does not end in that time is left to end with the process."""


class Beside:
    """One thing in a thread of its own; what goes wrong is said once, and tried again."""

    def __init__(self, what: str, work: Callable[[Stop], None], stop: Stop, tell: Callable[[str], None]) -> None:
        self._what, self._work, self._stop, self._tell = what, work, stop, tell
        self._said = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended, after it was told to."""
        if self._thread.is_alive():
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._work(self._stop)
                self._said = ""
            except PoolpairError as error:
                self._complain(f"{error.code}: {error.detail}")
            except Exception as error:  # whatever it is: the pool's users are served on
                self._complain(repr(error))
            self._stop.wait(AGAIN_S)

    def _complain(self, words: str) -> None:
        if words != self._said:
            self._tell(f"{self._what}: {words}")
        self._said = words
