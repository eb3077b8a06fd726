"""Describes the application's tables from PostgreSQL's own catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from poolpair.store.postgres.database import SCHEMA, Database, quote
from poolpair.store.profile_check import ColumnInfo, TableInfo

_EXACT = "bool bytea int8 int2 int4 text varchar uuid date time timestamp timestamptz"  # their `=` is equality of what is written
AS_SENT = {
    *("boolean", "bytea", "bigint", "smallint", "integer", "text", "character varying", "uuid", "date"),
    *("time without time zone", "timestamp without time zone", "timestamp with time zone"),
}
"""Types of the server's own whose values are sent in one form each, on every release: part of the format of packages."""

COLUMNS_MAX = 1598
"""A table may have 1,600 columns; beside those of a row ours have two of their own."""

_TABLE = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind, row_security_active(c.oid),
       c.relpersistence = 'u',
       EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid) AND c.relkind = 'r',
       EXISTS (SELECT 1 FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1'),
       EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid),
       EXISTS (SELECT 1 FROM pg_subscription_rel s WHERE s.srrelid = c.oid
               OR s.srrelid IN (SELECT relid FROM pg_partition_tree(c.oid)))
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY reading (nspname, relname, place)
JOIN pg_namespace n ON n.nspname = reading.nspname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = reading.relname AND c.relkind IN ('r', 'p')
ORDER BY reading.place LIMIT 1
"""
# The last: nothing that the type is made of lacks a default order, be it its own or that of a type which reads it as it is. With less (xid
# has an equality and no order) keys are captured, and not sorted where they arrive.
_COLUMNS = """
WITH RECURSIVE based AS (
  SELECT a.attnum, t.oid, t.typtype, t.typbasetype, t.typdefault IS NOT NULL AS defaulted
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, t.oid, t.typtype, t.typbasetype, b.defaulted OR t.typdefault IS NOT NULL
  FROM based b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd')
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), format_type(b.oid, -1),
       a.attnotnull, a.attgenerated <> '',
       a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false),
       a.attidentity = 'a', d.oid IS NOT NULL OR a.attidentity <> '' OR b.defaulted,
       CASE WHEN a.attcollation NOT IN (0, base.typcollation) THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) ELSE '' END,
       base.typtype = 'e' AND base.oid = a.atttypid OR (base.typname = ANY($2::text[]) AND base.typnamespace = 'pg_catalog'::regnamespace
                              AND coalesce(co.collisdeterministic, true)),
       coalesce((SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumlabel COLLATE "C") FROM pg_enum e
                 WHERE e.enumtypid = coalesce(nullif(base.typelem, 0), base.oid)), ''),
       coalesce((SELECT 'OPERATOR(' || quote_ident(s.nspname) || '.' || o.oprname || ')' FROM pg_opclass c
                 JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
                      AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
                 JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace s ON s.oid = o.oprnamespace AND s.nspname <> 'pg_catalog'
                 WHERE c.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.opcdefault AND c.opcintype = base.oid), '='),
       coalesce(nullif(base.typelem, 0), base.oid)::bigint, base.typtype = 'e' AND base.oid <> a.atttypid,
       NOT EXISTS (WITH RECURSIVE part AS (
           SELECT base.oid, base.typtype, base.typcategory, base.typelem, base.typbasetype, base.typrelid
           UNION
           SELECT t.oid, t.typtype, t.typcategory, t.typelem, t.typbasetype, t.typrelid FROM part JOIN pg_type t ON
             (part.typtype = 'd' AND t.oid = part.typbasetype) OR (part.typcategory = 'A' AND t.oid = part.typelem)
             OR (part.typtype = 'c' AND t.oid IN (SELECT i.atttypid FROM pg_attribute i
                 WHERE i.attrelid = part.typrelid AND i.attnum > 0 AND NOT i.attisdropped)))
         SELECT FROM part WHERE typtype = 'b' AND (typcategory <> 'A' OR typelem = 0) AND NOT EXISTS (
           SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
           WHERE o.opcdefault AND (o.opcintype = part.oid OR EXISTS (SELECT FROM pg_cast k WHERE k.castsource = part.oid
             AND k.casttarget = o.opcintype AND k.castmethod = 'b' AND k.castcontext = 'i'))))
