"""The ledger on PostgreSQL: groups compared and put there in one statement, listed, and decided on.

A version of a group is JSON text: an array of rows, each an object of its columns in alphabetical order, every value as it is written
(`column::text`) or null. So the same rows have the same text at both pools, and go back into a table by a cast. Which rows a group has
is compared, not in which order they lie: that is another one at each site.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import psycopg

from poolpair.errors import Code, PoolpairError
from poolpair.store.ledger import COLUMNS, entry_of, row_of
from poolpair.store.postgres.binding import LEDGER_PLACE
from poolpair.store.postgres.bound import Bound, listed
from poolpair.store.postgres.database import Database, quote
from poolpair.store.postgres.fencing import begin_deciding
from poolpair.store.postgres.refusals import is_refusal, reason_of
from poolpair.store.postgres.skipping import without_triggers
from poolpair.store.values import Choice, LedgerEntry, LedgerNote, RecoverPlan

UNDECIDED = ", ".join(f"'{choice}'" for choice in Choice if not choice.is_decided)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """Groups as another pool had them: two queries, without parameters."""

    keys: str
    """Gives poolpair_place, a number for each group, and the key columns."""
    rows: str
    """Gives the travelling columns and poolpair_place, which orders the rows."""


def as_json(names: Iterable[str], alias: str) -> str:
    """A row, or a key, of `alias` as JSON text."""
    texts = ", ".join(f"{alias}.{quote(name)}::text AS {quote(name)}" for name in sorted(names))
    return f"(SELECT to_json(poolpair_row)::text FROM (SELECT {texts}) poolpair_row)"


def differing(b: Bound, theirs: Theirs) -> str:
    """The query for groups that are not what stands here: poolpair_place, the key columns, and both versions."""

    def versions(source: str, order: str, alias: str, condition: str) -> str:
        row = as_json(b.columns, alias)
        return (
            f"SELECT n.poolpair_place, string_agg(w.text, ',' {order}) AS texts, array_agg(w.text ORDER BY w.text) AS written"
            f" FROM n JOIN {source} {alias} ON {b.same_key(alias, 'n')}"
            f' CROSS JOIN LATERAL (SELECT {row} COLLATE "C" AS text) w WHERE {condition} GROUP BY 1'
        )

    brought = versions(f"({theirs.rows})", "ORDER BY r.poolpair_place", "r", "true")
    return (
        f"WITH n AS MATERIALIZED ({theirs.keys}), brought AS ({brought}), here AS ({versions(b.table, b.order, 't', b.scoped('t'))})"
        f" SELECT n.poolpair_place, {listed(b.spec.key, 'n', named=True)},"
        " '[' || coalesce(brought.texts, '') || ']' AS poolpair_theirs, '[' || coalesce(here.texts, '') || ']' AS poolpair_ours"
        " FROM n LEFT JOIN brought USING (poolpair_place) LEFT JOIN here USING (poolpair_place)"
        " WHERE brought.written IS DISTINCT FROM here.written"
    )


def put_differing(database: Database, b: Bound, ledger: Bound, theirs: Theirs, note: LedgerNote) -> int:
    """Put groups that are not what stands here into the ledger; returns how many. An entry that is there stays, decided or not.

    Every entry is logged, the old ones too.
    """
    said = [note.reign_id, b.spec.channel.value, b.spec.name]
    head = "\0".join(said).encode() + b"\0"
    key = as_json(b.spec.key, "d")
    entry_id = "left(encode(sha256($1::bytea || convert_to(tkey, 'UTF8') || '\\x00'::bytea || convert_to(theirs, 'UTF8')), 'hex'), 32)"
    return database.changed(
        f"WITH d AS ({differing(b, theirs)}),"
        f" found AS (SELECT poolpair_place, {b.home} AS home, '[' || {key} || ']' AS tkey, poolpair_theirs AS theirs,"
        f" poolpair_ours AS ours FROM d),"
        f" entry AS MATERIALIZED (SELECT *, {entry_id} AS entry_id FROM found WHERE home IS NOT NULL),"
        f" made AS (INSERT INTO {ledger.table} ({ledger.column_list})"
        f" SELECT home, entry_id, $2, $3, tkey, $4, $5, theirs, ours, '{note.state}', $6, '' FROM entry ORDER BY poolpair_place"
        " ON CONFLICT DO NOTHING)"
        f" INSERT INTO {ledger.log} ({ledger.key}) SELECT home, entry_id FROM entry",
        head,
        b.spec.channel.value,
        b.spec.name,
        note.why,
        note.reign_id,
        note.now_utc,
    )


def unite(database: Database, ledger: Bound, rows: str) -> None:
    """Take in entries that the other ledger had: those that are unknown here, and those that only there somebody decided on.

    `rows` is a query as in `Theirs`.
    """
    fresh = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS)
    database.run(
        f"INSERT INTO {ledger.table} AS t ({ledger.column_list})"
        f" SELECT {ledger.column_list} FROM ({rows}) r ORDER BY poolpair_place"
        f" ON CONFLICT ({ledger.key}) DO UPDATE SET {fresh}"
        f" WHERE t.state IN ({UNDECIDED}) AND excluded.state NOT IN ({UNDECIDED})"
    )


def note_returned(database: Database, b: Bound, ledger: Bound, groups: str, plan: RecoverPlan) -> None:
    """What was standing for these groups of a table is handed in now. `groups` is a relation with the key columns."""
    database.run(
        f"UPDATE {ledger.table} SET state = '{Choice.RETURNED}', decided_utc = $1"
        f" WHERE state = '{Choice.STANDING}' AND home = $2 AND channel = $3 AND tbl = $4"
        f" AND tkey IN (SELECT '[' || {as_json(b.spec.key, 'f')} || ']' FROM {groups} f)",
        plan.note.now_utc,
        plan.home,
        plan.channel.value,
        b.spec.name,
    )


def list_ledger(database: Database, ledger: Bound) -> tuple[LedgerEntry, ...]:
    """Every entry, oldest first."""
    found = database.rows(f"SELECT {ledger.column_list} FROM {ledger.table} ORDER BY {LEDGER_PLACE}")
    return tuple(map(entry_of, found))


def ledger_of(bound: Iterable[Bound]) -> Bound:
    """The ledger among bound tables."""
    return next(b for b in bound if b.spec.home_is_pool)


def resolve(
    database: Database, bound: tuple[Bound, ...], entry: LedgerEntry, choice: Choice, now_utc: str, *, force: bool
) -> LedgerEntry:
    """Let the chosen version stand. Raises LEDGER_MOVED if the rows are no longer what the entry says of them."""
    begin_deciding(database)
    replaced = _let_stand(database, bound, entry, force=force) if choice is Choice.THEIRS else entry.ours
    if (
        choice is not Choice.THEIRS and entry.state is Choice.STANDING
    ):  # else it would be merged over when it is handed in
        b, key = _find_group(database, bound, entry)
        _log(database, b, key, entry)
    decided = replace(entry, state=choice, decided_utc=now_utc, ours=replaced)
    decide(database, ledger_of(bound), decided)
    return decided


def enter(database: Database, ledger: Bound, entry: LedgerEntry) -> None:
    """Put an entry into the ledger; one that is there already stays, decided or not."""
    begin_deciding(database)
    _insert(database, ledger, entry, "NOTHING")


def decide(database: Database, ledger: Bound, entry: LedgerEntry) -> None:
    """Let an entry be this one."""
    begin_deciding(database)
    _insert(database, ledger, entry, "UPDATE SET " + ", ".join(f"{column} = excluded.{column}" for column in COLUMNS))


def _insert(database: Database, ledger: Bound, entry: LedgerEntry, otherwise: str) -> None:
    marks = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))
    database.run(
        f"INSERT INTO {ledger.table} ({ledger.column_list}) VALUES ({marks}) ON CONFLICT ({ledger.key}) DO {otherwise}",
        *row_of(entry),
    )


def _let_stand(database: Database, bound: tuple[Bound, ...], entry: LedgerEntry, *, force: bool) -> str:
    """Write what the returned pool had; returns what stood here."""
    b, key = _find_group(database, bound, entry)
    same = f"JOIN ({key}) k ON {b.same_key('t', 'k')} WHERE {b.scoped('t')}"
    row = database.row(
        f"SELECT '[' || coalesce(string_agg({as_json(b.columns, 't')}, ',' {b.order}), '') || ']' FROM {b.table} t {same}",
        entry.key,
    )
    assert row is not None
    here, is_theirs = str(row[0]), _as_set(row[0]) == _as_set(entry.theirs)
    if not (is_theirs or force or _as_set(here) == _as_set(entry.ours)):
        raise PoolpairError(Code.LEDGER_MOVED, f"a group of {entry.table} was written again since")
    try:
        database.run("SET CONSTRAINTS ALL IMMEDIATE")
        with without_triggers(database, b):
            _replace(database, b, key, entry)
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
        detail = f"table {entry.table} refuses the rows of the entry: {reason_of(error)}"
        raise PoolpairError(Code.PARKED, detail) from error
    _log(database, b, key, entry)
    return entry.ours if is_theirs else here


def _log(database: Database, b: Bound, key: str, entry: LedgerEntry) -> None:
    database.run(f"INSERT INTO {b.log} ({b.key}) SELECT {b.key} FROM ({key}) k", entry.key)


def _find_group(database: Database, bound: tuple[Bound, ...], entry: LedgerEntry) -> tuple[Bound, str]:
    """The table that carries the group, and the query for its key, whose parameter is the entry's key."""
    named = set(_columns(entry.key))
    for b in bound:
        if b.spec.name == entry.table and b.spec.channel is entry.channel and set(b.spec.key) == named:
            key = f"SELECT {_read(b, b.spec.key)} FROM json_array_elements($1::json) poolpair_json"
            if database.row(f"SELECT {b.scope} FROM ({key}) k", entry.key) == (True,):
                return b, key
    raise PoolpairError(Code.SCHEMA, f"table {entry.table} is not carried any more as it was when the entry was made")


