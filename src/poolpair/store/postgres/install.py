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

import psycopg

from poolpair.store.postgres.bound import HOME_TABLE, Bound, listed
from poolpair.store.postgres.database import SCHEMA, Database, literal, quote
from poolpair.store.postgres.fencing import admitted, home_of, like
from poolpair.store.postgres.locking import Mode, lock_tables
from poolpair.store.postgres.refusals import is_refusal
from poolpair.store.postgres.schema import Place
from poolpair.store.postgres.spooling import spool_tables
from poolpair.store.prepared import InstalledSettings

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
    entry: int
    """The first entry of the profile for its table."""

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
        yield from spool_tables(b)


def bring_up_to_date(database: Database, known: InstalledSettings | None) -> None:
    """Change what an earlier release made; what it lacked is made already. In a transaction, while no service works.

    A ledger that outlived its pair may be as old as any.
    """
    if known is None or known.layout < 2:
        lock_tables(database, [f"{SCHEMA}.ledger"], Mode.EVERYBODY)
        database.run(f"ALTER TABLE {SCHEMA}.ledger DROP CONSTRAINT IF EXISTS ledger_state_check")


def follow_tables(database: Database, bound: Iterable[Bound]) -> None:
    """Give our tables the columns that the application's tables have gained, and the types that they have now. In a transaction."""
    have = {
        (str(table), str(column)): (str(declared), int(number))
        for table, column, declared, number in database.rows(
            "SELECT c.relname, a.attname, format_type(a.atttypid, -1), a.attnum FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
            SCHEMA,
        )
    }
    changes = [
        (b, table, column, have.get((table, column)))
        for b in bound
        for table, columns in _followed(b)
        if any(name == table for name, _ in have)
        for column in columns
        if have.get((table, column), ("",))[0] != b.type_of(column).base
    ]
    lock_tables(database, (f"{SCHEMA}.{table}" for _, table, _, _ in changes), Mode.EVERYBODY)
    for b, table, column, here in changes:
        if here is None:
            _add(database, b, table, column)
        else:
            _retype(database, b, table, column, here[1])


def _followed(b: Bound) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Our tables that hold columns of the application's."""
    yield from ((f"{kind}_{b.n}", b.columns) for kind in ("parked_row", "kept_row", "spool_row"))
    yield from ((f"{kind}_{b.n}", b.spec.key) for kind in ("log", "parked_key", "spool_key"))


def _retype(database: Database, b: Bound, table: str, column: str, number: int) -> None:
    """What is written of the old values is read anew; if it cannot be, they stay aside, and the column is a new one."""
    base, name = b.type_of(column).base, quote(column)
    alter = f"ALTER TABLE {SCHEMA}.{table}"
    if not _tried(
        database, f"{alter} ALTER COLUMN {name} TYPE {b.type_of(column).declared} USING {name}::text::{base}"
    ):
        database.run(f"{alter} RENAME COLUMN {name} TO poolpair_was_{number}")
        _add(database, b, table, column)


def _add(database: Database, b: Bound, table: str, column: str) -> None:
    """A row that is kept has in a new column what the row that stands has in it, else the column's default."""
    name, ours = quote(column), f"{SCHEMA}.{table}"
    database.run(f"ALTER TABLE {ours} ADD COLUMN {b.typed([column])}")
    if not table.startswith(("parked_row", "spool_row")) or column in b.spec.key:
        return
    default = database.row(
        "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a ON (a.attrelid, a.attnum) = (d.adrelid, d.adnum)"
        " WHERE d.adrelid = $1::bigint::oid AND a.attname = $2",
        b.on.place.oid,
        column,
    )
    if default is not None:
        _tried(database, f"UPDATE {ours} SET {name} = {default[0]}")  # whoever may not compute it leaves it empty
    if b.conflict is not None:
        stands = f"{b.same_key('t', 'w')} AND {b.scoped('t')}"
        database.run(f"UPDATE {ours} w SET {name} = t.{name} FROM {b.table} t WHERE {stands}")


def _tried(database: Database, statement: str) -> bool:
    """Run a statement in a savepoint; False if the server refuses its values, or what it computes with."""
    database.run("SAVEPOINT poolpair_follow")
    try:
        database.run(statement)
    except psycopg.DatabaseError as error:
        if not (is_refusal(error) or (error.sqlstate or "").startswith("42")):
            raise
        database.run("ROLLBACK TO SAVEPOINT poolpair_follow")
        return False
    database.run("RELEASE SAVEPOINT poolpair_follow")
    return True


