"""The fence: the database itself refuses what an application writes for users whom another pool serves.

The triggers of capture ask `poolpair.refused`, a generated function, in the very statement that logs. It reads no table, so it decides
from no snapshot: another fence is another function, made while no writer of a tracked table is left, and whoever writes later,
in an old view of the data or with a plan made long ago, asks the new one. Planning puts its one expression, like that of
`poolpair.home_of`, into the log's own query. What an apply brings is not asked about, nor what this pool itself decides.

The way out when nothing of poolpair's runs any more stands in the function's own comment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import psycopg

from poolpair.errors import Code, PoolpairError
from poolpair.homes import SHARED
from poolpair.store.postgres.bound import SCOPE_OF_ALL, Bound
from poolpair.store.postgres.database import SCHEMA, Database, literal, quote

FENCE = "store/fence"
REFUSED = f"{SCHEMA}.refused"
HOME_OF = f"{SCHEMA}.home_of"
SHARED_HOME = f"{SCHEMA}.shared_home"
REFUSE = f"{SCHEMA}.refuse"
DECIDING = f"{SCHEMA}.deciding"
"""Names the transaction in which this pool writes what it has decided itself: captured, and never refused."""
SQLSTATE = "PP001"
WAY_OUT = f"""CREATE OR REPLACE FUNCTION {REFUSED}(text) RETURNS text
LANGUAGE sql IMMUTABLE AS 'SELECT NULL::text';"""
"""Two lines for psql: everything may be written here again. Nobody else hears of it, and status says that the fence was altered."""
_PURE = "RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS"
_REFUSE = f"""
CREATE OR REPLACE FUNCTION {REFUSE}(text, boolean) RETURNS boolean LANGUAGE plpgsql AS $poolpair$
DECLARE poolpair_home text := CASE WHEN $2 THEN {HOME_OF}($1) ELSE $1 END;
BEGIN
  IF current_setting('{DECIDING}', true) = pg_current_xact_id_if_assigned()::text THEN RETURN true; END IF;
  RAISE EXCEPTION USING ERRCODE = '{SQLSTATE}', MESSAGE = format(
    'the users of pool %s are served by pool %s now; written here it would be lost (poolpair)', poolpair_home, {REFUSED}(poolpair_home));
END $poolpair$"""
_FUNCTIONS = (REFUSED, HOME_OF, SHARED_HOME, REFUSE)
SIGNATURES = (f"{REFUSED}(text)", f"{HOME_OF}(text)", f"{SHARED_HOME}()", f"{REFUSE}(text, boolean)")
_MADE = """
SELECT n.nspname || '.' || p.proname, md5(p.prosrc || p.provolatile::text || p.prosecdef::text || p.prolang::text || p.proowner::text
       || p.proisstrict::text || coalesce(p.proconfig::text, ''))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = $1 AND n.nspname || '.' || p.proname = ANY ($2::text[]) AND p.proargtypes::text IN ('', '25', '25 16') ORDER BY 1
