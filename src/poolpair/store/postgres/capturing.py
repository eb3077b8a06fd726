"""Whether capture is whole: every trigger is there as `init` made it and was left alone since, and no change went by unseen.

A trigger that was disabled and enabled again looks as before, but its row in the catalogue was written by another transaction;
`init` notes which one wrote it. Only if the catalogue rows of tracked tables changed is anything compared at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import SCHEMA, Database, literal
from poolpair.store.postgres.fencing import SIGNATURES
from poolpair.store.postgres.install import triggers

CAPTURE = "store/capture"

_INSTALLED = """
SELECT t.tgrelid::bigint, t.tgname::text, t.tgenabled::text, t.xmin::text,
       md5(pg_get_triggerdef(t.oid) || p.prosrc || p.prosecdef::text || coalesce(p.proconfig::text, '') || p.proowner::regrole::text)
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = $1 AND NOT t.tgisinternal
"""
_VERSION = """
SELECT md5(coalesce(string_agg(part, ',' ORDER BY part), '')), (
  SELECT coalesce(string_agg(p.oid || ':' || p.xmin, ',' ORDER BY p.oid), '') FROM pg_proc p WHERE p.oid = ANY (ARRAY[{fence}]::oid[])
) FROM (
  SELECT 'a' || attrelid || ':' || attnum || ':' || xmin FROM pg_attribute WHERE attrelid = ANY({oids}) AND attnum > 0
  UNION ALL SELECT 't' || oid || ':' || xmin FROM pg_trigger WHERE tgrelid = ANY({oids})
  UNION ALL SELECT 'i' || inhrelid || ':' || xmin FROM pg_inherits WHERE inhparent = ANY({oids})
  UNION ALL SELECT 'x' || indexrelid || ':' || xmin FROM pg_index WHERE indrelid = ANY({oids})
  UNION ALL SELECT 'c' || oid || ':' || relname || ':' || relnamespace || ':' || relrowsecurity || relforcerowsecurity
    || relpersistence::text FROM pg_class WHERE oid = ANY({oids})
  UNION ALL SELECT 'e' || e.oid || ':' || e.xmin FROM pg_enum e WHERE e.enumtypid = ANY ({enums})
  UNION ALL SELECT 'r' || oid || ':' || xmin FROM pg_rewrite WHERE ev_class = ANY({oids})
  UNION ALL SELECT 'p' || p.oid || ':' || p.xmin FROM pg_proc p WHERE p.oid IN (
    SELECT tgfoid FROM pg_trigger WHERE tgrelid = ANY({oids}))
  UNION ALL SELECT 'h' || poolpair_rank || ':' || poolpair_like || ':' || poolpair_pool FROM poolpair.home
  UNION ALL SELECT 'd' || tbl || ':' || reason FROM poolpair.doubt
) parts(part)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureState:
    """How `init` left each trigger: "schema.table trigger" -> (what made it, how it reads, who wrote its catalogue row)."""

    triggers: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    """Of each trigger the profile's entry for its table."""


def version(database: Database, bound: tuple[Bound, ...]) -> tuple[str, str]:
    """Texts that change whenever the catalogue rows of tracked tables and their triggers do, and whenever those of the fence do."""
    return version_of(database.rows(version_statement(database, bound)))


def version_of(rows: list[tuple[object, ...]]) -> tuple[str, str]:
    """The server's answer to `version`."""
    return str(rows[0][0]), str(rows[0][1])


def version_statement(database: Database, bound: tuple[Bound, ...]) -> str:
    """What asks for `version`; it may stand between other statements."""
    oids = {place.oid for b in bound for place in (b.on.place, *b.on.partitions)}
    enums = {column.enum_oid for b in bound for column in b.on.types.values() if column.enum_oid}
    fence = ", ".join(f"to_regprocedure({literal(signature)})" for signature in SIGNATURES)
    asked = _VERSION.replace("{oids}", _array(oids)).replace("{enums}", _array(enums)).replace("{fence}", fence)
    return database.plans.execute("poolpair_version", asked)


def _array(oids: Iterable[int]) -> str:
    return "'{" + ",".join(map(str, sorted(oids))) + "}'::oid[]"


def installed(database: Database) -> dict[tuple[int, str], tuple[str, str, str]]:
    """Our triggers by table and name: whether they fire, who wrote the catalogue row, how they read."""
    return {(oid, name): (enabled, xmin, text) for oid, name, enabled, xmin, text in database.rows(_INSTALLED, SCHEMA)}


def whole(database: Database, bound: tuple[Bound, ...], made: dict[str, str], known: CaptureState) -> dict[str, str]:
    """What is wrong, by "schema.table trigger"; `made` says how each should be made."""
    have, wrong = installed(database), {}
    for trigger in triggers(bound):
        called = trigger.called
        enabled, xmin, text = have.get((trigger.place.oid, trigger.name), ("", "", ""))
        noted = known.triggers.get(called)
        if not enabled:
            wrong[called] = "missing"
        elif enabled not in {"O", "A"}:
            wrong[called] = "disabled"
        elif noted is None or noted[0] != made[called] or noted[1] != text:
            wrong[called] = "altered"
        elif noted[2] != xmin:
            wrong[called] = "altered, or disabled for a while"
    bound_numbers = {b.n for b in bound}
    # With a table that was dropped nothing of it can be missed; when it is there again its triggers will be missing.
    gone = {
        called
        for called in known.triggers
        if called not in made and known.entries.get(called, 0) in {0, *bound_numbers}
    }
    return wrong | dict.fromkeys(gone, "its table is no part any more")


def check(database: Database, bound: tuple[Bound, ...], made: dict[str, str], known: CaptureState) -> None:
    """Raise CAPTURE_BROKEN if changes may have gone unseen."""
    wrong = whole(database, bound, made, known)
    if wrong:
        said = ", ".join(f"{called} ({how})" for called, how in sorted(wrong.items()))
        raise PoolpairError(Code.CAPTURE_BROKEN, f"capture triggers are missing or altered: {said}")
    doubts = database.rows(f"SELECT DISTINCT tbl, reason FROM {SCHEMA}.doubt ORDER BY 1")
    if doubts:
        raise PoolpairError(Code.CAPTURE_BROKEN, "; ".join(f"{table}: {reason}" for table, reason in doubts))


FILES_OF = (
    "SELECT array_agg(pg_relation_filenode(oid) ORDER BY oid)::text FROM pg_class WHERE oid = ANY($1::bigint[]::oid[])"
)


def files_of(database: Database, bound: tuple[Bound, ...]) -> str:
    """A text that is another one after a table was written anew, or emptied, as a whole: it is empty to every older view then."""
    row = database.row(FILES_OF, [place.oid for b in bound for place in (b.on.place, *b.on.partitions)])
    return str(row[0]) if row else ""
