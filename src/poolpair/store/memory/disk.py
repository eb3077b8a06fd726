"""What survives a crash, and the application that writes to it.

The disk holds one committed state, the constraints of the application's tables, and the advisory lock that the kernel frees when
its holder's process ends. One transaction is open at a time: a second one is refused with STORE_LOCKED, as SQLite refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

from poolpair.errors import Code, PoolpairError
from poolpair.model import new_id
from poolpair.store.memory.schema import Key, MemorySchema, Row
from poolpair.store.memory.state import Draft, State, values_of
from poolpair.store.values import StoreIdentity

IDENTITY = "store/identity"
Refuses = Callable[[str, Row], str | None]
"""The application's constraints: why a row of the named table is refused, or None."""


class RowRefused(Exception):
    """The application wrote a row that its own tables refuse; its transaction was rolled back."""


def _takes_all(_table: str, _row: Row) -> str | None:
    return None


class MemoryDisk:
    """One database. `location` stands for its path."""

    def __init__(self, schema: MemorySchema, *, location: str, store_id: str | None = None) -> None:
        self.schema = schema
        self.location = sha256(location.encode()).hexdigest()
        self.refuses: Refuses = _takes_all
        identity = StoreIdentity(store_id=store_id or new_id(), location=self.location, home_location=self.location)
        self.state = replace(State.empty(schema), documents={IDENTITY: identity})
        self.commits = 0
        """Commits that changed something; never goes back."""
        self._writing = False
        self._locked_by: object | None = None

    @contextmanager
    def change(self) -> Iterator[Draft]:
        """The next state, committed when the context ends without an exception, else forgotten."""
        if self._writing:
            raise PoolpairError(Code.STORE_LOCKED, "the store stayed locked by another transaction")
        self._writing = True
        try:
            draft = Draft(self.state)
            yield draft
            self.state = draft.settled()
            self.commits += 1
        finally:
            self._writing = False

    @contextmanager
    def transaction(self) -> Iterator[Application]:
        """One transaction of the application."""
        with self.change() as draft:
            yield Application(draft, self.schema, self.refuses)

    @contextmanager
    def tampering(self) -> Iterator[Application]:
        """One transaction of somebody who took the fence away for it."""
        with self.change() as draft:
            yield Application(draft, self.schema, self.refuses, fenced=False)

    def write(self, table: str, key: Key, rows: Iterable[Row]) -> None:
        """Let the application replace one group in a transaction of its own."""
        with self.transaction() as application:
            application.write(table, key, rows)

    def rows(self, table: str) -> list[Row]:
        """Every row of a table as the application reads it, in this site's order."""
        groups = self.state.groups[self.schema.named(table).number - 1]
        return [row.values for row in sorted((r for g in groups.values() for r in g), key=lambda row: row.number)]

    def group(self, table: str, key: Key) -> tuple[Row, ...]:
        """The rows of one group."""
        return values_of(self.state.groups[self.schema.named(table).number - 1].get(key, ()))

    def copy(self, location: str) -> MemoryDisk:
        """A copy at another place: a clone of the store, or a backup to `restore` from."""
        copied = MemoryDisk(self.schema, location=location)
        copied.state, copied.refuses = self.state, self.refuses
        return copied

    def restore(self, backup: MemoryDisk) -> None:
        """Set this store back, in place, to what `backup` holds."""
        assert not self._writing, "a store is not restored while somebody writes to it"
        self.state = backup.state
        self.commits += 1

    def lock(self, holder: object) -> bool:
        """Try to get the advisory lock; its holder gets it again."""
        if self._locked_by is None:
            self._locked_by = holder
        return self._locked_by is holder

    def unlock(self, holder: object) -> None:
        """Free the lock if this holder has it."""
        if self._locked_by is holder:
            self._locked_by = None

    def lose_lock(self) -> None:
        """Free the lock under its living holder, as a file system may that does not keep locks."""
        self._locked_by = None

    @property
    def is_locked(self) -> bool:
        """Whether a living process holds the lock."""
        return self._locked_by is not None


class Application:
    """The application's writes within one transaction, captured as triggers capture them."""

    def __init__(self, draft: Draft, schema: MemorySchema, refuses: Refuses, *, fenced: bool = True) -> None:
        self._draft = draft
        self._schema = schema
        self._refuses = refuses
        self._fenced = fenced

    def write(self, table: str, key: Key, rows: Iterable[Row]) -> None:
        """Let a group consist of these rows; none deletes it. Logged if there were or are rows. Raises RowRefused."""
        spec = self._schema.named(table)
        fresh = tuple(rows)
        assert all(spec.key_of(row) == key for row in fresh), "a row is not of the group that it is written to"
        assert not spec.unique or len(fresh) <= 1, "the key is unique: a group is one row"
        for row in fresh:
            if reason := self._refuses(table, row):
                raise RowRefused(reason)
        server = self._draft.fence.now.get(self._schema.home(spec, key) or "")
        if server is not None and self._fenced:
            raise RowRefused(f"these users are served by pool {server} now")
        stood = key in self._draft.groups[spec.number - 1].now
        self._draft.put(spec, key, fresh)
        if (stood or fresh) and spec.is_tracked(key):
            self._draft.log(spec, key)

    def delete(self, table: str, key: Key) -> None:
        """Delete a group."""
        self.write(table, key, ())
