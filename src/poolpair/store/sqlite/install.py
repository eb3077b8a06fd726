"""What `init` puts into the application's database, and `uninstall` takes out: poolpair's own tables and the capture triggers.

Everything of ours is called `poolpair_...`. A trigger logs the key group that changed, stamped with the present generation
(`poolpair_gen.value`); drawing a token closes the generation. It only adds to the log: to look there whether the key is logged already
would cost the writer more than all the rest, so what stands there twice is taken out later (`shortening`). While an apply goes on, rows of
the homes that it brings (`applying`) are not logged; what the application's own triggers write into other homes meanwhile is.

`INSERT OR REPLACE` deletes conflicting rows without firing the delete trigger, so BEFORE triggers also log the keys of rows
that share the values of any unique index which does not contain the group key, over expressions too.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from poolpair.store import ledger
from poolpair.store.sqlite import file_spool
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import PREFIX, chained, literal, quote, text, together
from poolpair.store.sqlite.index_terms import Term, UniqueKey

_NO_TEXT = frozenset({"NULL", "TRUE", "FALSE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"})
DOCUMENT_TABLE = (
    "CREATE TABLE IF NOT EXISTS poolpair_document (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID"
)
HOME_TABLE = (
    "CREATE TABLE IF NOT EXISTS poolpair_home (poolpair_rank INTEGER PRIMARY KEY,"
    " poolpair_pattern TEXT NOT NULL, poolpair_glob TEXT NOT NULL, poolpair_pool TEXT NOT NULL)"
)
OWN_TABLES = """
CREATE TABLE IF NOT EXISTS poolpair_gen (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  value INTEGER NOT NULL,      -- stamp of new log entries; the newest token drawn is value - 1
  applying TEXT NOT NULL);     -- '' but inside the transaction of an apply: the homes that it brings, such as '|a|'
