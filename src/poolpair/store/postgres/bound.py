"""A table of the profile on the table that is there: the pieces of SQL that every later statement is made of.

A bound table knows its key and columns, quoted, and the expressions for home, scope and conference, which use bare column names:
so they stand where no other table is in scope. NULL in a key is a value like any other; columns that cannot be NULL are
compared with `=`, which an index serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from poolpair.model import TableShape
from poolpair.store.postgres.database import SCHEMA, literal, quote
from poolpair.store.postgres.schema import AS_SENT, ColumnType, Table
from poolpair.store.profile import ProfileTable

HOME_TABLE = f"{SCHEMA}.home"
GONE = "poolpair_gone"
"""The column of the rows file that says of a group: it is named, and there is no row of it."""
SCOPE_OF_ALL = "true"
HOMES_INLINE = 64
"""A longer map is looked up in its table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One profile entry on its table."""

    spec: ProfileTable
    on: Table
    columns: tuple[str, ...]
    """What travels: all columns but generated ones and those left out."""
    conflict: tuple[str, ...] | None
    """Columns of a unique key inside the group key: groups are single rows. None: groups are replaced whole."""
    homes: tuple[tuple[str, str], ...] = ()
    """The homes map when this was bound: patterns as LIKE reads them, and pools. To look each row's home up costs most of a digest."""
    rank: int = 0
    """Tables of lower rank are written first and deleted from last: the others refer to them."""
    circle: int = 0
    """Tables with the same number refer to each other in a circle; 0 if this one is in none."""

    @property
    def n(self) -> int:
        """The entry's number in the profile."""
        return self.spec.number

    @property
    def table(self) -> str:
        """The application's table, quoted and qualified."""
        return self.on.place.sql

    @property
    def log(self) -> str:
        """The capture log of this entry."""
        return f"{SCHEMA}.log_{self.n}"

    @property
    def key(self) -> str:
        """The key columns, quoted, separated by commas."""
        return listed(self.spec.key)

    @property
    def column_list(self) -> str:
        """The travelling columns, quoted, separated by commas."""
        return listed(self.columns)

    @property
    def key_types(self) -> str:
        """The key columns with their types, for CREATE TABLE."""
        return self.typed(self.spec.key)

    @property
    def stored(self) -> tuple[str, ...]:
        """All columns that are kept, also those that each site assigns for itself."""
        return tuple(column.name for column in self.on.info.columns if not column.generated)

    def typed(self, names: Sequence[str]) -> str:
        """Columns with their types, for CREATE TABLE."""
        return ", ".join(f"{quote(name)} {self.type_of(name).declared}" for name in names)

    def type_of(self, name: str) -> ColumnType:
        """The type of a column."""
        return self.on.types[name]

    @property
    def scope(self) -> str:
        """The condition for rows of this entry, over the key columns."""
        return f"coalesce(({self.spec.where}), false)" if self.spec.where else SCOPE_OF_ALL

    def scoped(self, alias: str) -> str:
        """The same condition for a row of `alias` where other tables are in scope too."""
        return f"(SELECT {self.scope} FROM (SELECT {listed(self.spec.key, alias, named=True)}) poolpair_row)"

    def carried(self, left: str) -> str:
        """The condition for rows whose conference is not in a text array."""
        return f"coalesce(({self.spec.conference})::text <> ALL ({left}), true)" if self.spec.conference else "true"

    @property
    def is_plain(self) -> bool:
        """Whether each row is a group of its own, and lies where the table says: it may then be carried by where it lies."""
        return self.conflict is not None and not self.on.partitions

    @property
    def home(self) -> str:
        """The home pool of a row, over the key columns; NULL if it has none."""
        if self.spec.home_is_pool or not self.homes or len(self.homes) > HOMES_INLINE:
            return self.looked_up_home
        if self.spec.shared:
            return next((literal(pool) for pattern, pool in self.homes if pattern == "shared"), "NULL::text")
        key = f'({self.spec.home_key})::text COLLATE "C"'
        cases = [
            f"WHEN {key} LIKE {literal(like)} THEN {literal(pool)}" for like, pool in self.homes if like != "shared"
        ]
        return f"(CASE {' '.join(cases)} END)" if cases else "NULL::text"

    @property
    def looked_up_home(self) -> str:
        """The same by the map that is in the database now."""
        if self.spec.home_is_pool:
            return quote(self.spec.key[0])
        if self.spec.shared:
            return f"(SELECT h.poolpair_pool FROM {HOME_TABLE} h WHERE h.poolpair_pattern = 'shared')"
        return (
            f"(SELECT h.poolpair_pool FROM {HOME_TABLE} h WHERE h.poolpair_pattern <> 'shared'"
            f' AND ({self.spec.home_key})::text COLLATE "C" LIKE h.poolpair_like ORDER BY h.poolpair_rank LIMIT 1)'
        )

    @property
    def order(self) -> str:
        """The origin's order of rows `t`: as the profile says, else by what this site numbers itself, else as they lie.

        Empty where order means nothing: a group is one row, and the target numbers none.
        """
        if self.conflict is not None and not self.spec.order_by and not self.spec.leave_out:
            return ""
        serials = [column.name for column in self.on.info.columns if column.serial]
        named = [f"t.{quote(name)}" for name in self.spec.order_by or serials]
        return "ORDER BY " + ", ".join([*named, "t.tableoid", "t.ctid"])

    def same_key(self, left: str, right: str) -> str:
        """Compare the key of two aliases, NULL-safe."""
        return " AND ".join(self._same(left, right, name) for name in self.spec.key)

    def _same(self, left: str, right: str, name: str) -> str:
        column, equals, cast = self.on.info.column(name), self.type_of(name).equals, self.type_of(name).cast
        one, other = f"{left}.{quote(name)}{cast}", f"{right}.{quote(name)}{cast}"
        if column is not None and column.not_null:
            return f"{one} {equals} {other}"
        return f"({one} {equals} {other} OR ({one} IS NULL AND {other} IS NULL))"

    def bucket(self, of: str) -> str:
        """The bucket of a row's key: the same on every server, for it hashes what is written."""
        return bucket_of(self.written(self.spec.key), of)

    def row_hash(self, alias: str = "") -> str:
        """A 64-bit hash of what is written in a row."""
        return f"('x' || substr(md5({self.written(self.columns, alias)}), 1, 16))::bit(64)::bigint"

    def written(self, names: Sequence[str], alias: str = "") -> str:
        """What is written in some columns, as bytes. Some types go as they are sent, which costs a third less."""
        sent = [name for name in names if self.type_of(name).base in AS_SENT]
        parts = [f"{listed([name], alias)}::{self.type_of(name).base}" for name in sent]
        if others := [name for name in names if name not in sent]:
            parts.append(f"ROW({listed(others, alias)})::text")
        return f"record_send(ROW({', '.join(parts)}))"

    def differs(self, left: str, right: str, names: Sequence[str]) -> str:
        """Whether two rows differ in what is written in some columns."""
        return " OR ".join(
            f"{left}.{quote(name)}{cast} IS DISTINCT FROM {right}.{quote(name)}{cast}"
            for name in names
            for cast in ("" if self.type_of(name).exact else "::text",)
        )

    def in_order_of(self, shapes: Iterable[TableShape]) -> Bound:
        """With the columns in the order of the partner's table, in which it digests rows; as it is if that has others."""
        mine = (self.spec.name, self.spec.key)
        told = next((shape.columns for shape in shapes if (shape.name, shape.key) == mine), ())
        return replace(self, columns=told) if set(told) == set(self.columns) else self

    def shape(self) -> TableShape:
        """What the manifest says of this table."""
        return TableShape(name=self.spec.name, key=self.spec.key, columns=self.columns)


def bucket_of(text: str, of: str) -> str:
    """The bucket of a text or of bytes."""
    return f"(('x' || substr(md5({text}), 1, 8))::bit(32)::bigint % {of})"


def listed(names: Iterable[str], alias: str = "", *, named: bool = False) -> str:
    """Columns, quoted, separated by commas; of an alias, and under their bare names."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(f"{prefix}{quote(name)}" + (f" AS {quote(name)}" if named else "") for name in names)


def by_number(bound: Iterable[Bound]) -> dict[int, Bound]:
    """Look bound tables up by their number."""
    return {table.n: table for table in bound}
