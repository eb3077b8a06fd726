"""Lists what a database of an application's holds, for a profile to be drafted from."""

from __future__ import annotations

from collections.abc import Mapping

from poolpair.store.drafting import Described
from poolpair.store.postgres.database import SCHEMA, Database
from poolpair.store.postgres.schema import Table, describe_tables
from poolpair.store.profile_check import Problem

_ALL = """
SELECT CASE WHEN n.nspname = ANY ($1::text[]) AND n.nspname = (
         SELECT s.nspname FROM pg_class o JOIN pg_namespace s ON s.oid = o.relnamespace
         WHERE o.relname = c.relname AND o.relkind IN ('r', 'p') AND s.nspname = ANY ($1::text[])
         ORDER BY array_position($1::text[], s.nspname::text) LIMIT 1)
       THEN c.relname::text ELSE n.nspname || '.' || c.relname END, c.relkind::text,
       c.oid::bigint, n.nspname || '.' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', $2)
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
_FREE = """
SELECT CASE WHEN n.nspname = ANY ($1::text[]) THEN c.relname::text ELSE n.nspname || '.' || c.relname END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname NOT IN ('pg_catalog', 'information_schema', $2) AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i', 'e'))
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
                  AND d.refobjid = c.oid)
ORDER BY 1
"""
_NO_TABLES = {
    "m": "it is a materialized view: refresh it at the other site after a takeover",
    "f": "it is a foreign table; its rows are kept elsewhere",
}


def describe_all(database: Database) -> Described:
    """Describe every table but those of extensions and our own."""
    listed = database.rows(_ALL, list(database.schemas), SCHEMA)
    left = [
        Problem(table=str(name), reason=_NO_TABLES[kind], fatal=False)
        for name, kind, _, _ in listed
        if kind in _NO_TABLES
    ]
    wanted = {int(oid): (str(name), str(full)) for name, kind, oid, full in listed if kind not in _NO_TABLES}
    tables, mistaken = _described(database, wanted)
    left += [
        Problem(table=name, reason="a profile cannot name it: another table is called so, too") for name in mistaken
    ]
    left += [Problem(table=name, reason="; ".join(table.troubles)) for name, table in tables.items() if table.troubles]
    names_left = {problem.table for problem in left}
    free = database.rows(_FREE, list(database.schemas), SCHEMA)
    return Described(
        tables=tuple(table.info for name, table in tables.items() if name not in names_left),
        left=tuple(left),
        sequences=tuple(str(name) for (name,) in free),
    )


def _described(database: Database, wanted: Mapping[int, tuple[str, str]]) -> tuple[dict[str, Table], list[str]]:
    """Tables by the name that a profile gives them, short if that means no other; and those that no name means alone.

    A dot in a name may be taken for the one behind a schema: such a table needs its full name.
    """
    found: dict[str, Table] = {}
    left = dict(wanted)
    for length in (0, 1):
        names = {names[length] for names in left.values()}
        for name, on in describe_tables(database, names).items():
            if on.place.oid in left and left[on.place.oid][length] == name:
                found[name] = on
                del left[on.place.oid]
    return found, [full for _, full in left.values()]