def _replace(database: Database, b: Bound, key: str, entry: LedgerEntry) -> None:
    columns = _columns(entry.theirs)
    if strange := sorted(set(columns) - set(b.columns)):
        raise PoolpairError(Code.SCHEMA, f"table {entry.table} has no column {', '.join(strange)} any more")
    if not columns or b.conflict is None:
        database.run(
            f"DELETE FROM {b.table} t USING ({key}) k WHERE {b.same_key('t', 'k')} AND {b.scoped('t')}", entry.key
        )
    if not columns:
        return
    fresh = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in columns)
    on_conflict = f"ON CONFLICT ({listed(b.conflict)}) DO UPDATE SET {fresh}" if b.conflict else ""
    database.run(
        f"INSERT INTO {b.table} ({listed(columns)}) SELECT {_read(b, columns)}"
        f" FROM json_array_elements($1::json) WITH ORDINALITY AS x(poolpair_json, poolpair_place) ORDER BY x.poolpair_place {on_conflict}",
        entry.theirs,
    )


def _read(b: Bound, names: Sequence[str]) -> str:
    """Columns out of the JSON of a row."""
    return ", ".join(f"(poolpair_json ->> {_name(name)})::{b.type_of(name).base} AS {quote(name)}" for name in names)


def _name(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _columns(rows: str) -> list[str]:
    """The columns that JSON rows have."""
    return sorted({name for row in json.loads(rows) for name in row})


def _as_set(rows: str) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in json.loads(rows))
