"""`init` and `--print-sql` on PostgreSQL. Both idempotent; `init` is one transaction, and takes nothing from under a service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

from poolpair.clock import SystemClock
from poolpair.errors import Code, PoolpairError
from poolpair.model import new_id
from poolpair.store.postgres import capturing, fencing
from poolpair.store.postgres.binding import bind
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.capturing import CAPTURE, CaptureState
from poolpair.store.postgres.catalogue import FILE
from poolpair.store.postgres.clearing import opened, ours, running, without_use
from poolpair.store.postgres.database import SCHEMA, Database, quote
from poolpair.store.postgres.documents import read_document, write_document
from poolpair.store.postgres.fencing import FENCE, FenceState
from poolpair.store.postgres.identity import location_of
from poolpair.store.postgres.install import (
    bring_up_to_date,
    create_trigger,
    follow_tables,
    functions,
    home_rows,
    made_of,
    own_tables,
    privileges,
    triggers,
)
from poolpair.store.postgres.lease import TURN, PostgresLease
from poolpair.store.postgres.locking import Mode, lock_tables
from poolpair.store.postgres.serials import sequences_of
from poolpair.store.postgres.store import IDENTITY
from poolpair.store.postgres.transaction import PostgresTransaction
from poolpair.store.prepared import (
    SETTINGS,
    Installed,
    InstalledSettings,
    Record,
    is_settled,
    refuse_newer,
    settled_with,
)
from poolpair.store.profile import Profile
from poolpair.store.values import StoreIdentity


def statements(url: str, profile: Profile, homes: Iterable[tuple[int, str, str]], lock_wait_s: float) -> Iterator[str]:
    """What `install` would run, for a person to read; first what only a DBA may do, if the role owns neither database nor tables."""
    with opened(url, lock_wait_s) as database:
        bound = bind(database, profile)
        role = database.row("SELECT current_user::text, current_setting('server_version_num')::int >= 150000")
        assert role is not None
        yield from privileges(bound, role[0], [name for name, _ in sequences_of(database, bound)], parameters=role[1])
        listed = tuple(homes)
        yield from own_tables(bound)
        yield from home_rows(listed)
        yield from fencing.functions(listed, {})
        yield from functions(bound).values()
        yield from (trigger.create for trigger in triggers(bound))


def install(
    url: str,
    profile: Profile,
    homes: Sequence[tuple[int, str, str]],
    settings: str,
    lock_wait_s: float,
    *,
    record: Record,
) -> Installed:
    """Prepare the database. Writers of the tables wait for a moment.

    May run beside a service, to put back what is missing; other homes, another profile or tables of an earlier release may not: raises
    LEASE. NOT_INSTALLED if the tables are of a later release.
    """
    with opened(url, lock_wait_s) as database, ExitStack() as stack:
        bound = bind(database, profile)
        before = known_settings(database)
        refuse_newer(before, database.name)
        if not is_settled(before, settings, profile.digest):
            stack.enter_context(PostgresLease(database, SystemClock()).kept_free())
        with database.transaction():
            _make_schema(database)
            for statement in own_tables(()):
                database.run(statement)
            bound = bind(database, profile)  # with the ledger, which is there now
            database.run(TURN)
            known = read_document(database, InstalledSettings, SETTINGS)
            bring_up_to_date(database, known)
            if known is not None and known.profile != profile.digest:
                _drop_tables_of_old_profile(database)
            for statement in (*own_tables(bound), *home_rows(homes)):
                database.run(statement)
            _refuse_homeless(database, bound)
            follow_tables(database, bound)
            identity = read_document(database, StoreIdentity, IDENTITY)
            fresh = identity is None
            if identity is None:
                here = location_of(database)
                identity = StoreIdentity(store_id=new_id(), location=here, home_location=here)
                write_document(database, IDENTITY, identity)
            repaired = (*_install_fence(database, homes), *_install_triggers(database, bound))
            changed = known is not None and (known.settings, known.profile) != (settings, profile.digest)
            if changed:
                _doubt_catalogue(database)
            write_document(database, SETTINGS, settled_with(settings, profile))
            done = Installed(
                store_id=identity.store_id, fresh=fresh, repaired=() if fresh else repaired, changed=changed
            )
            transaction = PostgresTransaction(database, bound)
            record(transaction, done)
            transaction.flush()
    return done


def _make_schema(database: Database) -> None:
    """Make the schema, or find that it is ours."""
    found = database.row(
        "SELECT to_regnamespace($1) IS NOT NULL, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1", SCHEMA
    )
    if found is None:
        database.run(f"CREATE SCHEMA {SCHEMA}")
        return
    foreign = database.row(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = to_regnamespace($1)"
        " AND to_regclass($1 || '.document') IS NULL LIMIT 1",
        SCHEMA,
    )
    if foreign is not None:
        detail = f"the schema {SCHEMA} holds {foreign[0]}, which is not of poolpair's"
        raise PoolpairError(Code.STORE_BROKEN, detail, hint="move what lies there; nothing was changed")


def known_settings(database: Database) -> InstalledSettings | None:
    """With what the database was prepared; None if it is new to poolpair."""
    there = database.row("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.document")
    return read_document(database, InstalledSettings, SETTINGS) if there and there[0] else None


def _refuse_homeless(database: Database, bound: tuple[Bound, ...]) -> None:
    """A table all of whose rows belong to nobody means a wrong home_key or wrong [homes]."""
    for b in bound:
        found = database.row(
            f"SELECT EXISTS (SELECT 1 FROM {b.table} WHERE {b.scope}),"
            f" EXISTS (SELECT 1 FROM {b.table} WHERE {b.scope} AND {b.looked_up_home} IS NOT NULL)"
        )
        if found and found[0] and not found[1]:
            raise PoolpairError(
                Code.PROFILE, f"no pattern of [homes] matches any row of {b.spec.name}: home_key or [homes] is wrong"
            )


def _doubt_catalogue(database: Database) -> None:
    """Whose a file is may have changed: the next scan looks at each anew, and the comparison that follows deletes what must go."""
    database.run(f"DELETE FROM {FILE} WHERE NOT present AND NOT deleting")
    database.run(f"UPDATE {FILE} SET inode = -1")


def _drop_tables_of_old_profile(database: Database) -> None:
    """Logs of another profile mean nothing now: a comparison follows. Parked rows are never dropped unseen."""
    if database.number(f"SELECT count(*) FROM {SCHEMA}.parked"):
        raise PoolpairError(
            Code.PARKED,
            "groups are parked under the old profile",
            hint="`poolpair parked list`; retry or drop them first",
        )
    spools = "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND starts_with(relname, 'spool_key_')"
    if any(database.row(f"SELECT 1 FROM {SCHEMA}.{quote(name)} LIMIT 1") for (name,) in database.rows(spools, SCHEMA)):
        raise PoolpairError(
            Code.PARKED,
            "groups that this pool had written before the partner served are spooled under the old profile",
            hint="let them arrive at the partner first; nothing was changed",
        )
    gone = without_use(database, {})
    lock_tables(database, (*running(database, gone), *ours(database)), Mode.EVERYBODY)
    for function in sorted(gone):
        database.run(f"DROP FUNCTION {SCHEMA}.{quote(function)}() CASCADE")
    mine = "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' AND relname ~ '_[0-9]+$'"
    for (name,) in database.rows(mine, SCHEMA):
        if name.startswith("kept_row_"):
            database.run(f"ALTER TABLE {SCHEMA}.{quote(name)} RENAME TO {quote(f'old_{new_id()[:8]}')}")
        elif not name.startswith("old_"):
            database.run(f"DROP TABLE {SCHEMA}.{quote(name)}")


def _install_fence(database: Database, homes: Sequence[tuple[int, str, str]]) -> tuple[str, ...]:
    """Make the functions that the triggers ask, with the fence that stands. Returns what was put back."""
    known = read_document(database, FenceState, FENCE) or FenceState()
    state, altered = fencing.install(database, homes, known)
    write_document(database, FENCE, state)
    return altered


def _install_triggers(database: Database, bound: tuple[Bound, ...]) -> tuple[str, ...]:
    """Make what is missing or differs, and note how everything reads now. Returns what was put back.

    With a function go the triggers that run it, which takes no ownership of their tables.
    """
    made, bodies, wanted = made_of(bound), functions(bound), triggers(bound)
    known = read_document(database, CaptureState, CAPTURE) or CaptureState()
    wrong = capturing.whole(database, bound, made, known)
    doubted = database.rows(f"DELETE FROM {SCHEMA}.doubt RETURNING tbl")
    rebuilt = {trigger.function for trigger in wanted if trigger.called in wrong}
    gone = rebuilt | without_use(database, bodies)
    places = [trigger.place.sql for trigger in wanted if trigger.function in rebuilt]
    losing = running(database, gone)
    lock_tables(database, (*places, *losing), Mode.EVERYBODY if losing else Mode.WRITERS)
    for function in sorted(gone):
        database.run(f"DROP FUNCTION IF EXISTS {SCHEMA}.{quote(function)}() CASCADE")
    for function in sorted(rebuilt):
        database.run(bodies[function])
        database.run(f"REVOKE ALL ON FUNCTION {SCHEMA}.{function}() FROM PUBLIC")
    for trigger in wanted:
        if trigger.function in rebuilt:
            create_trigger(database, trigger)
    have = capturing.installed(database)
    state = {}
    for trigger in wanted:
        _, xmin, text = have[(trigger.place.oid, trigger.name)]
        state[trigger.called] = (made[trigger.called], text, xmin)
    entries = {trigger.called: trigger.entry for trigger in wanted}
    write_document(database, CAPTURE, CaptureState(triggers=state, entries=entries))
    return tuple(sorted({*wrong, *(str(table) for (table,) in doubted)}))
