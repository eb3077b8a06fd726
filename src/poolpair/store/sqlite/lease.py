"""The lease: one service works for a pool at a time.

One row holds a fencing number that only grows; every transaction of a service checks that it is still its own. A holder that
dies leaves its row behind: beside the row an advisory file lock in the scratch folder, which the kernel frees when its process
ends, tells a dead holder from a living one at once. That suffices on SQLite, whose database belongs to one machine. The lock says
in which file its holder works: one that was put in that file's place, and came with the row, has no holder.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.store.sqlite.connection import text
from poolpair.store.values import LeaseHolder


class SqliteLease:
    """Takes, checks and gives back the lease of one store."""

    def __init__(
        self, connection: sqlite3.Connection, lock_path: Path, clock: Clock, file: tuple[int, int] | None = None
    ) -> None:
        self._c = connection
        self._note = f"{file[0]} {file[1]}".encode() if file is not None else b""
        self._lock_path = lock_path
        self._clock = clock
        self._lock_fd: int | None = None
        self.number: int | None = None

    def take(self, holder: str, front_end: str) -> LeaseHolder:
        """Become the holder. Raises LEASE with the living holder's name."""
        if not self._lock():
            raise PoolpairError(Code.LEASE, f"a service already works for this pool: {self._who()}")
        self._say_where()
        self._c.execute("BEGIN IMMEDIATE")
        row = self._c.execute("SELECT number FROM main.poolpair_lease").fetchone()
        number = int(row[0]) + 1 if row else 1
        found = LeaseHolder(number=number, holder=holder, front_end=front_end, since_utc=self._clock.utc_iso())
        self._c.execute(
            "INSERT OR REPLACE INTO main.poolpair_lease (id, number, holder, front_end, since_utc, boot_id, seen_s)"
            " VALUES (1, ?, ?, ?, ?, ?, ?)",
            (
                found.number,
                found.holder,
                found.front_end,
                found.since_utc,
                self._clock.boot_id(),
                self._clock.monotonic_s(),
            ),
        )
        self._c.execute("COMMIT")
        self.number = number
        return found

    @contextmanager
    def kept_free(self) -> Iterator[None]:
        """No service works for the pool meanwhile, and none can begin. Raises LEASE with the name of one that does."""
        if not self._lock():
            detail = f"a service works for this pool: {self._who()}"
            raise PoolpairError(
                Code.LEASE, detail, hint="stop the service, then give the command again; nothing was changed"
            )
        try:
            yield
        finally:
            self.let_go()

    def _who(self) -> str:
        try:
            row = self.read()
        except sqlite3.OperationalError:  # a database without our tables: the lock alone is known
            row = None
        return f"{row.holder} since {row.since_utc}" if row else "another process"

    def release(self) -> None:
        """Give the lease back; a number is never used again."""
        if self.number is not None:
            self._c.execute("UPDATE main.poolpair_lease SET holder = '' WHERE number = ?", (self.number,))
            self.number = None
        self.let_go()

    def let_go(self) -> None:
        """Free the file lock, as the kernel does when a process ends; the row stays."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def check(self) -> None:
        """Inside a transaction: raise LEASE if another service took over."""
        if self.number is None:
            return
        row = self._c.execute("SELECT number, holder FROM main.poolpair_lease").fetchone()
        if row is None or row[0] != self.number:
            raise PoolpairError(Code.LEASE, f"{text(row[1]) if row else 'somebody'} took over the work for this pool")

    def read(self) -> LeaseHolder | None:
        """The last holder, alive or not; None if it gave the lease back."""
        row = self._c.execute(
            "SELECT number, holder, front_end, since_utc FROM main.poolpair_lease WHERE holder <> ''"
        ).fetchone()
        return (
            LeaseHolder(number=row[0], holder=text(row[1]), front_end=text(row[2]), since_utc=text(row[3]))
            if row
            else None
        )

    def living(self) -> LeaseHolder | None:
        """The holder, if its process is alive."""
        if self.number is not None:
            return self.read()
        if self._lock():
            self.let_go()
            return None
        return self.read() if self._is_here() else None

    def _say_where(self) -> None:
        assert self._lock_fd is not None
        try:
            os.ftruncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, self._note, 0)
        except OSError as error:
            raise PoolpairError(Code.SCRATCH, f"{self._lock_path}: {error.strerror}") from error

    def _is_here(self) -> bool:
        """Whether the living holder works in the file that is open here, as far as it says."""
        try:
            said = self._lock_path.read_bytes()
        except OSError:
            return True
        return said in (b"", self._note)

    def _lock(self) -> bool:
        """Try to get the file lock that a living holder keeps."""
        if self._lock_fd is not None:
            return True
        try:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PoolpairError(Code.SCRATCH, f"{self._lock_path}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._lock_fd = fd
        return True
