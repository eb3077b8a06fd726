"""Virtual tables, which have no triggers and so cannot be carried: whether what they hold is kept elsewhere too.

Most are search indexes that triggers of carried tables fill. Those triggers run at each site, and nothing is missed. What an
application writes into a virtual table by itself would be.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from poolpair.store.profile_check import Problem
from poolpair.store.sqlite.connection import PREFIX, folded, text

_NAME = r"""(?: "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | '(?:[^']|'')*' | [^\W\d][\w$]* )"""
_WRITES = re.compile(
    rf"""
      '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?(?:\*/|$)
    | \b(?: (?:INSERT|REPLACE)(?:\s+OR\s+\w+)?\s+INTO | DELETE\s+FROM | UPDATE(?:\s+OR\s+\w+)? )\s+
      (?!SET\b)(?P<table>{_NAME})
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_KIND = re.compile(rf"CREATE\s+VIRTUAL\s+TABLE\s.*?\bUSING\s+(?P<kind>{_NAME})", re.VERBOSE | re.IGNORECASE | re.DOTALL)
_CONTENT = re.compile(rf"[(,]\s*content\s*=\s*(?P<table>{_NAME})", re.VERBOSE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Virtual:
    """A virtual table: of which module, what it indexes (None: it keeps all itself; "": it keeps no content), and who fills it."""

    name: str
    kind: str
    content: str | None
    filled_by: tuple[str, ...]
    """Triggers that run where rows arrive, too."""
    resting: tuple[str, ...] = ()
    """Triggers that write into it and do not: they write tables as well, or are a view's."""

    @property
    def problem(self) -> Problem:
        """Why it is not carried; fatal if what is in it would be missed."""
        what = f"it is a virtual table ({self.kind}), which has no triggers"
        if self.resting:
            what += (
                f"; {', '.join(self.resting)}, which writes tables too or is of a view, does not run where rows arrive"
            )
        elif self.filled_by:
            return Problem(
                table=self.name, reason=f"{what}; {', '.join(self.filled_by)} fill it at each site", fatal=False
            )
        if self.content:
            rebuilt = f"INSERT INTO {self.name} ({self.name}) VALUES ('rebuild')"
            return Problem(
                table=self.name,
                reason=f"{what}; what it indexes is in {self.content}: after a takeover, {rebuilt}",
                fatal=False,
            )
        if self.resting:
            return Problem(table=self.name, reason=f"{what}: it would lack what comes from the partner")
        return Problem(
            table=self.name, reason=f"{what}, and no trigger fills it: what the application puts there cannot be seen"
        )


def written_by(sql: str) -> set[str]:
    """The tables that a trigger's own statements write into, as SQLite compares names."""
    body = re.split(r"\bBEGIN\b", sql, maxsplit=1, flags=re.IGNORECASE)[-1]
    return {folded(_plain(found["table"])) for found in _WRITES.finditer(body) if found["table"]}


def index_triggers(connection: sqlite3.Connection) -> Mapping[str, tuple[str, ...]]:
    """Per table of the application's (folded), those of its triggers that write into nothing but virtual tables."""
    virtual = {folded(name) for name in _virtual_names(connection)}
    views = {
        folded(text(name)) for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'view'")
    }
    found: dict[str, tuple[str, ...]] = {}
    for name, table, sql in _triggers(connection):
        written = written_by(sql)
        if written and written <= virtual and folded(table) not in views:
            found[folded(table)] = (*found.get(folded(table), ()), name)
    return found


def virtual_tables(connection: sqlite3.Connection) -> tuple[Virtual, ...]:
    """Every virtual table, in the order of names."""
    triggers = list(_triggers(connection))
    run = {trigger for names in index_triggers(connection).values() for trigger in names}
    found = []
    for name in sorted(_virtual_names(connection)):
        query = "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?"
        sql = text(connection.execute(query, (name,)).fetchone()[0])
        kind, content = _KIND.match(sql), _CONTENT.search(sql)
        writers = sorted(trigger for trigger, _, body in triggers if folded(name) in written_by(body))
        found.append(
            Virtual(
                name,
                _plain(kind["kind"]) if kind else "?",
                _plain(content["table"]) if content else None,
                filled_by=tuple(trigger for trigger in writers if trigger in run),
                resting=tuple(trigger for trigger in writers if trigger not in run),
            )
        )
    return tuple(found)


def _virtual_names(connection: sqlite3.Connection) -> Iterable[str]:
    query = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND rootpage = 0"
    return [text(name) for (name,) in connection.execute(query)]


def _triggers(connection: sqlite3.Connection) -> Iterable[tuple[str, str, str]]:
    query = f"SELECT name, tbl_name, sql FROM main.sqlite_master WHERE type = 'trigger' AND name NOT GLOB '{PREFIX}*' ORDER BY name"
    return [(text(name), text(table), text(sql)) for name, table, sql in connection.execute(query)]


def _plain(name: str) -> str:
    """A name without its quotes."""
    if name[0] in "\"`'":
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[0] == "[" else name