def home_rows(patterns: Iterable[tuple[int, str, str]]) -> Iterator[str]:
    """The statements that fill the homes map; `*` is the only wildcard."""
    yield f"DELETE FROM {HOME_TABLE}"
    for rank, pattern, pool in patterns:
        yield f"INSERT INTO {HOME_TABLE} VALUES ({rank}, {literal(pattern)}, {literal(like(pattern))}, {literal(pool)})"


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
                made.append(Trigger(place=place, name=name, function=function, create=create, entry=first.n))
    return tuple(made)


def create_trigger(database: Database, trigger: Trigger) -> None:
    """Make one capture trigger; on a table of ours it fires for those too who write as a replica does."""
    database.run(trigger.create)
    owner = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1::bigint::oid"
    if database.row(owner, trigger.place.oid) == (True,):
        database.run(f"ALTER TABLE ONLY {trigger.place.sql} ENABLE ALWAYS TRIGGER {trigger.name}")


def privileges(bound: Iterable[Bound], role: str, sequences: Iterable[str], *, parameters: bool) -> Iterator[str]:
    """What a DBA grants to the role, if it does not own the tables anyway; `parameters` can be granted from release 15 on.

    `sequences` are those behind serials that travel, quoted.
    """
    yield f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {quote(role)}"
    theirs = [b for b in bound if not b.spec.home_is_pool]
    for schema in sorted({b.on.place.schema for b in theirs}):
        yield f"GRANT USAGE ON SCHEMA {quote(schema)} TO {quote(role)}"
    for first, _ in _by_table(theirs):
        for place in (first.on.place, *first.on.partitions):
            yield f"GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON {place.sql} TO {quote(role)}"
    for sequence in sequences:
        yield f"GRANT SELECT, UPDATE ON SEQUENCE {sequence} TO {quote(role)}"
    if parameters and any(b.spec.triggers == "skip" and b.on.info.triggers for b in bound):
        yield f"GRANT SET ON PARAMETER session_replication_role TO {quote(role)}"


def _by_table(bound: Iterable[Bound]) -> list[tuple[Bound, list[Bound]]]:
    """Every table once, with the entries of the profile that speak of it."""
    found: dict[int, list[Bound]] = {}
    for b in bound:
        found.setdefault(b.on.place.oid, []).append(b)
    return [(entries[0], entries) for entries in found.values()]


def _function(first: Bound, event: str) -> str:
    return f"capture_{first.n}_{event}"


def _log(b: Bound, event: str) -> str:
    but_for = ""
    if event == "truncate":
        source = b.table
        if b.on.partitions:  # of a partition only its own rows go, and each has its own trigger
            but_for = f"(TG_RELID = {literal(b.table)}::regclass OR tableoid = TG_RELID)"
    else:
        tables = {"insert": ["new"], "delete": ["old"], "update": ["old", "new"]}[event.removesuffix("_beside")]
        source = " UNION ALL ".join(f"SELECT {b.key} FROM poolpair_{table}" for table in tables)
        source = f"({source}) poolpair_row"
    if event in BESIDE:
        but_for = f"coalesce({home_of(b)}, '') <> ALL (string_to_array(current_setting('{APPLIED_HOMES}', true), '|'))"
    where = admitted(b, but_for)
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


def beginning_to_apply(homes: Iterable[str], *, waiting: bool = False, alone: bool = False) -> str:
    """Tells the triggers that this transaction applies rows of these homes; with `waiting` constraints that can wait do.

    If nothing else can run in it (it is `alone`), no row is looked at a second time.
    """
    applying = f"set_config({literal(APPLYING)}, pg_current_xact_id()::text, true)"
    named = f"set_config({literal(APPLIED_HOMES)}, {literal('|'.join(homes))}, true)"
    also = f"set_config({literal(ALONE)}, {'pg_current_xact_id()::text' if alone else literal('')}, true)"
    return f"SELECT {applying}, {named}, {also}; SET CONSTRAINTS ALL {'DEFERRED' if waiting else 'IMMEDIATE'}"
