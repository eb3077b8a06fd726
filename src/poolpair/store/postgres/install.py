"""What `init` puts into the application's database: the schema `poolpair` with our tables, and the capture triggers.

A trigger runs once per statement and logs the keys that it touched with the writer's own transaction id, in one insert. It is
SECURITY DEFINER with a fixed search_path, so writers need no privilege of ours. What an apply writes is not logged: it
names its own transaction in a setting, which therefore means nothing in any other transaction, whoever keeps it. Only what the
application's triggers write meanwhile, of other homes than those that arrive, is.

A statement that names a partition fires the partition's triggers only, so each has its own. TRUNCATE logs the keys that it
sees before they go; in a transaction with an older view it cannot see all, and says so in `doubt`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files as resource_files

from poolpair.store.postgres.binding import HOME_TABLE, Bound, listed
from poolpair.store.postgres.database import SCHEMA, Database, literal, quote
from poolpair.store.postgres.schema import Place

APPLYING = f"{SCHEMA}.applying"
APPLIED_HOMES = f"{SCHEMA}.homes"
ALONE = f"{SCHEMA}.alone"
"""Names the transaction of an apply beside which nobody can write: there is nothing that its statements would set off."""
NOT_APPLYING = (
    f"coalesce(current_setting('{APPLYING}', true), '') IS DISTINCT FROM pg_current_xact_id_if_assigned()::text"
)
"""True also where neither is there: a transaction that begins with TRUNCATE may have no id yet."""
WITH_OTHERS = (
    f"NOT ({NOT_APPLYING}) AND"
    f" coalesce(current_setting('{ALONE}', true), '') IS DISTINCT FROM pg_current_xact_id_if_assigned()::text"
)
EVENTS = {
    "insert": "AFTER INSERT ON {0} REFERENCING NEW TABLE AS poolpair_new",
    "update": "AFTER UPDATE ON {0} REFERENCING OLD TABLE AS poolpair_old NEW TABLE AS poolpair_new",
    "delete": "AFTER DELETE ON {0} REFERENCING OLD TABLE AS poolpair_old",
    "truncate": "BEFORE TRUNCATE ON {0}",
}
BESIDE = {f"{event}_beside": timing for event, timing in EVENTS.items() if event != "truncate"}
"""During an apply: what the application's own triggers write beside it, of other homes than those that arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One capture trigger as it should be, and the function it runs."""

    place: Place
    name: str
    function: str
    create: str

    @property
    def called(self) -> str:
        """Its name for people and for what `init` notes."""
        return f"{self.place.schema}.{self.place.name} {self.name}"


def own_tables(bound: Iterable[Bound]) -> Iterator[str]:
    """The statements that make poolpair's own tables."""
    script = (resource_files(__package__) / "own_tables.sql").read_text()
    bare = "\n".join(line.split("--")[0].rstrip() for line in script.splitlines())
    yield from (statement.strip() for statement in bare.split(";") if statement.strip())
    for b in bound:
        xid = "poolpair_xid xid8 NOT NULL DEFAULT pg_current_xact_id()"
        yield f"CREATE TABLE IF NOT EXISTS {b.log} ({b.key_types}, {xid})"
        yield f"CREATE TABLE IF NOT EXISTS {SCHEMA}.parked_key_{b.n} (poolpair_id bigint PRIMARY KEY, {b.key_types})"
        rows = f"poolpair_id bigint NOT NULL, poolpair_place bigint NOT NULL, {b.typed(b.columns)}"
        yield f"CREATE TABLE IF NOT EXISTS {SCHEMA}.parked_row_{b.n} ({rows}, PRIMARY KEY (poolpair_id, poolpair_place))"
        kept = f"poolpair_package text NOT NULL, poolpair_utc text NOT NULL, {b.typed(b.columns)}"
        yield f"CREATE TABLE IF NOT EXISTS {SCHEMA}.kept_row_{b.n} ({kept})"


def follow_tables(database: Database, bound: Iterable[Bound]) -> None:
    """Give our tables the columns that the application's tables have gained, and the types that they have now."""
    have = {
        (str(table), str(column)): str(declared)
        for table, column, declared in database.rows(
            "SELECT c.relname, a.attname, format_type(a.atttypid, -1) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
            SCHEMA,
        )
    }
    tables = {table for table, _ in have}
    for b in bound:
        kept = dict.fromkeys((f"parked_row_{b.n}", f"kept_row_{b.n}"), b.columns)
        for table, columns in (kept | dict.fromkeys((f"log_{b.n}", f"parked_key_{b.n}"), b.spec.key)).items():
            for column in columns if table in tables else ():
                here, base, name = have.get((table, column)), b.type_of(column).base, quote(column)
                if here is None:
                    database.run(f"ALTER TABLE {SCHEMA}.{table} ADD COLUMN {b.typed([column])}")
                elif here != base:
                    change = f"TYPE {b.type_of(column).declared} USING {name}::text::{base}"
                    database.run(f"ALTER TABLE {SCHEMA}.{table} ALTER COLUMN {name} {change}")


