"""A word to systemd, if it listens: that the service works, is alive, or ends. Without `NOTIFY_SOCKET` nothing is said."""

from __future__ import annotations

import os
import socket

PATIENCE_S = 1.0
"""How long a word that is said once (`READY=1`, `STOPPING=1`) waits for room in the supervisor's queue."""
ALIVE = "WATCHDOG=1"


def notify(words: str) -> None:
    """Send `READY=1` and the like; a supervisor that does not take it changes nothing here."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
            speaker.settimeout(0 if words == ALIVE else PATIENCE_S)
            speaker.sendto(words.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
    except OSError:  # it went away, or its queue is full: the next sign of life will do
        return
