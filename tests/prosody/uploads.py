"""Watches a site for rows of uploads that come before their files."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.prosody.site import Site

LOOK_S = 0.002
_ROWS = "SELECT key FROM prosodyarchive WHERE host = %s AND store = 'uploads'"


class UploadWatch:
    """Looks as often as it can at the rows, and then whether the file of each is there, whole."""

    def __init__(self, site: Site, host: str) -> None:
        self.seen: set[str] = set()
        self.early: set[str] = set()
        """Slots whose row was seen before the file."""
        self._site, self._host = site, host
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="uploads")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        with self._site.cluster.connect("prosody") as connection:
            while not self._end.wait(LOOK_S):
                for (slot,) in connection.execute(_ROWS, (self._host,)).fetchall():
                    if not file_of(self._site, self._host, slot).is_file():
                        self.early.add(slot)
                    self.seen.add(slot)


def file_of(site: Site, host: str, slot: str) -> Path:
    """Where Prosody keeps the file of a slot."""
    return site.prosody.data / host.replace(".", "%2e") / "http_file_share" / f"{slot.replace('-', '%2d')}.bin"
