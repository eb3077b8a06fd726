"""The tables as they are defined now: bound anew when that changed, and capture found whole in it.

A migration of the application's may commit at any moment. What is cut by a binding is cut in a view that looks again, and what is applied
by one looks again once it holds the lock.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from poolpair.errors import Code, PoolpairError
from poolpair.store.prepared import SETTINGS, InstalledSettings
from poolpair.store.profile import Profile
from poolpair.store.sqlite.binding import Bound, bind
from poolpair.store.sqlite.connection import PREFIX
from poolpair.store.sqlite.documents import read_document
from poolpair.store.sqlite.fencing import wanted_triggers
from poolpair.store.sqlite.install import follow_tables
from poolpair.store.sqlite.marking import capture_mark
from poolpair.store.sqlite.schema import describe_all, installed_triggers
from poolpair.store.sqlite.snapshot import definition_of
from poolpair.store.whole import refuse_newcomers

BINDINGS = 3
"""At most so often in a row: letting our own tables follow changes the schema once more."""


class Definitions:
    """What one connection knows of the tables."""

    def __init__(self, connection: sqlite3.Connection, path: Path, profile: Profile) -> None:
        self._c = connection
        self._path = path
        self._profile = profile
        self._bound_as = definition_of(connection)
        self.bound: tuple[Bound, ...] = bind(connection, profile)
        self._checked = self._mark = ""
        """The definition in which every trigger was found whole, and what was said of it."""
        self.looked: dict[int, int] = {}
        """Per entry of the profile, the last row of its log that was looked at."""

    def bind_anew(self) -> None:
        """Bind to the tables as they are now, and let ours follow them, if it is for this profile that they were made."""
        for _ in range(BINDINGS):
            definition = definition_of(self._c)  # first of all: what changes from here on is not what was bound
            self.bound, self._bound_as = bind(self._c, self._profile), definition
            known = known_settings(self._c)
            if known is not None and known.profile == self._profile.digest:
                follow_tables(self._c, self.bound)
            if definition_of(self._c) == definition:
                return

    def check(self) -> str:
        """Bind anew after a change, and see that every trigger is what it should be; gives the mark. Raises CAPTURE_BROKEN, PROFILE."""
        definition = definition_of(self._c)  # first of all: what changes from here on is looked at next time
        if definition == self._checked:
            return self._mark
        mark = ""
        if known_settings(self._c) is not None:
            mark = capture_mark(self._c, {spec.name for spec in self._profile.tables})
        self.bind_anew()
        refuse_newcomers(self._profile, lambda: describe_all(self._c))
        self.looked.clear()  # VACUUM may number rows anew
        have, wanted = installed_triggers(self._c), wanted_triggers(self._c, self.bound)
        if missing := sorted(name for name, sql in wanted.items() if have.get(name) != sql):
            raise PoolpairError(Code.CAPTURE_BROKEN, f"capture triggers are missing or altered: {', '.join(missing)}")
        self._checked, self._mark = definition, mark
        return mark

    def refuse_changed(self, definition: str) -> None:
        """What is cut or applied by a binding is of the tables that were bound. Raises STORE_LOCKED; the next pass binds anew."""
        if definition != self._bound_as:
            raise PoolpairError(Code.STORE_LOCKED, f"{self._path}: tables are being changed")


def known_settings(connection: sqlite3.Connection) -> InstalledSettings | None:
    """With what the database was prepared; None if it is new to poolpair."""
    table = connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = ?", (f"{PREFIX}document",)).fetchone()
    return read_document(connection, InstalledSettings, SETTINGS) if table else None