FROM pg_attribute a
JOIN based b ON b.attnum = a.attnum AND b.typtype <> 'd' JOIN pg_type base ON base.oid = b.oid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_KEYS = """
SELECT i.indisprimary, array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i WHERE i.indrelid = $1::bigint::oid AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY i.indisprimary DESC, i.indexrelid
"""
_TRIGGERS = """
SELECT DISTINCT t.tgname::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE t.tgrelid = ANY ($1::bigint[]::oid[]) AND NOT t.tgisinternal AND n.nspname <> $2 ORDER BY 1
"""
_PARTITIONS = """
SELECT c.oid::bigint, n.nspname, c.relname FROM pg_partition_tree($1::bigint::oid::regclass) p JOIN pg_class c ON c.oid = p.relid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.oid <> $1::bigint::oid ORDER BY n.nspname, c.relname
"""
_FOREIGN_KEYS = """
SELECT f.confrelid::bigint, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_constraint f JOIN pg_class c ON c.oid = f.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE f.contype = 'f' AND f.conrelid = $1::bigint::oid ORDER BY 1
"""
_CASCADES = """
SELECT coalesce(bool_or(confdeltype IN ('c', 'n', 'd')), false), coalesce(bool_or(confupdtype IN ('c', 'n', 'd')), false)
FROM pg_constraint WHERE contype = 'f' AND confrelid = $1::bigint::oid
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A relation that statements may name, and with it fire triggers: a table or a partition of one."""

    oid: int
    schema: str
    name: str

    @property
    def sql(self) -> str:
        """The relation, quoted and qualified."""
        return f"{quote(self.schema)}.{quote(self.name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """How a column's values are kept in tables of ours, compared and told to the partner."""

    base: str
    """Without domain and length: what one site accepts and the other does not is found by the table itself."""
    collate: str
    exact: bool
    """Whether `=` is the equality of what is written; else texts are compared."""
    told: str
    """As the partner must have it; with the labels of an enum."""
    equals: str = "="
    """The operator by which unique keys tell values apart, named with its schema where that is not the server's own: citext has one."""
    cast: str = ""
    """What it takes to compare values of a domain over an enum: the server has no operator for them."""
    enum_oid: int = 0
    """Of the enum that its values, or the elements of its arrays, are of."""

    @property
    def declared(self) -> str:
        """For CREATE TABLE."""
        return f"{self.base} COLLATE {self.collate}" if self.collate else self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the application's."""

    place: Place
    info: TableInfo
    types: Mapping[str, ColumnType]
    partitions: tuple[Place, ...] = ()
    refers_to: frozenset[int] = frozenset()
    """Tables that its foreign keys refer to, by oid."""
    refers_to_itself: bool = False
    is_cascaded: bool = False
    """Whether deleting its rows deletes or changes rows of other tables."""
    is_followed: bool = False
    """Whether changing its rows changes rows of other tables."""
    troubles: tuple[str, ...] = field(default=())
    """What keeps poolpair from seeing all of it."""

    @property
    def sets_off(self) -> bool:
        """Whether a statement on it may make something of the application's run, which may write anywhere."""
        return bool(self.info.triggers or self.partitions or self.is_cascaded or self.is_followed or self.troubles)


def describe_tables(database: Database, names: Iterable[str]) -> dict[str, Table]:
    """Describe the named tables that exist; views and foreign tables are not tables here."""
    found: dict[str, Table] = {}
    for name in sorted(set(names)):
        readings = list(_readings(name, database.schemas))
        row = database.row(_TABLE, [schema for schema, _ in readings], [bare for _, bare in readings])
        if row is not None:
            found[name] = _describe(database, name, row)
    return found


