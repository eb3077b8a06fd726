"""Binds a profile's tables to the tables that are there: the pieces of SQL that every later statement is made of.

A bound table knows its key and columns, quoted, and the expressions for home, scope and conference. `IS` compares keys so that
NULL in a key is a value like any other; SQLite uses an index for it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from poolpair.model import BucketSet, TableShape
from poolpair.store.ledger import ledger_info, ledger_table
from poolpair.store.profile import Profile, ProfileTable
from poolpair.store.profile_check import ColumnInfo, Problem, TableInfo, check_profile, does_not_fit, unique_key_within
from poolpair.store.sqlite.connection import PREFIX, chained, literal, quote
from poolpair.store.sqlite.drift import kind_of
from poolpair.store.sqlite.index_terms import UniqueKey
from poolpair.store.sqlite.schema import describe_tables, replace_keys, what_else

ENCODED_MAX = 60
"""Values of a key that are passed to one function, each with its type; SQLite passes 127 arguments at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One profile entry on its table."""

    spec: ProfileTable
    info: TableInfo
    columns: tuple[str, ...]
    """What travels: all columns but generated ones and those left out."""
    conflict: tuple[str, ...] | None
    """Columns of a unique key inside the group key: groups are single rows. None: groups are replaced whole."""
    types: Mapping[str, str]
    """Declaration of each key column (type and collation) for copies of the key."""
    replace_keys: tuple[UniqueKey, ...] = ()
    """In which columns REPLACE finds rows in its way; their groups may be others than the new row's."""

    @property
    def n(self) -> int:
        """The entry's number in the profile."""
        return self.spec.number

    @property
    def table(self) -> str:
        """The application's table, quoted and qualified."""
        return f"main.{quote(self.spec.name)}"

    @property
    def log(self) -> str:
        """The capture log of this entry."""
        return f"main.{PREFIX}log_{self.n}"

    @property
    def key(self) -> str:
        """The key columns, quoted, separated by commas."""
        return ", ".join(map(quote, self.spec.key))

    @property
    def column_list(self) -> str:
        """The travelling columns, quoted, separated by commas."""
        return ", ".join(map(quote, self.columns))

    @property
    def key_types(self) -> str:
        """The key columns with type and collation, for CREATE TABLE."""
        return ", ".join(f"{quote(name)} {self.types[name]}".strip() for name in self.spec.key)

    @property
    def scope(self) -> str:
        """The condition for rows of this entry, over the key columns."""
        return f"({self.spec.where})" if self.spec.where else "(1)"

    def scoped(self, alias: str) -> str:
        """The same condition for a row of `alias` where other tables are in scope too."""
        columns = ", ".join(f"{alias}.{quote(name)} AS {quote(name)}" for name in self.spec.key)
        return f"(SELECT {self.scope} FROM (SELECT {columns}))"

    def home_of(self, alias: str) -> str:
        """The home of a row of `alias` where other tables are in scope too."""
        columns = ", ".join(f"{alias}.{quote(name)} AS {quote(name)}" for name in self.spec.key)
        return f"(SELECT {self.home} FROM (SELECT {columns}))"

    def carried(self, left_behind: str) -> str:
        """The condition for rows whose conference does not wait; `left_behind` is a JSON list."""
        if not self.spec.conference or left_behind == "[]":
            return "1"
        # A row whose conference is NULL belongs to none, so it waits for none.
        return f"coalesce(({self.spec.conference}) NOT IN (SELECT value FROM json_each({literal(left_behind)})), 1)"

    @property
    def home(self) -> str:
        """The home pool of a row, over the key columns; NULL if it has none."""
        if self.spec.home_is_pool:
            return quote(self.spec.key[0])
        if self.spec.shared:
            return f"(SELECT h.poolpair_pool FROM {PREFIX}home h WHERE h.poolpair_pattern = 'shared')"
        return (
            f"(SELECT h.poolpair_pool FROM {PREFIX}home h"
            f" WHERE h.poolpair_pattern <> 'shared' AND ({self.spec.home_key}) GLOB h.poolpair_glob"
            " ORDER BY h.poolpair_rank LIMIT 1)"
        )

    @property
    def order(self) -> str:
        """The origin's order of rows."""
        if self.spec.order_by:
            return ", ".join(f"t.{quote(name)}" for name in self.spec.order_by)
        if self.info.without_rowid:
            return ", ".join(f"t.{quote(name)}" for name in self.spec.key)
        return "t.rowid"

    @property
    def key_is_place(self) -> bool:
        """Whether rows lie in the order of the key: then whoever reads them in that order finds each beside the one before."""
        ranked = sorted((column for column in self.info.columns if column.pk_rank), key=lambda column: column.pk_rank)
        lies_so = self.info.without_rowid or any(column.serial for column in ranked)
        return lies_so and not self.spec.order_by and tuple(column.name for column in ranked) == self.spec.key

    @property
    def same_when_equal(self) -> frozenset[str]:
        """Key columns in which two values that SQLite takes for equal are the same: no byte and no storage class can differ."""
        return frozenset(
            column.name
            for column in self.info.columns
            if column.serial or (is_text(column.declared_type) and self._is_binary(column))
        )

    def _is_binary(self, column: ColumnInfo) -> bool:
        """Whether nothing compares its bytes in another way."""
        terms = (term for unique in self.replace_keys for term in unique.terms)
        return all(
            word == "BINARY" for word in (column.collation, *(t.collation for t in terms if t.column == column.name))
        )

    @property
    def homes_alike(self) -> bool:
        """Whether every row has the same home, and is of this entry, whatever is in it."""
        return self.spec.shared and not self.spec.where and not self.spec.home_is_pool

    def same_key(self, left: str, right: str) -> str:
        """Compare the key of two aliases, NULL-safe."""
        return chained("AND", (self._same(left, right, name) for name in self.spec.key))

    def _same(self, left: str, right: str, name: str) -> str:
        one, other, compared = f"{left}.{quote(name)}", f"{right}.{quote(name)}", self.as_compared(name)
        # A join without an index asks a filter first, which in SQLite 3.38 to 3.40 misses what differs by blanks: + keeps it away.
        unindexed = "RTRIM" in compared and not ("t" in (left, right) and name in (self.conflict or ()))
        return f"+{one} IS +{other}{compared}" if unindexed else f"{one} IS {other}{compared}"

    def as_compared(self, name: str) -> str:
        """What is said behind a comparison of a key column with anything, whose own collation may be another; mostly nothing."""
        collation = self.types[name].rpartition(" ")[2]
        return f" COLLATE {collation}" if collation != quote("BINARY") else ""

    def bucket(self, of: str, alias: str = "") -> str:
        """The SQL expression for the bucket of a row's key."""
        prefix = f"{alias}." if alias else ""
        parts = []
        for name in self.spec.key:
            column = f"{prefix}{quote(name)}"
            parts.append(
                f"typeof({column}), CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END"
            )
        if len(parts) <= ENCODED_MAX:
            return f"poolpair_bucket({of}, {', '.join(parts)})"
        chunks = (", ".join(parts[at : at + ENCODED_MAX]) for at in range(0, len(parts), ENCODED_MAX))
        return f"poolpair_bucket_encoded({of}, {', '.join(f'poolpair_encoded({chunk})' for chunk in chunks)})"

    def in_buckets(self, buckets: BucketSet) -> str:
        """The condition for rows in some buckets; whoever wants all of them asks no key for its bucket."""
        if len(set(buckets.buckets)) == buckets.of:
            return "1"
        return (
            f"{self.bucket(str(buckets.of))} IN (SELECT value FROM json_each({literal(json.dumps(buckets.buckets))}))"
        )

    def shape(self) -> TableShape:
        """What the manifest says of this table."""
        return TableShape(name=self.spec.name, key=self.spec.key, columns=self.columns, types=self._types)

    def in_order_of(self, shapes: Iterable[TableShape]) -> Bound:
        """With the columns in the order of the partner's table, in which it digests rows; as it is if that has others."""
        mine = (self.spec.name, self.spec.key)
        told = next((shape.columns for shape in shapes if (shape.name, shape.key) == mine), ())
        return replace(self, columns=told) if set(told) == set(self.columns) else self

    @property
    def _types(self) -> tuple[str, ...]:
        columns = {column.name: column for column in self.info.columns}
        return tuple(kind_of(columns[name].declared_type, columns[name].collation) for name in self.columns)


