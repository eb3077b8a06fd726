"""Describes the application's tables from SQLite's own catalogue. Needs SQLite 3.37 (pragma_table_list)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.store.drafting import Described
from poolpair.store.profile_check import ColumnInfo, TableInfo
from poolpair.store.sqlite.connection import OWN_TRIGGERS, PREFIX, folded, literal, quote, text
from poolpair.store.sqlite.index_terms import Term, UniqueKey, unique_key
from poolpair.store.sqlite.virtual import index_triggers, virtual_tables

_NO_TABLES = {
    "view": "it is a view: name the tables that it shows",
    "virtual": "it is a virtual table, which has no triggers, so nobody could tell what changed in it",
    "shadow": "a virtual table keeps it, and writes it past all triggers",
    "table": "there is no such table",
}


def describe_tables(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, TableInfo]:
    """Describe the named tables that exist; views and virtual tables are not tables here."""
    found: dict[str, TableInfo] = {}
    indexing = index_triggers(connection)
    for name in sorted(names):
        query = "SELECT type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?"
        listed = connection.execute(query, (name,)).fetchone()
        if listed is not None and text(listed[0]) == "table":
            info = _describe(connection, name, without_rowid=bool(listed[1]), strict=bool(listed[2]))
            found[name] = replace(info, index_triggers=indexing.get(folded(name), ()))
    return found


def what_else(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, str]:
    """What names that are no tables are instead."""
    listed = connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'").fetchall()
    kinds = {text(name): text(kind) for name, kind in listed}
    spelled = {folded(name): name for name in kinds}
    found: dict[str, str] = {}
    for name in names:
        if name in kinds:
            found[name] = _NO_TABLES[kinds[name]]
        elif folded(name) in spelled:
            found[name] = f'it is spelled "{spelled[folded(name)]}" there'
    return found


def describe_all(connection: sqlite3.Connection) -> Described:
    """Describe every table of the application's. What virtual tables keep below is theirs."""
    query = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB ?"
    listed = {text(name): text(kind) for name, kind in connection.execute(query, (f"{PREFIX}*",))}
    tables = describe_tables(connection, (name for name, kind in listed.items() if kind == "table"))
    return Described(tables=tuple(tables.values()), left=tuple(each.problem for each in virtual_tables(connection)))


def _describe(connection: sqlite3.Connection, name: str, *, without_rowid: bool, strict: bool) -> TableInfo:
    rows = connection.execute(
        'SELECT name, type, "notnull", pk, hidden, dflt_value FROM pragma_table_xinfo(?)', (name,)
    ).fetchall()
    sql = text(
        connection.execute("SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()[
            0
        ]
    )
    collations = _own_collations(connection, name, sql, [text(r[0]) for r in rows])
    primary = tuple(text(r[0]) for r in sorted((r for r in rows if r[3]), key=lambda r: int(r[3])))
    integer = len(primary) == 1 and not without_rowid and any(r[3] and text(r[1]).upper() == "INTEGER" for r in rows)
    # INTEGER PRIMARY KEY DESC is no row number: it has an index as any other column has.
    indexed = connection.execute("SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'", (name,)).fetchone()
    alias = integer and indexed is None
    columns = tuple(
        ColumnInfo(
            name=text(r[0]),
            # ANY keeps every value as it is, but only in a STRICT table: in ours it would turn the text '1' into a number.
            declared_type="" if strict and text(r[1]).upper() == "ANY" else text(r[1]),
            not_null=bool(r[2]) or (bool(r[3]) and (without_rowid or alias)),
            pk_rank=int(r[3]),
            generated=bool(r[4]),
            collation=collations.get(text(r[0]), "BINARY"),
            serial=alias and bool(r[3]),
            has_default=r[5] is not None,
            default=text(r[5]) if r[5] is not None else "",
        )
        for r in rows
    )
    unique = _unique_columns(connection, name, collations)
    if alias:
        unique.insert(0, primary)
    return TableInfo(
        name=name,
        columns=columns,
        unique_keys=tuple(dict.fromkeys(unique)),
        without_rowid=without_rowid,
        autoincrement="AUTOINCREMENT" in sql.upper(),
        has_sequences=False,
        triggers=_names(connection, f"SELECT name FROM main.sqlite_master WHERE {OWN_TRIGGERS}", name),
        references=_names(connection, 'SELECT DISTINCT "table" FROM pragma_foreign_key_list(?)', name),
    )