INSERT OR IGNORE INTO poolpair_gen (id, value, applying) VALUES (1, 1, '');
CREATE TABLE IF NOT EXISTS poolpair_lease (
  id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL, holder TEXT NOT NULL, front_end TEXT NOT NULL, since_utc TEXT NOT NULL,
  boot_id TEXT NOT NULL, seen_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS poolpair_file (
  path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, mode INTEGER NOT NULL,
  ctime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, home TEXT NOT NULL, conference TEXT NOT NULL,
  present INTEGER NOT NULL,    -- 0: deleted; kept until the deletion is acknowledged
  gen INTEGER NOT NULL,        -- 0: nothing to send; else as in the logs
  placing TEXT NOT NULL DEFAULT '',    -- digest that an apply is about to place here
  deleting INTEGER NOT NULL DEFAULT 0  -- 1: an applied deletion that may not have reached the disk
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS poolpair_file_gen ON poolpair_file (gen) WHERE gen > 0;
CREATE TABLE IF NOT EXISTS poolpair_parked (
  id INTEGER PRIMARY KEY, tbl INTEGER NOT NULL, channel TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, package_id TEXT NOT NULL,
  since_utc TEXT NOT NULL, gen INTEGER NOT NULL,
  table_name TEXT NOT NULL DEFAULT '');  -- numbers are given anew when tables come or go, while groups are parked
CREATE TABLE IF NOT EXISTS poolpair_fence (poolpair_home TEXT PRIMARY KEY, poolpair_serving TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS poolpair_pool (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
LEDGER_TABLE = (
    f"CREATE TABLE IF NOT EXISTS {ledger.TABLE} ({', '.join(f'{name} TEXT NOT NULL' for name in ledger.COLUMNS)},"
    f" PRIMARY KEY ({', '.join(ledger.KEY)}))"
)


def own_tables(bound: Iterable[Bound]) -> Iterator[str]:
    """The statements that make poolpair's own tables."""
    yield DOCUMENT_TABLE
    yield HOME_TABLE
    yield LEDGER_TABLE
    yield file_spool.TABLE
    yield from (statement.strip() for statement in _without_comments(OWN_TABLES).split(";") if statement.strip())
    for b in bound:
        yield from (f"CREATE TABLE IF NOT EXISTS {name} ({columns})" for name, columns in _key_tables(b).items())
        yield f"DROP INDEX IF EXISTS {PREFIX}log_{b.n}_key"  # of an earlier release, whose triggers looked for the key
        yield f"CREATE TABLE IF NOT EXISTS {PREFIX}parked_row_{b.n} (poolpair_id INTEGER NOT NULL, {b.column_list})"
        yield f"CREATE INDEX IF NOT EXISTS {PREFIX}parked_row_{b.n}_id ON {PREFIX}parked_row_{b.n} (poolpair_id)"
        yield f"CREATE TABLE IF NOT EXISTS {PREFIX}spool_row_{b.n} (poolpair_number INTEGER NOT NULL, {b.column_list})"
        kept = f"poolpair_package TEXT NOT NULL, poolpair_utc TEXT NOT NULL, {b.column_list}"
        yield f"CREATE TABLE IF NOT EXISTS {PREFIX}kept_row_{b.n} ({kept})"


def _key_tables(b: Bound) -> dict[str, str]:
    """The columns of each table that keeps keys of groups."""
    return {
        f"{PREFIX}log_{b.n}": f"{b.key_types}, poolpair_gen INTEGER NOT NULL",
        f"{PREFIX}parked_key_{b.n}": f"poolpair_id INTEGER PRIMARY KEY, {b.key_types}",
        f"{PREFIX}spool_key_{b.n}": f"poolpair_number INTEGER NOT NULL, {b.key_types}",
    }


def follow_tables(connection: sqlite3.Connection, bound: Iterable[Bound]) -> None:
    """Make our tables keep what the application's tables have now: keys that compare as theirs do, rows as wide as theirs are."""
    for b in bound:
        for name, columns in _key_tables(b).items():
            _follow_key(connection, name, f"CREATE TABLE {name} ({columns})")
    _widen_own_tables(connection, bound)
    name_parked(connection)


def name_parked(connection: sqlite3.Connection) -> None:
    """Groups that an earlier release parked have the number of their table only: the triggers know it by that number still."""
    have = {text(name) for (name,) in connection.execute("SELECT name FROM pragma_table_info('poolpair_parked')")}
    if not have:
        return
    named = "table_name" in have
    unnamed = "SELECT DISTINCT tbl FROM main.poolpair_parked" + (" WHERE table_name = ''" if named else "")
    numbers = {int(number) for (number,) in connection.execute(unnamed)}
    if named and not numbers:
        return
    query = "SELECT name, tbl_name FROM main.sqlite_master WHERE type = 'trigger'"
    triggers_of = (
        (re.fullmatch(rf"{PREFIX}(\d+)_insert", text(name)), table) for name, table in connection.execute(query)
    )
    known = [(text(table), int(found[1])) for found, table in triggers_of if found and int(found[1]) in numbers]
    if named and not known:
        return
    with together(connection):
        if not named:
            connection.execute("ALTER TABLE main.poolpair_parked ADD COLUMN table_name TEXT NOT NULL DEFAULT ''")
        update = "UPDATE main.poolpair_parked SET table_name = ? WHERE tbl = ? AND table_name = ''"
        connection.executemany(update, known)


def _follow_key(connection: sqlite3.Connection, name: str, wanted: str) -> None:
    """Make a table of keys anew, with all that it holds, if type or collation of a key column is another than when it was made."""
    found = connection.execute(
        "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", (name,)
    ).fetchone()
    if found is None or text(found[0]) == wanted:
        return
    with together(connection):
        connection.execute(f"CREATE TABLE temp.poolpair_anew AS SELECT * FROM main.{name} ORDER BY rowid")
        connection.execute(f"DROP TABLE main.{name}")
        connection.execute(wanted)
        connection.execute(f"INSERT INTO main.{name} SELECT * FROM temp.poolpair_anew ORDER BY rowid")
        connection.execute("DROP TABLE temp.poolpair_anew")


def _widen_own_tables(connection: sqlite3.Connection, bound: Iterable[Bound]) -> None:
    for b in bound:
        for kind in ("parked_row", "kept_row", "spool_row"):
            table = f"{PREFIX}{kind}_{b.n}"
            have = {text(name) for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            for column in b.columns if have else ():
                if column not in have:
                    connection.execute(f"ALTER TABLE main.{table} ADD COLUMN {quote(column)}")
                    if kind != "kept_row":
                        _fill(connection, b, table, column)


def _fill(connection: sqlite3.Connection, b: Bound, table: str, column: str) -> None:
    """A row that is kept has in a new column what the row that stands has in it, else the column's default."""
    query = "SELECT dflt_value FROM pragma_table_info(?) WHERE name = ?"
    default = connection.execute(query, (b.spec.name, column)).fetchone()
    if default is not None and default[0] is not None:
        connection.execute(f"UPDATE main.{table} SET {quote(column)} = ({text(default[0])})")
    if b.conflict is not None:
        stands = f"FROM {b.table} AS t WHERE {b.same_key('t', 'w')} AND {b.scoped('t')}"
        connection.execute(
            f"UPDATE main.{table} AS w SET {quote(column)} = (SELECT t.{quote(column)} {stands}) WHERE EXISTS (SELECT 1 {stands})"
        )


def _without_comments(script: str) -> str:
    return "\n".join(line.split("--")[0] for line in script.splitlines())


def triggers(b: Bound, pools: Sequence[str]) -> dict[str, str]:
    """The triggers of one table by name: they refuse what is fenced, naming one of `pools`, and capture the rest."""
    table = quote(b.spec.name)
    new, old = b.scoped("NEW"), b.scoped("OLD")
    watching, new_watched, old_watched = (
        f"(SELECT applying FROM {PREFIX}gen) = ''",
        _watched(b, "NEW"),
        _watched(b, "OLD"),
    )
    moved = chained("OR", (f"OLD.{quote(name)} IS NOT NEW.{quote(name)}" for name in b.spec.key))
    take_new, take_old = (f"{refuse(b, row, pools)}{_log(b, row)}" for row in ("NEW", "OLD"))
    name = f"{PREFIX}{b.n}"
    made = {
        f"{name}_insert": f"AFTER INSERT ON {table} WHEN {new_watched} AND {new} BEGIN {take_new} END",
        f"{name}_delete": f"AFTER DELETE ON {table} WHEN {old_watched} AND {old} BEGIN {take_old} END",
        f"{name}_update": f"AFTER UPDATE ON {table} WHEN {new_watched} AND {new} BEGIN {take_new} END",
        f"{name}_rekey": f"AFTER UPDATE ON {table} WHEN {old_watched} AND ({moved}) AND {old} BEGIN {take_old} END",
    }
    # A row in the way of another in all its key columns, byte for byte, is of the same group.
    whole = {Term(name, "", "BINARY") for name in b.spec.key}
    for number, unique in enumerate(each for each in b.replace_keys if not whole <= set(each.terms)):
        for event in ("INSERT", "UPDATE"):
            body = _log_conflicting(b, unique, pools, but_itself=event == "UPDATE")
            made[f"{name}_replace_{number}_{event.lower()}"] = (
                f"BEFORE {event} ON {table} WHEN {watching} BEGIN {body} END"
            )
    return {trigger: f"CREATE TRIGGER {trigger} {body}" for trigger, body in made.items()}


def refuse(b: Bound, row: str, pools: Sequence[str]) -> str:
    """Refuse a row of a home that is served elsewhere. Whoever writes it is told by whom: SQLite wants that text written out."""
    return _raise(f"SELECT poolpair_serving FROM {PREFIX}fence WHERE poolpair_home = {b.home_of(row)}", pools)


def _raise(serving: str, pools: Sequence[str]) -> str:
    said = {name: literal(f"not served here: pool {name} serves these users now (poolpair)") for name in pools}
    cases = " ".join(f"WHEN {literal(name)} THEN RAISE(ABORT, {message})" for name, message in said.items())
    return f"SELECT CASE ({serving}) {cases} END; " if pools else ""


def _watched(b: Bound, row: str) -> str:
    """No apply goes on, or not of this row's home."""
    applying = f"(SELECT applying FROM {PREFIX}gen)"
    return f"({applying} = '' OR instr({applying}, '|' || coalesce({b.home_of(row)}, '') || '|') = 0)"


def _log(b: Bound, row: str) -> str:
    keys = ", ".join(f"{row}.{quote(name)}" for name in b.spec.key)
    log = f"{PREFIX}log_{b.n}"
    return f"INSERT INTO {log} ({b.key}, poolpair_gen) SELECT {keys}, value FROM {PREFIX}gen;"


def _log_conflicting(b: Bound, unique: UniqueKey, pools: Sequence[str], *, but_itself: bool) -> str:
    """Log the keys of rows in the way of NEW; a row that is updated stands in its own way, and is logged afterwards."""
    where = " AND ".join(_in_the_way(b, term) for term in unique.terms)
    if unique.condition:
        where += f" AND ({unique.condition}) AND {_over_new(b, unique.condition)}"
    log, table = f"{PREFIX}log_{b.n}", quote(b.spec.name)
    stamp = f"(SELECT value FROM {PREFIX}gen)"
    others = " AND rowid <> OLD.rowid" if but_itself and not b.info.without_rowid else ""
    fenced = f"SELECT poolpair_serving FROM {table} JOIN {PREFIX}fence ON poolpair_home = {b.home} WHERE {where} AND {b.scope} LIMIT 1"
    return (
        f"{_raise(fenced, pools)}"
        f"INSERT INTO {log} ({b.key}, poolpair_gen) SELECT {b.key}, {stamp} FROM {table} WHERE {where} AND {b.scope}{others};"
    )


def _in_the_way(b: Bound, term: Term) -> str:
    """Whether a row equals NEW in one term of an index."""
    if term.column:
        return f"{quote(term.column)} = {_new(b, term.column)} COLLATE {term.collation}"
    return f"({term.expression}) = {_over_new(b, term.expression)} COLLATE {term.collation}"


def _over_new(b: Bound, expression: str) -> str:
    """An expression of an index, computed over NEW's values under their names."""
    # Only columns that it may name: the application could not drop one of the others while our trigger speaks of it.
    named = [column.name for column in b.info.columns if column.name.lower() in expression.lower()]
    values = ", ".join(f"{_new(b, name)} AS {quote(name)}" for name in named or [b.info.columns[0].name])
    return f"(SELECT {expression} FROM (SELECT {values}))"


def _new(b: Bound, name: str) -> str:
    """What a column will hold: REPLACE puts the default where NULL may not stand, after the triggers that come before have run."""
    column = b.info.column(name)
    if column is None or not (column.not_null and column.default):
        return f"NEW.{quote(name)}"
    # DEFAULT main and DEFAULT "main" are the text, where elsewhere a column would be meant.
    word = column.default[1:-1].replace('""', '"') if column.default.startswith('"') else column.default
    named = column.default.startswith('"') or (word.isidentifier() and word.upper() not in _NO_TEXT)
    return f"coalesce(NEW.{quote(name)}, ({literal(word) if named else column.default}))"


def home_rows(patterns: Iterable[tuple[int, str, str]]) -> Iterator[str]:
    """The statements that fill the homes map; `*` stays a wildcard, other GLOB signs are taken literally."""
    yield f"DELETE FROM {PREFIX}home"
    for rank, pattern, pool in patterns:
        glob = pattern.replace("[", "[[]").replace("?", "[?]")
        yield f"INSERT INTO {PREFIX}home VALUES ({rank}, {literal(pattern)}, {literal(glob)}, {literal(pool)})"
