"""The part of a store that only looks, so that a pass costs little: at the capture log, and at what a first copy is made of."""

from __future__ import annotations

from typing import Protocol

from poolpair.model import Channel
from poolpair.slice import Slice
from poolpair.store.values import Look


class Looks(Protocol):
    """What a `store.port.Store` is asked in each pass. No writer waits for any of it."""

    def look(self, channel: Channel, served: tuple[str, ...], since: int) -> Look:
        """Whether `drop_foreign` would find something to do, and whether something waits after a token; no writer waits for it."""
        ...

    def shorten(self, channel: Channel) -> None:
        """Leave of the log of a partner that takes nothing what is needed: one entry per changed group."""
        ...

    def slices(self, channel: Channel) -> tuple[Slice, ...]:
        """Parts that make up the tables of a channel, each fit for one package; none where a first copy should compare at once."""
        ...

    def holds(self, channel: Channel, homes: tuple[str, ...]) -> bool:
        """Whether there is any row of these homes; where that is not asked, True."""
        ...

    def refresh(self) -> None:
        """Read documents anew. Once this was called, `read` may give what was so at the last call, or at this handle's last transaction."""
        ...

    def stuck(self) -> str:
        """What somebody's long transaction keeps the database from doing, so that it grows; empty if nothing. Waits for nobody."""
        ...
