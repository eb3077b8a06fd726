"""Statements that the server keeps planned."""

from __future__ import annotations

from typing import Any

import psycopg

from poolpair.store.postgres.scratch import Runs


class Plans:
    """What is run again and again is planned once per connection: to plan it costs more than to run it."""

    def __init__(self, database: Runs) -> None:
        self._db = database
        self._kept: dict[str, tuple[str, str]] = {}

    def execute(self, name: str, text: str, types: str = "") -> str:
        """What runs a statement, without its parameters. It may stand between others in one round trip."""
        if self._kept.get(name) != (types, text):
            known = f"DEALLOCATE {name}; " if name in self._kept else ""
            self._kept.pop(name, None)
            self._db.run(f"{known}PREPARE {name}{types} AS {text}")
            self._kept[name] = (types, text)
        return f"EXECUTE {name}"

    def renew(self, connection: psycopg.Connection[Any]) -> None:
        """Let a fresh connection keep them too: what was about to be run is run there."""
        for name, (types, text) in list(self._kept.items()):
            try:
                connection.execute(f"PREPARE {name}{types} AS {text}")
            except psycopg.DatabaseError:  # of tables that are not there
                del self._kept[name]