def bind(connection: sqlite3.Connection, profile: Profile) -> tuple[Bound, ...]:
    """Bind every entry of the profile. Raises PROFILE with every reason why it does not fit."""
    names = {spec.name for spec in profile.tables}
    infos = describe_tables(connection, names)
    refuse_fatal(check_profile(profile, infos, what_else(connection, names - set(infos))))
    ledger = ledger_table(profile)
    bound = tuple(_bind_one(connection, spec, infos[spec.name]) for spec in profile.tables)
    return (*bound, _bound(ledger, ledger_info(), ()))


def refuse_fatal(problems: Iterable[Problem]) -> None:
    """Raise PROFILE with every reason why a profile cannot be used."""
    if fatal := [problem for problem in problems if problem.fatal]:
        raise does_not_fit(fatal)


def _bind_one(connection: sqlite3.Connection, spec: ProfileTable, info: TableInfo) -> Bound:
    return _bound(spec.at(info.index_triggers), info, replace_keys(connection, info))


def _bound(spec: ProfileTable, info: TableInfo, replaced_by: tuple[UniqueKey, ...]) -> Bound:
    columns = tuple(c.name for c in info.columns if not c.generated and c.name not in spec.leave_out)
    types = {c.name: _declaration(c.declared_type, c.collation) for c in info.columns if c.name in spec.key}
    return Bound(
        spec=spec,
        info=info,
        columns=columns,
        conflict=unique_key_within(info, spec.key),
        types=types,
        replace_keys=replaced_by,
    )


def _declaration(declared_type: str, collation: str) -> str:
    kind = quote(declared_type) if declared_type else ""
    return f"{kind} COLLATE {quote(collation or 'BINARY')}"


def is_text(declared_type: str) -> bool:
    """Whether a column of this type keeps numbers as text, by SQLite's own rules."""
    declared = declared_type.upper()
    return "INT" not in declared and any(word in declared for word in ("CHAR", "CLOB", "TEXT"))
