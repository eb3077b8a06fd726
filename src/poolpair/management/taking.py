"""Replication, the server's side: takes what the store sent, keeps it in a file, answers what it has. Lives on without the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from poolpair import __version__
from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.keys import KeyRing
from poolpair.format.layout import REPLICA_NAME, REPORT_NAME, replica_folders
from poolpair.format.small import MAX_SMALL_BYTES, open_small, seal_small
from poolpair.management.local import keep_words, read_local, stamp_of, write_local
from poolpair.management.members import STORE
from poolpair.management.replica import Replica, Report, Update, after
from poolpair.management.words import PoolWord
from poolpair.share.port import OwnShare, split_path

WORD_S = 10.0
"""How often a server says how its pool stands."""


class ReplicaTaker:
    """One server's. `keys` are the secrets shared with the store; `changed` hears of another replica, `word` tells how the pool stands.

    `files` brings watched files up to what a replica says, and tells which are not. `check` raises for a replica by which this server
    could not go on: it stays with the one before, and says why.
    """

    def __init__(
        self,
        server: Report,
        own: OwnShare,
        folder: Path,
        keys: Callable[[], KeyRing],
        changed: Callable[[Replica], None],
        word: Callable[[], PoolWord | None],
        clock: Clock,
        *,
        files: Callable[[Replica | None], tuple[str, ...]] = lambda _: (),
        check: Callable[[Replica], None] = lambda _: None,
    ) -> None:
        self._own, self._folder, self._keys, self._changed = own, folder, keys, changed
        self._report = replace(server, release=__version__)
        self._name = f"{server.pool}/{server.front_end}"
        self._to, self._from = replica_folders(server.front_end)
        self._word, self._clock, self._files, self._check = word, clock, files, check
        self._said_s = 0.0
        self._seen: object = None
        self._replica: Replica | None = None
        self._prepared = False

    def look(self) -> bool:
        """Take what lies there, if it is news; returns whether it was. Raises SHARE_*, SCRATCH."""
        if not self._prepared:
            above = split_path(split_path(self._to)[0])[0]
            self._own.prepare([above, split_path(self._to)[0], self._to, self._from])
            self._prepared = True
        seen = (self._own.changed_hint([self._to]), stamp_of(self._folder))
        if seen == self._seen:
            self._watch()
            return False
        before = read_local(self._folder)
        replica, report = self._taken(self._read(), before)
        if replica is not None and replica != before:
            write_local(self._folder, replica)
            self._changed(replica)
        self._replica = replica
        self._answer(replace(report, files=self._files(replica)))
        self._seen = (seen[0], stamp_of(self._folder))
        return True

    def _read(self) -> bytes | None:
        try:
            return self._own.read_small(f"{self._to}/{REPLICA_NAME}", MAX_SMALL_BYTES)
        except Refused:
            return b""

    def _taken(self, data: bytes | None, before: Replica | None) -> tuple[Replica | None, Report]:
        """What there is now, and what to say of it."""
        replica, echo, fault = before, "", ""
        if data is not None:
            try:
                update = documents.decode(
                    Update, open_small(data, self._keys(), kind="replica", origin=STORE, target=self._name)
                )
                if before is None or update.marks >= before.marks:
                    keep_words(self._folder, update.words, self._clock)
                echo, made = update.nonce, after(before, update)
                if made is not None and made != before:
                    self._check(made)
                replica = made or before
                if before is not None and update.marks < before.marks:
                    fault = f"what was sent is older ({update.term}.{update.serial}) than what is here ({before.term}.{before.serial})"
            except PoolpairError as error:
                if error.code is Code.KEY_FILE:
                    raise
                fault = str(error)
        have = replica.have() if replica else {}
        term, serial = replica.marks if replica else (0, 0)
        return replica, replace(self._report, term=term, serial=serial, have=have, echo=echo, fault=fault)

    def _watch(self) -> None:
        """Say anew how the pool stands, every so often; and at once if a watched file is another one."""
        files = self._files(self._replica)
        if files != self._report.files or self._clock.monotonic_s() - self._said_s >= WORD_S:
            self._answer(replace(self._report, files=files))

    def _answer(self, report: Report) -> None:
        self._report, self._said_s = replace(report, word=self._word()), self._clock.monotonic_s()
        report = self._report
        text = documents.encode(report).encode()
        data = seal_small(text, self._keys(), kind="report", origin=self._name, target=STORE)
        self._own.write_small(f"{self._from}/{REPORT_NAME}", data)
