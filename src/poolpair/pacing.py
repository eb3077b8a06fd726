"""How long a service waits between two looks."""

from __future__ import annotations

BUSY_WAIT_S = 0.005
IDLE_WAIT_MAX_S = 0.25
"""The wait between looks doubles from the first to the second while nothing happens."""
VAIN_LOOK_SHARE = 4
"""From the `PATIENCE`th whole look in vain on, each is followed by a wait of so many times its own length: an application that writes
all the time while the partner is away costs no whole core."""
PATIENCE = 3
FAULT_WAIT_S = 1.0
"""The wait after a failed pass."""
LISTEN_S = 0.003
"""The share is asked so often for news while a service waits."""
LISTEN_SHARE = 20
"""But never for a larger part of the time than one in so many: a share may be slow."""


class Pace:
    """The waits of one service, from what its looks were like."""

    def __init__(self) -> None:
        self._wait_s = BUSY_WAIT_S
        self._vain = 0

    def after(self, *, moved: bool, whole: bool, took_s: float, faulty: bool) -> float:
        """Seconds to wait after a look, which `moved` something or not, and was a `whole` one or one at the hints only."""
        if moved:
            self._vain, self._wait_s = 0, BUSY_WAIT_S
        else:
            self._vain += whole
            self._wait_s = min(IDLE_WAIT_MAX_S, self._wait_s * 2)
        wait_s = self._wait_s
        if whole and self._vain >= PATIENCE:
            wait_s = max(wait_s, VAIN_LOOK_SHARE * took_s)
        return max(wait_s, FAULT_WAIT_S) if faulty else wait_s


def listen_every(took_s: float) -> float:
    """Seconds between two looks at a share, of which the last one took so long."""
    return max(LISTEN_S, LISTEN_SHARE * took_s)
