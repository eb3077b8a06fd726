"""The fence on SQLite: rows of `poolpair_fence` name the homes whose writes the triggers refuse, and who serves each.

One writer at a time makes it exact: whoever writes after the fence was committed meets it. The triggers must hold the names of the pools,
since SQLite raises only texts that are written out; a name that is new makes them anew, which happens twice in the life of a store.
The way out when everything else is gone is one statement: `DELETE FROM poolpair_fence`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import quote, text
from poolpair.store.sqlite.install import triggers
from poolpair.store.sqlite.marking import mark_stays
from poolpair.store.sqlite.schema import installed_triggers


def known_pools(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Pools that the triggers can name."""
    if not connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'poolpair_pool'").fetchone():
        return ()
    return tuple(text(name) for (name,) in connection.execute("SELECT name FROM main.poolpair_pool ORDER BY name"))


def wanted_triggers(connection: sqlite3.Connection, bound: Iterable[Bound]) -> dict[str, str]:
    """Every trigger as it should be now."""
    pools = known_pools(connection)
    return {name: sql for b in bound for name, sql in triggers(b, pools).items()}


def install_triggers(connection: sqlite3.Connection, wanted: dict[str, str]) -> tuple[str, ...]:
    """Put right what is missing or altered; returns the names."""
    have = installed_triggers(connection)
    for name, sql in have.items():
        if wanted.get(name) != sql:
            connection.execute(f"DROP TRIGGER main.{quote(name)}")
    changed = tuple(name for name, sql in wanted.items() if have.get(name) != sql)
    for name in changed:
        connection.execute(wanted[name])
    return changed


@contextmanager
def deciding(connection: sqlite3.Connection) -> Iterator[None]:
    """What is written in here is decided by this pool itself: captured like any other write, but not refused. In a transaction."""
    rows = connection.execute("SELECT poolpair_home, poolpair_serving FROM main.poolpair_fence").fetchall()
    connection.execute("DELETE FROM main.poolpair_fence")
    yield
    fence = [(text(home), text(serving)) for home, serving in rows]
    connection.executemany("INSERT INTO main.poolpair_fence VALUES (?, ?)", fence)


def set_fence(connection: sqlite3.Connection, bound: tuple[Bound, ...], refused: Mapping[str, str]) -> None:
    """Refuse writes of these homes, and of no others."""
    if new := sorted(set(refused.values()) - set(known_pools(connection))):
        whole = installed_triggers(connection) == wanted_triggers(connection, bound)
        connection.executemany("INSERT INTO main.poolpair_pool (name) VALUES (?)", ((name,) for name in new))
        # What was missing is put back now, and what was written while it was away is to be looked for.
        with mark_stays(connection, (b.spec.name for b in bound)) if whole else nullcontext():
            install_triggers(connection, wanted_triggers(connection, bound))
    connection.execute("DELETE FROM main.poolpair_fence")
    connection.executemany("INSERT INTO main.poolpair_fence VALUES (?, ?)", sorted(refused.items()))
