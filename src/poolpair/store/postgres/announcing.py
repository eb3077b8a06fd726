"""After an import every process that listens learns what changed: NOTIFY, with the commit that brings the rows.

An application, or whatever keeps rows in its memory, says `LISTEN poolpair` on the pool's database and gets a JSON document: the pools
whose users it concerns, the package, and of each table the keys of the groups that were written or deleted; null where these are more
than fit, and the whole table is to be read anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from poolpair.store.postgres.applying import TableApply
from poolpair.store.postgres.bound import Bound, listed
from poolpair.store.postgres.database import literal
from poolpair.store.values import ApplyPlan, RecoverPlan

NOTIFIED: Final = "poolpair"
"""The channel on which a database's processes listen."""
PAYLOAD_MAX_BYTES: Final = 7900
"""The server takes 8000 at most, and refuses the whole transaction otherwise."""
KEYS_MAX: Final = 100
"""Of one table; beyond, the whole table is meant."""
TABLES_MAX: Final = 50
"""Of more only the names are told: a function of the server's takes a hundred arguments."""
ROOM: Final = "pg_notification_queue_usage() < 0.5"
"""Somebody who listens and stands still fills the server's queue, and a full one refuses commits: from here on nothing is said."""


def imported(plan: ApplyPlan, tables: Iterable[TableApply], filled: Iterable[Bound]) -> str:
    """The statement that tells what a package changed; empty if it changed no rows."""
    found = [(table.bound.spec.name, _keys(table)) for table in tables if table.groups]
    found += [(bound.spec.name, None) for bound in filled]
    names = Counter(name for name, _ in found)  # one table may stand in the profile twice, for two kinds of its rows
    keys = {name: keys if names[name] == 1 else None for name, keys in found}
    return _telling({"channel": plan.channel.value, "pools": list(plan.served), "package": plan.package_id}, keys)


def reclaimed(plan: RecoverPlan, tables: Iterable[Bound]) -> str:
    """The same for what a returned pool brought back: nobody says which groups."""
    said: dict[str, object] = {"channel": plan.channel.value, "pools": [plan.home], "package": None}
    return "" if plan.lists else _telling(said, {b.spec.name: None for b in tables})


def _keys(table: TableApply) -> str | None:
    """An expression for the keys of what a table was named, as a JSON list of lists; None if these are too many."""
    if table.groups > KEYS_MAX:
        return None
    key = listed(table.bound.spec.key)
    rows = " UNION ".join(f"SELECT {key} FROM {relation}" for relation in table.named_in)
    return f"(SELECT json_agg(json_build_array({key})) FROM ({rows}) changed)"


def _telling(said: dict[str, object], keys: Mapping[str, str | None]) -> str:
    if not keys:
        return ""
    short = json.dumps(said | {"tables": dict.fromkeys(keys)})
    if len(short.encode()) > PAYLOAD_MAX_BYTES:
        short = json.dumps(said | {"tables": None})
    pairs = ", ".join(f"{literal(name)}, {found or 'NULL::json'}" for name, found in keys.items())
    if len(keys) > TABLES_MAX:
        return f"SELECT pg_notify({literal(NOTIFIED)}, {literal(short)}) WHERE {ROOM}"
    whole = f"({literal(json.dumps(said))}::jsonb || jsonb_build_object('tables', json_build_object({pairs})))::text"
    return (
        f"SELECT pg_notify({literal(NOTIFIED)},"
        f" CASE WHEN octet_length(whole) <= {PAYLOAD_MAX_BYTES} THEN whole ELSE {literal(short)} END)"
        f" FROM (SELECT {whole} AS whole) said WHERE {ROOM}"
    )
