"""Checks a profile against the tables that are there: pure, every problem at once, each with its reason.

A store describes its tables as `TableInfo`. What is fatal makes capture or apply wrong and is refused; the rest is for
`check` to show. Expressions are read word by word, not parsed: the database has the last word on their grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.profile import Profile, ProfileTable

NO_TABLE = "there is no such table"


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
    compares: bool = True
    """Whether its values can be told apart: some types of PostgreSQL have no equality."""
    default: str = ""
    """Its default as the table says it (SQLite)."""
    numbered_always: bool = False
    """The database takes no number from a statement (PostgreSQL: GENERATED ALWAYS AS IDENTITY)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableInfo:
    """A table as the database describes it."""

    name: str
    columns: tuple[ColumnInfo, ...]
    sql: str = ""
    """How a statement names it, where that is more than its name in quotes."""
    unique_keys: tuple[tuple[str, ...], ...] = ()
    without_rowid: bool = False
    autoincrement: bool = False
    has_sequences: bool = True
    """Whether its database knows sequences beside those of columns (SQLite does not)."""
    triggers: tuple[str, ...] = ()
    """The application's own triggers, by name."""
    index_triggers: tuple[str, ...] = ()
    """Those of them that write into nothing but virtual tables, which no profile carries (SQLite)."""
    references: tuple[str, ...] = ()
    """Tables that its foreign keys refer to."""

    def column(self, name: str) -> ColumnInfo | None:
        """A column by its name, spelled as in the table."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason why a profile does not fit; if it is not `fatal`, something to know."""

    table: str
    reason: str
    fatal: bool = True


def does_not_fit(fatal: Iterable[Problem]) -> PoolpairError:
    """What to say of a profile that cannot be used. Where tables are not there and nothing else is wrong, these may be missing."""
    found = tuple(fatal)
    missing = all(problem.reason == NO_TABLE for problem in found)
    hint = "let the application make its tables here first (its migration), or correct the profile" if missing else None
    return PoolpairError(Code.PROFILE, "; ".join(f"{problem.table}: {problem.reason}" for problem in found), hint)


def unique_key_within(info: TableInfo, key: tuple[str, ...]) -> tuple[str, ...] | None:
    """A unique key whose columns are all NOT NULL and in the group key: then every group is one row."""
    for unique in info.unique_keys:
        if set(unique) <= set(key) and all((column := info.column(name)) and column.not_null for name in unique):
            return unique
    return None


