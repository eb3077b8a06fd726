"""The part of a write transaction that moves homes from pool to pool: the fence, the spools of rows and of files, and the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from poolpair.model import Channel
from poolpair.store.values import CatalogueFile, Choice, LedgerEntry, LedgerNote


class FileSpool(Protocol):
    """What the catalogue knew of files when another reign was adopted, by the numbers of their recoveries. Their bytes lie in the tree.

    A file in it is foreign from then on: whoever replaces or deletes it sets it aside.
    """

    def keep(self, first: int, home: str, since: int | None, room_bytes: int) -> tuple[int, ...]:
        """Put the files of a home in as they are now: those logged after a token, deletions too, or (None) all that are there.

        They are cut into numbers from `first` on, each of about `room_bytes` at most. Returns how many each number has.
        """
        ...

    def add(self, number: int, files: Iterable[CatalogueFile]) -> None:
        """Put these in, under one number."""
        ...

    def files(self, number: int) -> tuple[CatalogueFile, ...]:
        """What lies under a number, in order of paths."""
        ...

    def forget(self, number: int) -> None:
        """Let go of what lies under a number."""
        ...

    def was_changed(self, path: bytes, since: int) -> bool:
        """Whether the catalogue has a change of this path, or a deletion, logged after a token."""
        ...


class HomeMoves(Protocol):
    """What a `store.port.Transaction` does when a home is served elsewhere from now on, or here again."""

    def fence(self, refused: Mapping[str, str]) -> None:
        """From this commit on, writes of these homes are refused by the database itself, naming the pool that serves each.

        Needs a transaction begun with `fencing`.
        """
        ...

    def spool(self, number: int, channel: Channel, home: str, since: int | None) -> int:
        """Keep the groups of a home as they are now: those logged after a token, or (None) all. Returns how many."""
        ...

    def spool_ledger(self, number: int, home: str) -> int:
        """Keep every entry that the ledger has of a home, on the channel of users. Returns how many."""
        ...

    def forget_spool(self, number: int, channel: Channel) -> None:
        """Let go of what `spool` kept."""
        ...

    def reclaim_spool(self, number: int, channel: Channel, note: LedgerNote) -> int:
        """The home is served here again: log every spooled group, and forget it; those that differ from what is here go to the ledger."""
        ...

    def reclaim_parked(self, channel: Channel, home: str, note: LedgerNote) -> int:
        """The home is served here now: its parked groups are the partner's word no longer, and go to the ledger."""
        ...

    def forget_log(self, channel: Channel, home: str) -> int:
        """The home is served elsewhere: nothing of it is to be sent. Files that were not sent yet are foreign from now on.

        A foreign file is never overwritten, but set aside; returns how many there are.
        """
        ...

    def claim_files(self, home: str) -> None:
        """The home is served here from now on: files of it that somebody had changed here are its files, and are sent."""
        ...

    def raise_sequences(self, told: Mapping[str, int], gap: int) -> None:
        """A home is served here now: sequences go on above the numbers that the partner had given, and `gap` steps further."""
        ...

    @property
    def file_spool(self) -> FileSpool:
        """The spool of files."""
        ...

    def enter(self, entry: LedgerEntry) -> None:
        """Put an entry into the ledger, unless it is there; captured. The fence does not refuse it."""
        ...

    def decide(self, entry: LedgerEntry) -> None:
        """Let an entry of the ledger be this one, which is decided; captured."""
        ...

    def resolve(self, entry: LedgerEntry, choice: Choice, now_utc: str, *, force: bool = False) -> LedgerEntry:
        """Decide on an entry of a table; with `theirs` its rows replace what is here, and `ours` says what that was. Captured.

        Raises LEDGER_MOVED if the group is no longer what the entry says of it, unless `force`d.
        """
        ...
