"""The simulator's database in memory: fast, for volume. A committed state never changes, so a view is a reference."""

from __future__ import annotations

from contextlib import ExitStack

from poolpair.clock import Clock
from poolpair.store.memory.disk import Application, MemoryDisk
from poolpair.store.memory.schema import Row
from poolpair.store.memory.state import State, values_of
from poolpair.store.memory.store import MemoryStore
from poolpair.store.memory.transaction import read_document
from poolpair.store.port import Store
from poolpair.testing.schema import SCHEMA
from poolpair.testing.view import View, Write, sorted_by_line

REFUSE_MODULUS = 7


class MemoryDatabase:
    """Implements `view.Database`."""

    def __init__(self, location: str, disk: MemoryDisk | None = None) -> None:
        self._location = location
        self._disk = disk or MemoryDisk(SCHEMA, location=location)
        self._long = ExitStack()
        self._seen: tuple[State, View] | None = None

    def open(self, clock: Clock) -> Store:
        """A handle."""
        return MemoryStore(self._disk, clock)

    def join(self, store: Store, clock: Clock) -> Store:
        """A handle under the lease of another."""
        assert isinstance(store, MemoryStore)
        joined = MemoryStore(self._disk, clock)
        joined.join_lease(store)
        return joined

    def write(self, writes: tuple[Write, ...], *, fenced: bool = True) -> None:
        """One transaction."""
        with self._disk.transaction() if fenced else self._disk.tampering() as application:
            _write_all(application, writes)

    def begin_long(self, writes: tuple[Write, ...]) -> None:
        """Open a draft and keep it."""
        with ExitStack() as stack:
            _write_all(stack.enter_context(self._disk.transaction()), writes)
            self._long = stack.pop_all()

    def end_long(self, *, commit: bool) -> None:
        """Commit the draft, or forget it by an exception that ends here."""
        long, self._long = self._long, ExitStack()
        if commit:
            long.close()
            return
        with ExitStack() as outer:
            outer.push(lambda kind, _error, _trace: kind is _RolledBack)
            outer.push(long)
            raise _RolledBack

    def view(self) -> View:
        """Flatten the committed state; the same object as long as nothing was committed."""
        state = self._disk.state
        if self._seen is None or self._seen[0] is not state:
            self._seen = (state, _flat(state, self._seen))
        return self._seen[1]

    def save(self) -> object:
        """A reference to the state."""
        return self._disk.copy(self._location)

    def restore(self, saved: object) -> None:
        """Put it back."""
        assert isinstance(saved, MemoryDisk)
        self._disk.restore(saved)

    def clone(self) -> MemoryDatabase:
        """A copy at another place."""
        return MemoryDatabase(f"{self._location}-clone", self._disk.copy(f"{self._location}-clone"))

    def refuse(self, values: frozenset[int]) -> None:
        """Refuse rows by their value."""

        def refuses(_table: str, row: Row) -> str | None:
            return "refused" if isinstance(row[-1], int) and row[-1] % REFUSE_MODULUS in values else None

        self._disk.refuses = refuses

    def lose_lock(self) -> None:
        """Free the lock under its holder."""
        self._disk.lose_lock()

    def close(self) -> None:
        """Roll back what is open."""
        self.end_long(commit=False)


class _RolledBack(Exception):
    pass


def _write_all(application: Application, writes: tuple[Write, ...]) -> None:
    for write in writes:
        application.write(write.table, write.key, write.rows)


def _flat(state: State, before: tuple[State, View] | None) -> View:
    tables = SCHEMA.tables
    same = before is not None and all(one is other for one, other in zip(before[0].groups, state.groups, strict=True))
    groups = {
        (table.name, key): values_of(group)
        for table, groups in zip(tables, state.groups if not same else (), strict=not same)
        for key, group in groups.items()
    }
    return View(
        groups=before[1].groups if before and same else groups,
        by_line=before[1].by_line if before and same else sorted_by_line(groups),
        log={(table.name, key): gen for table, log in zip(tables, state.logs, strict=True) for key, gen in log.items()},
        files=state.files,
        parked={
            (tables[each.table - 1].name, each.key): (each.package_id, each.rows) for each in state.parked.values()
        },
        fence=state.fence,
        spooled=frozenset(
            ((tables[group.table - 1].name, group.key), group.rows)
            for spool in state.spools.values()
            for group in spool
        ),
        kept=frozenset((tables[row.table - 1].name, row.values) for row in state.kept),
        read=lambda cls, name: read_document(state.documents, cls, name),
    )