def check_profile(
    profile: Profile, tables: Mapping[str, TableInfo], absent: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """Find every problem, table by table in the order of the profile. `absent` says of names what they are instead of tables."""
    found: dict[Problem, None] = {}
    for named in profile.tables:
        info = tables.get(named.name)
        if info is None:
            reason = (absent or {}).get(named.name, NO_TABLE)
            found[Problem(table=named.name, reason=reason)] = None
            continue
        spec = named.at(info.index_triggers)
        for reason in _contradictions(profile, spec):
            found[Problem(table=spec.name, reason=reason)] = None
        for reason in _misfits(spec, info, serials_travel=profile.serials_travel):
            found[Problem(table=spec.name, reason=reason)] = None
        for reason in _remarks(profile, spec, info):
            found[Problem(table=spec.name, reason=reason, fatal=False)] = None
    return tuple(found)


def _contradictions(profile: Profile, spec: ProfileTable) -> Iterator[str]:
    """What is wrong whatever the table looks like."""
    twins = [other for other in profile.tables if other.name == spec.name]
    if len(twins) > 1 and any(other.where is None for other in twins):
        yield "it is named more than once, so every entry needs a where, and no row may be accepted by two"
    if spec.shared and spec.home_key:
        yield 'home = "shared" and home_key exclude each other'
    if not spec.shared and not spec.home_key:
        yield 'home_key is missing: say whose a row is, or home = "shared" if it is nobody\'s'
    if spec.conference and spec.channel is not Channel.CONFERENCES:
        yield 'conference belongs to tables with channel = "conferences"'
    for name in spec.key:
        if name in spec.leave_out:
            yield f'column "{name}" is in the key and cannot be left out'


def _misfits(spec: ProfileTable, info: TableInfo, *, serials_travel: bool) -> Iterator[str]:
    """What does not fit this table."""
    for label, names in (("key", spec.key), ("leave_out", spec.leave_out), ("order_by", spec.order_by)):
        for name in names:
            if info.column(name) is None:
                spelled = next((column.name for column in info.columns if column.name.lower() == name.lower()), None)
                hint = f', which is spelled "{spelled}" there' if spelled else ""
                yield f'{label} names column "{name}", which the table has not{hint}'
    for column in info.columns:
        left_out = column.name in spec.leave_out
        hides = {"rowid", "_rowid_"} if column.name in spec.key else {"rowid"}  # as the log of keys names its rows
        if column.name.lower().startswith("poolpair_") or (column.name.lower() in hides and not column.serial):
            yield f'column "{column.name}" has a name that poolpair needs for itself: rename it'
        if not column.compares and column.name in spec.key:
            yield f'key column "{column.name}" is {column.declared_type}, whose values cannot be compared: leave it out of key'
        if column.generated and column.name in spec.key:
            yield f'key column "{column.name}" is generated and cannot travel; name the columns that it is made of'
        if left_out and column.not_null and not (column.serial or column.has_default or column.generated):
            yield f'left out column "{column.name}" is NOT NULL and has no default: rows could not be inserted'
    yield from _ambiguous_numbers(spec, info, serials_travel=serials_travel)
    for label, expression in _expressions(spec):
        for reason in _expression_problems(expression, spec, info):
            yield f"{label}: {reason}"


def _ambiguous_numbers(spec: ProfileTable, info: TableInfo, *, serials_travel: bool) -> Iterator[str]:
    """Numbers that both sites would give."""
    if spec.sequences and not info.has_sequences:
        yield "sequences: this database has none"
    elif spec.sequences and not serials_travel:
        yield "sequences: both sites would give the same numbers; they travel only where one pool homes nobody"
    for column in info.columns:
        left_out = column.name in spec.leave_out
        if column.serial and serials_travel and not left_out:
            if column.numbered_always:
                yield f'column "{column.name}" is GENERATED ALWAYS AS IDENTITY: make it BY DEFAULT, or name it in leave_out'
        elif column.serial and column.name in spec.key:
            yield (
                f'key column "{column.name}" is a serial: both sites would give one number to different rows;'
                " choose columns that mean the same at both"
            )
        elif column.serial and not left_out:
            yield (
                f'column "{column.name}" is a serial: both sites would give one number to different rows;'
                " name it in leave_out"
            )


def _remarks(profile: Profile, spec: ProfileTable, info: TableInfo) -> Iterator[str]:
    """What an operator should know."""
    if info.triggers:
        for does, names in (
            ("run", [name for name in info.triggers if spec.runs(name)]),
            ("do not run", [name for name in info.triggers if not spec.runs(name)]),
        ):
            if names:
                yield f"its triggers {does} on rows that arrive (triggers = {spec.said_triggers}): {', '.join(names)}"
    for name in spec.fire:
        if name not in info.triggers:
            yield f'triggers names "{name}", which is no trigger of it'
    carried = {table.name for table in profile.tables}
    for other in info.references:
        if other not in carried:
            yield f'it refers to table "{other}", which the profile does not carry'
    if spec.channel is Channel.CONFERENCES and not spec.conference:
        yield "no conference is named: its rows do not wait for a file that is held back"


def _expressions(spec: ProfileTable) -> Iterator[tuple[str, str]]:
    for label in ("where", "home_key", "principal", "conference"):
        expression = getattr(spec, label)
        if expression:
            yield label, expression


_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<text>[xX]?'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<named>`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<comment>--|/\*)
    | (?P<number>(?:0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_]))
    | (?P<parameter>[?@:\#$])
    | (?P<word>[^\W\d][\w$]*)
    | (?P<sign>[-+*/%<>=!|&~(),.;])
    """,
    re.VERBOSE,
)
_KEYWORDS = frozenset(
    {
        "and",
        "as",
        "between",
        "case",
        "cast",
        "collate",
        "distinct",
        "else",
        "end",
        "escape",
        "false",
        "from",
        "glob",
        "in",
    }
    | {"is", "isnull", "like", "match", "not", "notnull", "null", "or", "regexp", "then", "true", "when"}
)
_SELF_WILLED = frozenset(
    {"current_date", "current_time", "current_timestamp", "random", "randomblob"}
    | {"changes", "total_changes", "last_insert_rowid"}
)


def _expression_problems(expression: str, spec: ProfileTable, info: TableInfo) -> Iterator[str]:
    columns = {column.name.lower(): column.name for column in info.columns}
    keys = {name.lower() for name in spec.key}
    depth, at, before = 0, 0, ""
    while at < len(expression):
        token = _TOKEN.match(expression, at)
        if token is None:
            yield f"cannot be read from {expression[at : at + 20]!r} on"
            return
        at, kind, raw = token.end(), token.lastgroup, token[0]
        if kind in {"comment", "parameter"} or raw == ";":
            yield f"{raw!r} has no place in it"
            return
        depth += {"(": 1, ")": -1}.get(raw, 0)
        if depth < 0:
            break
        called = kind == "word" and expression[at:].lstrip().startswith("(")
        if kind in {"word", "quoted", "named"} and before not in {"as", "collate"}:
            yield from _name_problems(raw, kind, columns, keys, called=called)
        if kind != "space":
            before = raw.lower()
    if depth:
        yield "its parentheses do not match"


def _name_problems(raw: str, kind: str, columns: Mapping[str, str], keys: set[str], *, called: bool) -> Iterator[str]:
    name = raw if kind == "word" else raw[1:-1].replace(raw[-1] * 2, raw[-1])
    low = name.lower()
    if kind == "word" and low == "select":
        yield "it may look at its own row only, so SELECT has no place in it"
    elif kind == "word" and low in _SELF_WILLED and (called or low not in columns):
        yield f"{name} does not give the same value at both sites"
    elif kind == "word" and (low in _KEYWORDS or called):
        return
    elif low in columns and low not in keys:
        yield (
            f'it uses column "{columns[low]}", which is not in the key: add it to key,'
            " for a deleted row leaves nothing behind but its key"
        )
    elif low not in columns and kind == "quoted":
        yield f"\"{name}\" is no column, and SQLite would silently take it for a text: write '{name}' if you mean that"
    elif low not in columns:
        yield f"{name} is no column of this table"