def _readings(name: str, schemas: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What a name in a profile may mean, the likeliest first: either part may hold a dot, and so may one without a schema."""
    for at in reversed([at for at, letter in enumerate(name) if letter == "."]):
        yield name[:at], name[at + 1 :]
    yield from ((schema, name) for schema in schemas)


def _describe(database: Database, name: str, row: tuple[object, ...]) -> Table:
    oid, schema, relname, _, *reasons = row
    assert isinstance(oid, int)
    keys = database.rows(_KEYS, oid)
    primary = next((list(columns) for is_primary, columns in keys if is_primary), [])
    described = [_column(found, primary) for found in database.rows(_COLUMNS, oid, _EXACT.split())]
    references = database.rows(_FOREIGN_KEYS, oid)
    cascades = database.row(_CASCADES, oid)
    partitions = tuple(Place(oid=p, schema=s, name=n) for p, s, n in database.rows(_PARTITIONS, oid))
    return Table(
        place=Place(oid=oid, schema=str(schema), name=str(relname)),
        info=TableInfo(
            name=name,
            sql=f"{quote(str(schema))}.{quote(str(relname))}",
            columns=tuple(info for info, _ in described),
            unique_keys=tuple(dict.fromkeys(tuple(names) for _, names in keys)),
            triggers=tuple(
                trigger for (trigger,) in database.rows(_TRIGGERS, [oid, *(place.oid for place in partitions)], SCHEMA)
            ),
            references=tuple(sorted({str(other) for _, other in references})),
        ),
        types={info.name: kind for info, kind in described},
        partitions=partitions,
        refers_to=frozenset(int(other) for other, _ in references if other != oid),
        refers_to_itself=any(other == oid for other, _ in references),
        is_cascaded=bool(cascades and cascades[0]),
        is_followed=bool(cascades and cascades[1]),
        troubles=_troubles(reasons, len(described)),
    )


def _column(found: tuple[Any, ...], primary: list[str]) -> tuple[ColumnInfo, ColumnType]:
    """A column by what the catalogue says of it, in the order of `_COLUMNS`."""
    called, declared, base, not_null, generated, serial, always, has_default, collate, exact, labels, *more = found
    equals, lowest, hidden_enum, compares = more
    info = ColumnInfo(
        name=called,
        declared_type=declared,
        not_null=not_null,
        pk_rank=primary.index(called) + 1 if called in primary else 0,
        generated=generated,
        serial=serial,
        has_default=has_default,
        compares=compares,
        numbered_always=always,
    )
    kind = ColumnType(
        base=base,
        collate=collate,
        exact=exact,
        told=f"{base}({labels})" if labels else base,
        equals=equals,
        cast=f"::{base}" if hidden_enum else "",
        enum_oid=lowest if labels else 0,
    )
    return info, kind


def _troubles(found: list[object], columns: int) -> tuple[str, ...]:
    """What keeps us from seeing all of a table; `found` says which of them apply, in the order of `_TABLE`."""
    reasons = (
        "row-level security hides rows of it from this role, which must own it or have BYPASSRLS",
        "it is UNLOGGED: after a crash of the server it is empty, and nothing would tell the partner",
        "other tables inherit from it, and changes of them cannot be told apart from its own",
        "it has a rule, which would rewrite what arrives too: let the application use a trigger instead",
        "it is a part of another table, and what is written through that one sets off no trigger here: name that one",
        "a subscription writes into it, which sets off no statement trigger",
    )
    troubles = [reason for applies, reason in zip(found, reasons, strict=True) if applies]
    if columns > COLUMNS_MAX:
        troubles.append(f"it has {columns} columns; poolpair carries tables of up to {COLUMNS_MAX}")
    return tuple(troubles)
