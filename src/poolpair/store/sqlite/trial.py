"""Whether this process could write an application's tables: tried on an empty copy of the schema in memory.

Applications bring functions, collations and kinds of virtual tables of their own, and use them in indexes, constraints and triggers.
Whoever lacks them can read such a table and not write it, and would find out at the first package. SQLite compiles all of that into
a statement that writes, so compiling one is enough; the database itself is only read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from poolpair.store.profile import Profile, ProfileTable
from poolpair.store.profile_check import Problem, TableInfo, check_profile
from poolpair.store.sqlite.connection import PREFIX, folded, quote, text
from poolpair.store.sqlite.schema import describe_tables, what_else

COLUMNS_MAX = 1_998
"""SQLite takes 2,000, and tables of ours have up to two more than the application's."""
_OBJECTS = f"""
SELECT type, name, tbl_name, sql FROM main.sqlite_master m WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '{PREFIX}*'
AND NOT EXISTS (SELECT 1 FROM pragma_table_list l WHERE l.schema = 'main' AND l.type = 'shadow' AND l.name = m.tbl_name)
ORDER BY type = 'trigger', type = 'view', type = 'index', rowid
"""


@dataclass(frozen=True, slots=True)
class _Thing:
    """A table, index, view or trigger of the application's."""

    kind: str
    name: str
    table: str
    sql: str


def unwritable(
    connection: sqlite3.Connection, specs: Iterable[ProfileTable], tables: Mapping[str, TableInfo]
) -> tuple[Problem, ...]:
    """Why rows that arrive could not be written here, for each table of a profile that is there; empty if they could."""
    found: dict[Problem, None] = {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.execute("PRAGMA foreign_keys = OFF")
        things = [_Thing(*map(text, row)) for row in connection.execute(_OBJECTS)]
        refused = dict(_build(memory, things))
        for spec in specs:
            info = tables.get(spec.name)
            if info is None:
                continue
            for reason in _reasons(memory, spec.at(info.index_triggers), info, things, refused):
                found[Problem(table=spec.name, reason=reason)] = None
    return tuple(found)


def problems_of(connection: sqlite3.Connection, profile: Profile) -> tuple[Problem, ...]:
    """Everything that speaks against a profile here, and what there is to know."""
    names = {spec.name for spec in profile.tables}
    infos = describe_tables(connection, names)
    found = check_profile(profile, infos, what_else(connection, names - set(infos)))
    return (*_encoding(connection), *found, *unwritable(connection, profile.tables, infos))


def _encoding(connection: sqlite3.Connection) -> Iterator[Problem]:
    """What is attached must keep its text as the database does, and the partner's may do so in another way."""
    encoding = text(connection.execute("PRAGMA main.encoding").fetchone()[0])
    if encoding != "UTF-8":
        reason = (
            f"it keeps its text as {encoding}, and only UTF-8 is carried: make it anew with PRAGMA encoding = 'UTF-8'"
        )
        yield Problem(table="the database", reason=reason)


def _build(memory: sqlite3.Connection, things: Iterable[_Thing]) -> Iterator[tuple[_Thing, str]]:
    """Make what can be made here; gives what cannot, and why."""
    for thing in things:
        try:
            memory.execute(thing.sql)
        except sqlite3.Error as error:
            yield thing, str(error)


def _reasons(
    memory: sqlite3.Connection,
    spec: ProfileTable,
    info: TableInfo,
    things: Iterable[_Thing],
    refused: Mapping[_Thing, str],
) -> Iterator[str]:
    mine = {
        thing: why
        for thing, why in refused.items()
        if folded(thing.table) == folded(spec.name) and thing.kind != "trigger"
    }
    if mine:
        yield from (f"nobody but the application can write it: {why} ({thing.name})" for thing, why in mine.items())
        return
    memory.execute("SAVEPOINT trial")
    try:
        if len(info.columns) > COLUMNS_MAX:
            yield f"it has {len(info.columns)} columns, and more than {COLUMNS_MAX:,} cannot be carried"
        for thing in things:
            if thing.kind == "trigger" and folded(thing.table) == folded(spec.name) and not spec.runs(thing.name):
                memory.execute(f"DROP TRIGGER IF EXISTS {quote(thing.name)}")
        for statement in _writes(info):
            memory.execute(f"EXPLAIN {statement}")
    except sqlite3.Error as error:
        beside = "".join(f"; {thing.name}: {why}" for thing, why in refused.items())
        yield (
            f"what runs when it is written cannot run here: {error}{beside}."
            ' If that is a trigger, name in `triggers` those that may run, or say "skip"'
        )
    finally:
        memory.execute("ROLLBACK TO trial")


def _writes(info: TableInfo) -> Iterator[str]:
    """Statements that compile all that can run when a row is inserted, changed or deleted."""
    columns = [quote(column.name) for column in info.columns if not column.generated]
    yield f"INSERT INTO {quote(info.name)} ({', '.join(columns)}) SELECT {', '.join(['NULL'] * len(columns))}"
    yield f"UPDATE {quote(info.name)} SET {', '.join(f'{name} = NULL' for name in columns)}"
    yield f"DELETE FROM {quote(info.name)}"