def _names(connection: sqlite3.Connection, query: str, table: str) -> tuple[str, ...]:
    return tuple(sorted(text(name) for (name,) in connection.execute(query, (table,))))


def _unique_columns(connection: sqlite3.Connection, name: str, collations: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Columns of every full unique index over plain columns in which no two rows are equal as the columns themselves compare."""
    found = []
    listed = connection.execute(
        'SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0', (name,)
    ).fetchall()
    for (index,) in listed:
        columns = connection.execute(
            "SELECT cid, name, coll FROM pragma_index_xinfo(?) WHERE key = 1", (text(index),)
        ).fetchall()
        if all(
            int(cid) >= 0 and collations.get(text(column), "BINARY") in {"BINARY", text(collation).upper()}
            for cid, column, collation in columns
        ):
            found.append(tuple(text(column) for _, column, _ in columns))
    return found


def _own_collations(connection: sqlite3.Connection, name: str, sql: str, columns: Iterable[str]) -> dict[str, str]:
    """How each column compares where nothing else is said; BINARY if it is not named. An index of it may say otherwise.

    SQLite tells it nowhere, but takes two texts for one in a union that begins with the column. What the application brought along is not
    known here: nobody could write such a table (`trial`).
    """
    if "COLLATE" not in sql.upper():
        return {}
    found = {}
    for column in columns:
        empty = f"SELECT {quote(column)} FROM main.{quote(name)} WHERE 0"
        for collation, alike in (("NOCASE", "A"), ("RTRIM", "a ")):
            query = f"SELECT count(*) FROM ({empty} UNION SELECT 'a' UNION SELECT {literal(alike)})"
            if _is_one(connection, query):
                found[column] = collation
    return found


def _is_one(connection: sqlite3.Connection, query: str) -> bool:
    try:
        return bool(connection.execute(query).fetchone()[0] == 1)
    except sqlite3.OperationalError as error:
        if "no such collation" not in str(error):
            raise
        return False


def replace_keys(connection: sqlite3.Connection, info: TableInfo) -> tuple[UniqueKey, ...]:
    """What REPLACE may find rows in its way by: partial indexes and those over expressions too, unlike `unique_keys`."""
    found: list[UniqueKey] = []
    if any(column.serial for column in info.columns):
        found.append(UniqueKey(tuple(Term(column.name, "", "BINARY") for column in info.columns if column.serial)))
    elif not info.without_rowid:  # a statement may name the hidden row number; else NEW has none that is in use
        found.append(UniqueKey((Term("rowid", "", "BINARY"),)))
    query = 'SELECT name, partial FROM pragma_index_list(?) WHERE "unique" = 1'
    for index, partial in connection.execute(query, (info.name,)).fetchall():
        found.append(unique_key(connection, text(index), partial=bool(partial)))
        _refuse_stored(connection, info, text(index), found[-1])
    return tuple(dict.fromkeys(found))


def _refuse_stored(connection: sqlite3.Connection, info: TableInfo, index: str, unique: UniqueKey) -> None:
    """Before an UPDATE a stored generated column whose sources stay is NULL: where more decides, rows in the way would be missed."""
    if len(unique.terms) == 1 and not unique.condition:
        return
    listed = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 3", (info.name,))
    stored = [text(name) for (name,) in listed]
    said = folded(" ".join((unique.condition, *(term.column or term.expression for term in unique.terms))))
    if named := [name for name in stored if folded(name) in said]:
        detail = (
            f"{info.name}: unique index {index} is over the stored generated column {named[0]}, so UPDATE OR REPLACE could"
            " delete rows unseen: make the column VIRTUAL"
        )
        raise PoolpairError(Code.PROFILE, detail)


def installed_triggers(connection: sqlite3.Connection) -> dict[str, str]:
    """Our capture triggers by name, in the order of the catalogue."""
    query = (
        f"SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND name GLOB '{PREFIX}[0-9]*' ORDER BY rowid"
    )
    return {text(name): text(sql) for name, sql in connection.execute(query)}
