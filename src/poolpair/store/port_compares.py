"""The part of a read view by which two copies are compared: digests of everything, or of what changed."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Protocol

from poolpair.model import Channel, TableDigests, TableShape
from poolpair.store.values import Cut


class Compares(Protocol):
    """What a `store.port.Snapshot` knows of its rows as a whole."""

    def digests(
        self,
        channel: Channel,
        homes: tuple[str, ...],
        like: tuple[TableDigests, ...] | None,
        left_behind: AbstractSet[str],
        shapes: tuple[TableShape, ...] = (),
    ) -> tuple[TableDigests, ...]:
        """Digest the homes' groups, parked ones as if applied; bucket counts chosen here, or as in `like`.

        A row is digested in the order of the columns: of `shapes`, where these are the partner's tables, else of ours.
        """
        ...

    def changed_digests(self, cut: Cut) -> tuple[TableDigests, ...]:
        """Digest the groups of a delta of rows alone, in one bucket per home and table; before they are exported."""
        ...

    def definition(self) -> str:
        """A text that changes with any change of the tracked tables, also one that rewrites rows past the triggers."""
        ...
