"""Checks a profile against the tables that are there: pure, every problem at once, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from poolpair.model import Channel
from poolpair.store.profile import Profile, ProfileTable

_WORD = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")*)"|`([^`]*)`|\[([^\]]*)\]|([A-Za-z_][A-Za-z0-9_$]*)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """A column as the database describes it."""

    name: str
    declared_type: str = ""
    not_null: bool = False
    pk_rank: int = 0
    generated: bool = False
    collation: str = "BINARY"
    serial: bool = False
    """Each site numbers it by itself (SQLite: INTEGER PRIMARY KEY)."""
    has_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInfo:
    """A table as the database describes it."""

    name: str
    columns: tuple[ColumnInfo, ...]
    unique_keys: tuple[tuple[str, ...], ...] = ()
    without_rowid: bool = False
    autoincrement: bool = False

    def column(self, name: str) -> ColumnInfo | None:
        """A column by its name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason why a profile does not fit."""

    table: str
    reason: str
    fatal: bool = True


def check_profile(profile: Profile, tables: Mapping[str, TableInfo]) -> tuple[Problem, ...]:
    """Find every problem."""
    return tuple(problem for spec in profile.tables for problem in _check_table(profile, spec, tables.get(spec.name)))


def _check_table(profile: Profile, spec: ProfileTable, info: TableInfo | None) -> Iterator[Problem]:
    def problem(reason: str) -> Problem:
        return Problem(table=spec.name, reason=reason)

    if info is None:
        yield problem("there is no such table")
        return
    for label, names in (("key", spec.key), ("leave_out", spec.leave_out), ("order_by", spec.order_by)):
        for name in names:
            if info.column(name) is None:
                yield problem(f"{label} names column {name!r}, which is not in the table")
    for name in spec.key:
        column = info.column(name)
        if column and column.serial:
            yield problem(
                f"key column {name!r} is a serial: both sites would give the same numbers to different rows; name a key without it"
            )
        if column and column.generated:
            yield problem(f"key column {name!r} is generated")
        if name in spec.leave_out:
            yield problem(f"column {name!r} cannot be both in the key and left out")
    for name in spec.leave_out:
        column = info.column(name)
        if column and column.not_null and not (column.serial or column.has_default):
            yield problem(f"left out column {name!r} is NOT NULL and has no default: rows could not be inserted")
    twins = [other for other in profile.tables if other.name == spec.name]
    if len(twins) > 1 and any(other.where is None for other in twins):
        yield problem("it is named twice, so each entry needs a `where`")
    if spec.conference and spec.channel is not Channel.CONFERENCES:
        yield problem("`conference` belongs to tables of the conferences channel only")
    for label, expression in (
        ("where", spec.where),
        ("home_key", spec.home_key),
        ("principal", spec.principal),
        ("conference", spec.conference),
    ):
        yield from map(problem, _check_expression(label, expression or "", spec, info))


def _check_expression(label: str, expression: str, spec: ProfileTable, info: TableInfo) -> Iterator[str]:
    columns = {column.name.lower(): column.name for column in info.columns}
    keys = {name.lower() for name in spec.key}
    for match in _WORD.finditer(expression):
        quoted = next((group for group in match.groups()[:3] if group is not None), None)
        word = quoted if quoted is not None else match.group(4)
        if word is None:
            continue
        if word.lower() in columns and word.lower() not in keys:
            yield f"{label} uses column {columns[word.lower()]!r}, which is not in the key: add it to the key, so that a deleted row still tells whose it was"
        elif match.group(1) is not None and word.lower() not in columns:
            yield f"{label} uses \"{word}\", which is no column: SQLite would silently take it for a text; write '{word}' if you mean that"


def unique_key_within(info: TableInfo, key: tuple[str, ...]) -> tuple[str, ...] | None:
    """A unique key whose columns are all NOT NULL and in the group key: then every group is one row."""
    for unique in info.unique_keys:
        if set(unique) <= set(key) and all((column := info.column(name)) and column.not_null for name in unique):
            return unique
    return None