"""
_TRIED = {"55P03", "40P01"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceState:
    """Which homes are refused and who serves each; and how every function reads, by its name."""

    refused: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)


def home_of(b: Bound) -> str:
    """The home pool of a row as the triggers ask for it, over the key columns."""
    if b.spec.home_is_pool:
        return quote(b.spec.key[0])
    return f"{SHARED_HOME}()" if b.spec.shared else f"{HOME_OF}(({b.spec.home_key})::text)"


def admitted(b: Bound, but_for: str = "") -> str:
    """The condition for rows that are logged; a row that may not be written here raises. `but_for` more conditions first."""
    home = home_of(b)
    has_key = not (b.spec.home_is_pool or b.spec.shared)
    named = (
        f"({b.spec.home_key})::text, true" if has_key else f"{home}, false"
    )  # short: it is made ready for each statement
    asked = f"WHEN {REFUSED}({home}) IS NOT NULL THEN {REFUSE}({named}) ELSE true END"
    conditions = [each for each in (b.scope, but_for) if each and each != SCOPE_OF_ALL]
    return (
        f"CASE WHEN NOT coalesce({' AND '.join(conditions)}, false) THEN false {asked}"
        if conditions
        else f"CASE {asked}"
    )


def functions(homes: Iterable[tuple[int, str, str]], refused: Mapping[str, str]) -> Iterator[str]:
    """The statements that make the functions which the triggers ask."""
    ranked = sorted(homes)
    shared = next((literal(pool) for _, pattern, pool in ranked if pattern == SHARED), "NULL")
    cases = [
        f"WHEN {fits} THEN {literal(pool)}" for fits, pool in _cases([each for each in ranked if each[1] != SHARED])
    ]
    body = f"CASE {' '.join(cases)} END" if cases else "NULL"
    yield _refused_function(refused)
    yield f"CREATE OR REPLACE FUNCTION {HOME_OF}(text) {_PURE} {literal(f'SELECT ({body})::text')}"
    yield f"CREATE OR REPLACE FUNCTION {SHARED_HOME}() {_PURE} {literal(f'SELECT {shared}::text')}"
    yield _REFUSE
    for called in SIGNATURES:
        yield f"REVOKE ALL ON FUNCTION {called} FROM PUBLIC"
    said = "Homes that poolpair refuses here, and the pool that serves each. To let everything be written, run in psql:"
    yield f"COMMENT ON FUNCTION {REFUSED}(text) IS {literal(f'{said}{chr(10)}{WAY_OUT}')}"


def _cases(ranked: Iterable[tuple[int, str, str]]) -> Iterator[tuple[str, str]]:
    """Conditions and pools in the order in which they decide: patterns in a row that mean one pool are one condition."""
    exact: dict[str, list[str]] = {}
    wild: list[tuple[str, list[str]]] = []
    for _, pattern, pool in ranked:
        if "*" not in pattern:  # a text is only one of them, so their order means nothing
            exact.setdefault(pool, []).append(pattern)
        elif wild and wild[-1][0] == pool:
            wild[-1][1].append(like(pattern))
        else:
            wild.append((pool, [like(pattern)]))
    for operator, runs in (("=", exact.items()), ("LIKE", wild)):
        for pool, texts in runs:
            listed = ", ".join(map(literal, texts))
            yield f'$1 COLLATE "C" {operator} ANY (ARRAY[{listed}]::text[])', pool


def like(pattern: str) -> str:
    """A pattern of the homes map as LIKE reads it; `*` is the only wildcard."""
    return pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")


def _refused_function(refused: Mapping[str, str]) -> str:
    cases = " ".join(f"WHEN {literal(home)} THEN {literal(server)}" for home, server in sorted(refused.items()))
    body = f"CASE $1 {cases} END" if cases else "NULL"
    return f"CREATE OR REPLACE FUNCTION {REFUSED}(text) {_PURE} {literal(f'SELECT ({body})::text')}"


def set_fence(database: Database, state: FenceState, refused: Mapping[str, str]) -> FenceState | None:
    """Refuse these homes and no others; None if that is so already. No writer of tracked tables may be under way."""
    if state.refused == dict(refused) and not _altered(state, _made(database)):
        return None
    database.run(_refused_function(refused))
    made = _made(database)
    return FenceState(refused=dict(refused), made=state.made | {REFUSED: made[REFUSED]})


def install(
    database: Database, homes: Iterable[tuple[int, str, str]], state: FenceState
) -> tuple[FenceState, tuple[str, ...]]:
    """Make every function anew with the fence that stands; returns also what somebody had altered."""
    altered = _altered(state, _made(database)) if state.made else ()
    for statement in functions(homes, state.refused):
        database.run(statement)
    return replace(state, made=_made(database)), altered


def check(database: Database, state: FenceState) -> None:
    """Raise CAPTURE_BROKEN if somebody took the fence away or altered it."""
    altered = _altered(state, _made(database))
    if altered:
        detail = f"the fence was altered or taken away: {', '.join(altered)}"
        raise PoolpairError(Code.CAPTURE_BROKEN, detail, hint="`poolpair init` puts it back as it was")


def _made(database: Database) -> dict[str, str]:
    return {str(name): str(digest) for name, digest in database.rows(_MADE, SCHEMA, list(_FUNCTIONS))}


def _altered(state: FenceState, made: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in _FUNCTIONS if name not in made or state.made.get(name) != made[name])


def lock_writers(database: Database, bound: Iterable[Bound]) -> None:
    """Wait until no transaction is left that writes a tracked table, and keep others from beginning to until this one ends.

    The first try is shorter than the server's deadlock timeout: a writer that needs two tables and meets this between them goes on, and
    the second try waits its turn. Raises what the driver says when a writer stays.
    """
    tables = ", ".join(dict.fromkeys(b.table for b in bound if not b.spec.home_is_pool))
    if not tables:
        return
    row = database.row("SELECT setting::int, (SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout')"
                       " FROM pg_settings WHERE name = 'lock_timeout'")  # fmt: skip
    assert row is not None
    wait_ms, first_ms = int(row[0]), max(1, int(row[1]) // 2)
    locked = first_ms < wait_ms and _lock(database, tables, first_ms, last=False)
    if not locked:
        _lock(database, tables, wait_ms, last=True)
    database.run(f"SET LOCAL lock_timeout = {wait_ms}")


def _lock(database: Database, tables: str, wait_ms: int, *, last: bool) -> bool:
    database.run("SAVEPOINT poolpair_fence")
    try:
        database.run(f"SET LOCAL lock_timeout = {wait_ms}")
        database.run(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
    except psycopg.Error as error:
        if last or error.sqlstate not in _TRIED:
            raise
        database.run("ROLLBACK TO SAVEPOINT poolpair_fence")
        database.run("RELEASE SAVEPOINT poolpair_fence")
        return False
    database.run("RELEASE SAVEPOINT poolpair_fence")
    return True


def begin_deciding(database: Database) -> None:
    """What this transaction writes is decided by this pool itself: captured like any other write, but not refused."""
    database.run("SELECT set_config($1, pg_current_xact_id()::text, true)", DECIDING)
