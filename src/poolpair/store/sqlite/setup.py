"""`init`, `--print-sql` and `uninstall` on SQLite. All idempotent; each is one transaction, and takes no table from under a service."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from poolpair.clock import SystemClock
from poolpair.errors import Code, PoolpairError
from poolpair.model import new_id
from poolpair.store import ledger
from poolpair.store.prepared import (
    SETTINGS,
    UNPAIRED,
    Farewell,
    Installed,
    InstalledSettings,
    Record,
    is_settled,
    refuse_newer,
    settled_with,
)
from poolpair.store.profile import Profile
from poolpair.store.sqlite.binding import Bound, bind, refuse_fatal
from poolpair.store.sqlite.connection import PREFIX, connect, location_of, quote, text, translate
from poolpair.store.sqlite.definitions import known_settings
from poolpair.store.sqlite.documents import read_document, write_document
from poolpair.store.sqlite.fencing import install_triggers, known_pools, wanted_triggers
from poolpair.store.sqlite.install import DOCUMENT_TABLE, HOME_TABLE, follow_tables, home_rows, own_tables, triggers
from poolpair.store.sqlite.lease import SqliteLease
from poolpair.store.sqlite.schema import installed_triggers
from poolpair.store.sqlite.store import IDENTITY
from poolpair.store.sqlite.transaction import SqliteTransaction
from poolpair.store.sqlite.trial import problems_of
from poolpair.store.values import StoreIdentity

MODE_BEFORE = "store/journal-mode"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalMode:
    """The journal mode that `init` found, for `uninstall` to restore."""

    mode: str


def statements(
    path: Path, profile: Profile, homes: Iterable[tuple[int, str, str]], lock_wait_s: float
) -> Iterator[str]:
    """What `install` would run, for a person to read."""
    with _opened(path, lock_wait_s) as c:
        refuse_fatal(problems_of(c, profile))
        bound = bind(c, profile)
        yield "PRAGMA journal_mode = WAL"
        yield from own_tables(bound)
        yield from home_rows(homes)
        for b in bound:
            yield from triggers(b, known_pools(c)).values()


def install(
    path: Path,
    profile: Profile,
    homes: Sequence[tuple[int, str, str]],
    settings: str,
    lock_wait_s: float,
    *,
    lock_path: Path,
    record: Record,
) -> Installed:
    """Prepare the database. Switches it to WAL: a writer that is not us may not wait for locks.

    May run beside a service, to put back what is missing; other homes, another profile or tables of an earlier release may not: raises
    LEASE. NOT_INSTALLED if the tables are of a later release.
    """
    with _opened(path, lock_wait_s) as c, ExitStack() as stack:
        refuse_fatal(problems_of(c, profile))
        bound = bind(c, profile)
        before = text(c.execute("PRAGMA main.journal_mode").fetchone()[0])
        refuse_homeless(c, bound, homes)
        found = known_settings(c)
        refuse_newer(found, str(path))
        if not is_settled(found, settings, profile.digest):
            stack.enter_context(SqliteLease(c, lock_path, SystemClock()).kept_free())
        c.execute("PRAGMA main.journal_mode = WAL")
        c.execute("BEGIN IMMEDIATE")
        c.execute(DOCUMENT_TABLE)
        known = read_document(c, InstalledSettings, SETTINGS)
        if known is not None and known.profile != profile.digest:
            _drop_tables_of_old_profile(c)
        for statement in own_tables(bound):
            c.execute(statement)
        follow_tables(c, bound)
        for statement in home_rows(homes):
            c.execute(statement)
        identity = read_document(c, StoreIdentity, IDENTITY)
        fresh = identity is None
        if identity is None:
            here = location_of(path)
            identity = StoreIdentity(store_id=new_id(), location=here, home_location=here)
            write_document(c, IDENTITY, identity)
            if read_document(c, JournalMode, MODE_BEFORE) is None:  # else the pair before this one noted it
                write_document(c, MODE_BEFORE, JournalMode(mode=before))
        repaired = install_triggers(c, wanted_triggers(c, bound))
        changed = known is not None and (known.settings, known.profile) != (settings, profile.digest)
        if changed:
            _doubt_catalogue(c)
        write_document(c, SETTINGS, settled_with(settings, profile))
        done = Installed(store_id=identity.store_id, fresh=fresh, repaired=() if fresh else repaired, changed=changed)
        record(SqliteTransaction(c, bound), done)
        c.execute("COMMIT")
    return done


def refuse_homeless(c: sqlite3.Connection, bound: tuple[Bound, ...], homes: Sequence[tuple[int, str, str]]) -> None:
    """A table all of whose rows belong to nobody means a wrong home_key or wrong [homes]. Tried out, and taken back."""
    c.execute("BEGIN IMMEDIATE")
    try:
        for statement in (HOME_TABLE, *home_rows(homes)):
            c.execute(statement)
        for b in bound:
            if b.spec.home_is_pool:
                continue
            rows = f"SELECT 1 FROM {b.table} WHERE {b.scope}"  # the first of them will do: writers wait meanwhile
            any_row, any_homed = c.execute(
                f"SELECT EXISTS ({rows}), EXISTS ({rows} AND {b.home} IS NOT NULL)"
            ).fetchone()
            if any_row and not any_homed:
                raise PoolpairError(
                    Code.PROFILE,
                    f"no pattern of [homes] matches any row of {b.spec.name}: home_key or [homes] is wrong",
                )
    finally:
        c.execute("ROLLBACK")


def _doubt_catalogue(c: sqlite3.Connection) -> None:
    """Whose a file is may have changed: the next scan looks at each anew, and the comparison that follows deletes what must go."""
    c.execute("DELETE FROM main.poolpair_file WHERE present = 0 AND deleting = 0")
    c.execute("UPDATE main.poolpair_file SET inode = -1")


def _drop_tables_of_old_profile(c: sqlite3.Connection) -> None:
    """Logs of another profile mean nothing now: a comparison follows. Parked rows are never dropped unseen."""
    if c.execute("SELECT count(*) FROM main.poolpair_parked").fetchone()[0]:
        raise PoolpairError(
            Code.PARKED,
            "groups are parked under the old profile",
            hint="`poolpair parked list`; retry or drop them first",
        )
    spools = f"SELECT name FROM main.sqlite_master WHERE type = 'table' AND name GLOB '{PREFIX}spool_key_*'"
    if any(
        c.execute(f"SELECT 1 FROM main.{text(name)} LIMIT 1").fetchone() for (name,) in c.execute(spools).fetchall()
    ):
        raise PoolpairError(
            Code.PARKED,
            "groups that this pool had written before the partner served are spooled under the old profile",
            hint="let them arrive at the partner first; nothing was changed",
        )
    for name in installed_triggers(c):  # SQLite renames no table while a trigger speaks of one that is gone
        c.execute(f"DROP TRIGGER main.{quote(name)}")
    query = f"SELECT name FROM main.sqlite_master WHERE type = 'table' AND name GLOB '{PREFIX}*_[0-9]*'"
    for name in [text(name) for (name,) in c.execute(query).fetchall()]:
        if name.startswith(f"{PREFIX}kept_row_"):
            c.execute(f"ALTER TABLE main.{quote(name)} RENAME TO {quote(f'{PREFIX}old_{new_id()[:8]}')}")
        else:
            c.execute(f"DROP TABLE main.{quote(name)}")


@contextmanager
def uninstalled(
    path: Path, lock_wait_s: float, *, lock_path: Path, keep_wal: bool = False
) -> Iterator[tuple[str, ...]]:
    """Remove everything of poolpair's from the database; yields what was removed. Needs no partner and no profile.

    Until the context ends no service can begin: time to clear what lies outside. Raises LEASE if one works, STORE_LOCKED if the
    journal mode cannot be put back because somebody has the database open; either before anything was changed.
    """
    with _opened(path, lock_wait_s) as c, SqliteLease(c, lock_path, SystemClock()).kept_free():
        query = f"SELECT type, name FROM main.sqlite_master WHERE name GLOB '{PREFIX}*' AND type IN ('trigger', 'table') ORDER BY type DESC"
        found = [(text(kind), text(name)) for kind, name in c.execute(query).fetchall()]
        mode = None
        if ("table", f"{PREFIX}document") in found:
            mode = read_document(c, JournalMode, MODE_BEFORE)
        if mode is not None and mode.mode in {"delete", "truncate", "persist"} and not keep_wal:
            _restore_mode(c, path, mode.mode)
        c.execute("BEGIN IMMEDIATE")
        for kind, name in found:
            c.execute(f"DROP {kind.upper()} main.{quote(name)}")
        c.execute("COMMIT")
        yield tuple(name for _, name in found)


def unpaired(
    path: Path, profile: Profile, pool: str, lock_wait_s: float, *, lock_path: Path, farewell: Farewell
) -> tuple[str, ...]:
    """Take the pair out of the database: triggers and all tables but the ledger and rows kept aside. Raises LEASE if a service works."""
    with _opened(path, lock_wait_s) as c, SqliteLease(c, lock_path, SystemClock()).kept_free():
        bound = bind(c, profile)
        c.execute("BEGIN IMMEDIATE")
        word = farewell(SqliteTransaction(c, bound))
        query = f"SELECT type, name FROM main.sqlite_master WHERE name GLOB '{PREFIX}*' AND type IN ('trigger', 'table') ORDER BY type DESC"
        gone = [(text(kind), text(name)) for kind, name in c.execute(query).fetchall() if not _stays(text(name))]
        for kind, name in gone:
            c.execute(f"DROP {kind.upper()} main.{quote(name)}")
        c.execute(f"UPDATE OR REPLACE main.{ledger.TABLE} SET home = ?", (pool,))
        c.execute("DELETE FROM main.poolpair_document WHERE name <> ?", (MODE_BEFORE,))
        write_document(c, UNPAIRED, word)
        c.execute("COMMIT")
    return tuple(name for _, name in gone)


def _stays(name: str) -> bool:
    """What outlives a pair."""
    kept = (f"{PREFIX}kept_row_", f"{PREFIX}old_")
    return name in {ledger.TABLE, f"{PREFIX}document"} or name.startswith(kept)


def _restore_mode(c: sqlite3.Connection, path: Path, mode: str) -> None:
    """First of all: afterwards nobody would know the mode any more."""
    try:
        c.execute(f"PRAGMA main.journal_mode = {mode}")
    except sqlite3.OperationalError as error:
        raise PoolpairError(
            Code.STORE_LOCKED,
            f"{path} is open in another process, so its journal mode cannot be put back; nothing was removed",
            hint="stop the application for a moment, or leave the database in WAL mode with --keep-wal",
        ) from error


@contextmanager
def _opened(path: Path, lock_wait_s: float) -> Iterator[sqlite3.Connection]:
    c = connect(path, lock_wait_s)
    try:
        yield c
    except sqlite3.Error as error:
        raise translate(error, path) from error
    finally:
        c.close()