def home_rows(patterns: Iterable[tuple[int, str, str]]) -> Iterator[str]:
    """The statements that fill the homes map; `*` is the only wildcard."""
    yield f"DELETE FROM {HOME_TABLE}"
    for rank, pattern, pool in patterns:
        like = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        yield f"INSERT INTO {HOME_TABLE} VALUES ({rank}, {literal(pattern)}, {literal(like)}, {literal(pool)})"


def functions(bound: Iterable[Bound]) -> dict[str, str]:
    """The functions that the triggers run, by name: one per table and kind of statement."""
    made = {}
    for first, entries in _by_table(bound):
        for event in EVENTS | BESIDE:
            body = " ".join(_log(b, event) for b in entries)
            if event == "truncate":
                body += _doubt(first)
            made[_function(first, event)] = (
                f"CREATE OR REPLACE FUNCTION {SCHEMA}.{_function(first, event)}() RETURNS trigger LANGUAGE plpgsql"
                f" SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off"
                f" AS $poolpair$ BEGIN {body} RETURN NULL; END $poolpair$"
            )
    return made


def triggers(bound: Iterable[Bound]) -> tuple[Trigger, ...]:
    """The capture triggers of every table and of its partitions."""
    made = []
    for first, _ in _by_table(bound):
        for place in (first.on.place, *first.on.partitions):
            for event, timing in (EVENTS | BESIDE).items():
                name, function = f"{SCHEMA}_{event}", _function(first, event)
                create = (
                    f"CREATE TRIGGER {name} {timing.format(place.sql)} FOR EACH STATEMENT"
                    f" WHEN ({WITH_OTHERS if event in BESIDE else NOT_APPLYING}) EXECUTE FUNCTION {SCHEMA}.{function}()"
                )
                made.append(Trigger(place=place, name=name, function=function, create=create))
    return tuple(made)


def privileges(bound: Iterable[Bound], role: str) -> Iterator[str]:
    """What a DBA grants to the role, if it does not own the tables anyway."""
    yield f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {quote(role)}"
    for schema in sorted({b.on.place.schema for b in bound}):
        yield f"GRANT USAGE ON SCHEMA {quote(schema)} TO {quote(role)}"
    for first, _ in _by_table(bound):
        for place in (first.on.place, *first.on.partitions):
            yield f"GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON {place.sql} TO {quote(role)}"


def _by_table(bound: Iterable[Bound]) -> list[tuple[Bound, list[Bound]]]:
    """Every table once, with the entries of the profile that speak of it."""
    found: dict[int, list[Bound]] = {}
    for b in bound:
        found.setdefault(b.on.place.oid, []).append(b)
    return [(entries[0], entries) for entries in found.values()]


def _function(first: Bound, event: str) -> str:
    return f"capture_{first.n}_{event}"


def _log(b: Bound, event: str) -> str:
    if event == "truncate":
        # Of a partition only its own keys go; those of the others are logged too: a superset.
        source = b.table
    else:
        tables = {"insert": ["new"], "delete": ["old"], "update": ["old", "new"]}[event.removesuffix("_beside")]
        source = " UNION ALL ".join(f"SELECT {b.key} FROM poolpair_{table}" for table in tables)
        source = f"({source}) poolpair_row"
    where = b.scope
    if event in BESIDE:
        where += f" AND coalesce({b.looked_up_home}, '') <> ALL (string_to_array(current_setting('{APPLIED_HOMES}', true), '|'))"
    return f"INSERT INTO {b.log} ({b.key}) SELECT DISTINCT {listed(b.spec.key)} FROM {source} WHERE {where};"


def _doubt(first: Bound) -> str:
    reason = "it was truncated in a transaction that could not see all of its rows"
    insert = f"INSERT INTO {SCHEMA}.doubt VALUES ({literal(first.spec.name)}, {literal(reason)});"
    return f" IF current_setting('transaction_isolation') <> 'read committed' THEN {insert} END IF;"


def made_of(bound: Iterable[Bound]) -> dict[str, str]:
    """A digest of how each trigger and its function should be made, by "schema.table trigger"."""
    listed_once = tuple(bound)
    bodies = functions(listed_once)
    return {
        trigger.called: sha256((trigger.create + bodies[trigger.function]).encode()).hexdigest()
        for trigger in triggers(listed_once)
    }


def begin_applying(
    database: Database, homes: Iterable[str], *, waiting: bool = False, written: Iterable[Bound] | None = None
) -> None:
    """Tell the triggers that this transaction applies rows of these homes; with `waiting` constraints that can wait do.

    If only these tables are written and nothing of the application's can run at that, no row is looked at a second time.
    """
    alone = written is not None and not any(b.on.sets_off for b in written)
    applying = f"set_config({literal(APPLYING)}, pg_current_xact_id()::text, true)"
    named = f"set_config({literal(APPLIED_HOMES)}, {literal('|'.join(homes))}, true)"
    also = f"set_config({literal(ALONE)}, {'pg_current_xact_id()::text' if alone else literal('')}, true)"
    database.run(f"SELECT {applying}, {named}, {also}; SET CONSTRAINTS ALL {'DEFERRED' if waiting else 'IMMEDIATE'}")
