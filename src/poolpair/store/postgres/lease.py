"""The lease: one service works for a pool at a time, whatever machine it runs on.

One row holds a fencing number that only grows; every transaction of a service checks it while it holds the turn. Beside the row a
lock of the server's, held by the service's own connection, tells a dead holder from a living one: the server frees it as soon as
that connection ends. A service that lost its connection takes the lock again with the next one, unless another took over.

A holder that stands still keeps its connections, and with them perhaps the turn. It is told by the server's clock: every connection of
a holder is called by its number, and one says each second that it lives. Where none was heard of for `LAPSES_S` whoever wants the lease
ends them all and takes it; the old holder, when it wakes, finds its connections dead and its number overtaken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres.database import SCHEMA, Database
from poolpair.store.values import LeaseHolder

TURN = f"LOCK TABLE {SCHEMA}.turn IN EXCLUSIVE MODE"
"""Whoever writes for the pool waits here for its turn. Takes no transaction id, so a look leaves no trace."""
LEASE = f"SELECT number, holder FROM {SCHEMA}.lease"
"""Asked for with each turn."""
_LOCK = (0x706F6F6C, 0x70616972)
LAPSES_S = 5
_HOLDER = f"""
pg_locks WHERE locktype = 'advisory' AND classid = {_LOCK[0]} AND objid = {_LOCK[1]} AND objsubid = 2
  AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_LIVES = f"""
state_change IS NULL OR state_change > clock_timestamp() - interval '{LAPSES_S} s'
  OR (state = 'active' AND wait_event_type IS DISTINCT FROM 'Client')
"""
"""Whether a connection shows life: what another role does, or a server that keeps no such record, counts as living."""
_STANDS_BY = "poolpair waits: "
_HELD = f"""
SELECT EXISTS (SELECT 1 FROM {_HOLDER}
  AND EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datname = current_database()
    AND (a.pid = pg_locks.pid OR a.application_name = $1) AND ({_LIVES}))),
  ARRAY(SELECT DISTINCT substr(application_name, {len(_STANDS_BY) + 1}) FROM pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, '{_STANDS_BY}') AND ({_LIVES}) ORDER BY 1),
  $2 = '' OR set_config('application_name', '{_STANDS_BY}' || $2, false) <> ''
"""
_END = f"""
SELECT count(pg_terminate_backend(pid, {LAPSES_S * 1000})) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = current_user
  AND (pid IN (SELECT pid FROM {_HOLDER}) OR (datname = current_database() AND application_name = $1))
"""


class PostgresLease:
    """Takes, checks and gives back the lease of one store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock
        self._locked = False
        self._leads = False
        """Whether this connection is the one that the service holds the lock by."""
        self.number: int | None = None

    def take(self, holder: str, front_end: str) -> LeaseHolder:
        """Become the holder. Raises LEASE with the living holder's name."""
        if not self._lock() and not self._take_from_the_dead():
            raise PoolpairError(Code.LEASE, f"a service already works for this pool: {self._who()}")
        with self._db.transaction():
            self._db.run(TURN)
            number = self._db.number(
                f"INSERT INTO {SCHEMA}.lease VALUES (1, 1, $1, $2, $3) ON CONFLICT (id) DO UPDATE SET number = lease.number + 1,"
                " holder = excluded.holder, front_end = excluded.front_end, since_utc = excluded.since_utc RETURNING number",
                holder,
                front_end,
                self._clock.utc_iso(),
            )
        self.number, self._leads = number, True
        self.sign()
        found = self.read()
        assert found is not None
        return found

    def _take_from_the_dead(self) -> bool:
        """Whether the holder stands still, so that its connections could be ended; what it had begun is undone with them."""
        found = self._db.row(f"SELECT number FROM {SCHEMA}.lease")
        called = _called(found[0] if found else None)
        held = self._db.row(_HELD, called, "")
        if held and held[0]:  # also by a command that keeps the pool free of services, and has no number
            return False
        self._db.run(_END, called)
        return self._lock()

    def sign(self) -> None:
        """Say by which number this connection works; said again, that the process lives."""
        self._db.run("SELECT set_config('application_name', $1, false)", _called(self.number))

    @contextmanager
    def kept_free(self) -> Iterator[None]:
        """No service works for the pool meanwhile, and none can begin. Raises LEASE with the name of one that does."""
        if not self._lock():
            detail = f"a service works for this pool: {self._who()}"
            hint = "stop the service, then give the command again; nothing was changed"
            raise PoolpairError(Code.LEASE, detail, hint=hint)
        try:
            yield
        finally:
            self.let_go()

    def release(self) -> None:
        """Give the lease back; a number is never used again."""
        if self.number is not None:
            self._db.run(f"UPDATE {SCHEMA}.lease SET holder = '' WHERE number = $1", self.number)
            self.number, self._leads = None, False
        self.let_go()

    def let_go(self) -> None:
        """Free the lock, as the server does when a connection ends; the row stays."""
        if self._locked:
            self._locked = False
            self._db.run(f"SELECT pg_advisory_unlock({_LOCK[0]}, {_LOCK[1]})")

    def relock(self) -> None:
        """On a new connection: take the lock again if this is the holder; if another has it, the number tells."""
        self._locked = self._locked and self._try_lock()
        if self.number is not None:
            self.sign()

    def check(self, found: list[tuple[object, ...]]) -> None:
        """Inside a transaction, with what LEASE gave: raise LEASE if another service took over."""
        if self.number is None:
            return
        number, holder = found[0] if found else (None, "somebody")
        if number != self.number:
            raise PoolpairError(Code.LEASE, f"{holder} took over the work for this pool")
        if self._leads:
            self._lock()  # after a lost connection, whose end the server may have seen only now

    def read(self) -> LeaseHolder | None:
        """The last holder, alive or not; None if it gave the lease back."""
        row = self._db.row(f"SELECT number, holder, front_end, since_utc FROM {SCHEMA}.lease WHERE holder <> ''")
        return LeaseHolder(number=row[0], holder=row[1], front_end=row[2], since_utc=row[3]) if row else None

    def living(self, stands_by: str = "") -> LeaseHolder | None:
        """The holder, if its connection stands, and who stands by; this connection does so from now on if it gives a name."""
        known = self.read()
        row = self._db.row(_HELD, _called(known.number if known else None), stands_by)
        if known is None or row is None or not row[0]:
            return None
        return replace(known, standing_by=tuple(name for name in row[1] if name != stands_by))

    def _who(self) -> str:
        there = self._db.row("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.lease")
        holder = self.read() if there and there[0] else None  # a database without our tables: the lock alone is known
        return f"{holder.holder} since {holder.since_utc}" if holder else "another process"

    def _lock(self) -> bool:
        if not self._locked:
            self._locked = self._try_lock()
        return self._locked

    def _try_lock(self) -> bool:
        row = self._db.row(f"SELECT pg_try_advisory_lock({_LOCK[0]}, {_LOCK[1]})")
        return bool(row and row[0])


def _called(number: int | None) -> str:
    """How every connection of a holder is called at the server."""
    return f"poolpair lease {number}" if number is not None else "poolpair"
