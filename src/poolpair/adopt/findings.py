"""What in a Prosody configuration fits a pair, what is to be changed, and what a pair cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from poolpair.adopt.owners import KEEPER, Owners, is_keeper
from poolpair.adopt.prosody import EVERY, EVERY_OTHER, SQL, Host, Prosody, Sql

FILE_SHARE = "http_file_share"
OTHER_UPLOADS = ("http_upload", "http_upload_external")
INTERNAL = ("internal_plain", "internal_hashed", "anonymous")
SERVER, FILE = "PostgreSQL", "SQLite3"
SQLITE_HAZARDS = (
    "SQLite has one writer, and Prosody does not wait for it: a client's change that meets a moment in which poolpair writes"
    " fails at once with an internal error and must be repeated; PostgreSQL has nothing of that"
)


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    KNOW = "to know"
    CHANGE = "to change"
    """The lines that `adopt` proposes cure it."""
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    words: str
    hint: str = ""

    @property
    def is_wrong(self) -> bool:
        """In a pool that is set up, what was to be changed should have been."""
        return self.level in {Level.CHANGE, Level.FAIL}

    @property
    def told(self) -> str:
        """Its words, for a list of checks that only knows right and wrong."""
        return f"to know: {self.words}" if self.level is Level.KNOW else self.words

    def __str__(self) -> str:
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.level.ljust(9)} {self.subject}: {self.words}{hint}"


def ok(subject: str, words: str) -> Finding:
    """Nothing to do."""
    return Finding(level=Level.OK, subject=subject, words=words)


def know(subject: str, words: str, hint: str = "") -> Finding:
    """Somebody should have heard of it."""
    return Finding(level=Level.KNOW, subject=subject, words=words, hint=hint)


def change(subject: str, words: str, hint: str) -> Finding:
    """A line of the proposal cures it."""
    return Finding(level=Level.CHANGE, subject=subject, words=words, hint=hint)


def fail(subject: str, words: str, hint: str) -> Finding:
    """A pair cannot be made of this."""
    return Finding(level=Level.FAIL, subject=subject, words=words, hint=hint)


def look_at(prosody: Prosody, owners: Owners, coming: tuple[Host, ...] = ()) -> Iterator[Finding]:
    """Every finding that the configuration alone gives. `coming`: hosts that are to be added to it."""
    for warning in prosody.warnings:
        yield know("configuration", warning)
    for name in prosody.unset:
        yield know(
            "configuration", f"reads {name} from the environment, which is not set here", "set it as for Prosody"
        )
    owned = owners.owned(prosody)
    yield from _belonging(prosody, owners)
    yield from _storage(owned + coming)
    yield from _database(prosody, owned + coming)
    yield from _uploads(owned)
    yield from _accounts(owned)
    yield from _starting(prosody, owners, owned)
    yield from _shell(prosody)


def _belonging(prosody: Prosody, owners: Owners) -> Iterator[Finding]:
    for host in prosody.hosts:
        pool, parent = owners.of.get(host.name), prosody.parent(host) if host.component else None
        if pool is None and not is_keeper(host):
            yield fail("homes", f"{host.name} belongs to no pool", "add a pattern to [homes] on both sides")
        elif parent is not None and pool != (over := owners.of.get(parent.name)):
            yield fail(
                "homes",
                f"{host.name} ({host.component}) belongs to {pool or 'no pool'}, its domain {parent.name} to {over or 'no pool'}",
                "give both the same home: a component goes where its users go",
            )
    for pool in (owners.pool, owners.partner):
        names = ", ".join(host.name for host in owners.hosts_of(prosody, pool))
        if names:
            yield ok("homes", f"{pool} has {names}")
        elif pool in owners.expected:
            yield change("homes", f"no host of {pool} is defined here", "without them its users cannot be served here")


def _storage(owned: tuple[Host, ...]) -> Iterator[Finding]:
    wrong = False
    for host in owned:
        for store, driver in host.stores():
            if driver in SQL:
                continue
            named = store if store in {EVERY, EVERY_OTHER} else f"the store {store}"
            if driver in {"null", "none"}:
                yield know("storage", f"{named} of {host.name} is kept nowhere, so it is not carried either")
                continue
            wrong = True
            move = 'set storage = "sql" for it, and bring over what is there (prosody-migrator)'
            lost = "is lost when Prosody stops" if driver == "memory" else "lies in files that are not carried"
            yield fail("storage", f'{named} of {host.name} is kept by "{driver}": it {lost}', move)
    if owned and not wrong:
        yield ok("storage", f"sql for every store of {len(owned)} hosts")


def _database(prosody: Prosody, owned: tuple[Host, ...]) -> Iterator[Finding]:
    places = {host.sql: host.name for host in reversed(owned)}  # of each, the first host is named
    if len(places) > 1:
        (_, one), (_, other), *_rest = places.items()
        hint = "say `sql` once, above the first VirtualHost: what is protected is one database"
        yield fail("database", f"{one} and {other} keep their rows in different databases", hint)
        return
    for sql in places:
        yield _driver(prosody, sql)
        if sql.driver == FILE:
            yield know("database", SQLITE_HAZARDS)


def _driver(prosody: Prosody, sql: Sql) -> Finding:
    if sql.driver == SERVER:
        if not sql.database or not sql.username:
            missing = "database" if not sql.database else "username"
            return fail("database", f"`sql` names no {missing}", f"write it into `sql`: {missing} = ...")
        return ok("database", f"PostgreSQL, database {sql.database}, as {sql.username}")
    if sql.driver != FILE:
        named = f'the driver "{sql.driver}"' if sql.driver else "an `sql` without a driver"
        hint = "move to PostgreSQL: prosody-migrator copies from one store to another"
        return fail("database", f"{named} is not supported, only PostgreSQL and SQLite3 are", hint)
    if sql.database == ":memory:":
        return fail(
            "database", "a database in memory is lost when Prosody stops", 'name a file: database = "prosody.sqlite"'
        )
    if not prosody.data_path.is_absolute():
        hint = "write an absolute path, as /var/lib/prosody"
        return fail("database", f"data_path {prosody.data_path} depends on where Prosody is started", hint)
    return ok("database", f"SQLite, {prosody.sqlite_file(sql)}")


def _uploads(owned: tuple[Host, ...]) -> Iterator[Finding]:
    for host in owned:
        for module in sorted(host.modules & set(OTHER_UPLOADS)):
            yield know("uploads", f"what {module} of {host.name} keeps is not carried", f"{FILE_SHARE} is")
        if FILE_SHARE not in host.modules:
            continue
        if host.upload_secret:
            yield ok("uploads", f"{host.name} has a secret of its own configuration; it must be the same at both sites")
        else:
            hint = f"set {FILE_SHARE}_secret, the same at both sites"
            yield change("uploads", f"{host.name} draws another secret at each start, so its links die with it", hint)


def _accounts(owned: tuple[Host, ...]) -> Iterator[Finding]:
    for host in owned:
        if not host.component and host.authentication not in INTERNAL:
            words = f'the accounts of {host.name} are kept by "{host.authentication}", outside the database'
            yield know("accounts", words, "both sites must reach it, also when the other site is dead")


def _starting(prosody: Prosody, owners: Owners, owned: tuple[Host, ...]) -> Iterator[Finding]:
    awake = [host.name for host in owned if host.is_enabled]
    if awake:
        yield change(
            "start",
            f"{', '.join(awake)}: served as soon as Prosody starts, even while the other site serves them",
            "set enabled = false: the service activates what its pool serves",
        )
    elif owned:
        yield ok("start", f"none of {len(owned)} hosts is served before the service says so")
    keepers = [host for host in prosody.hosts if host.name not in owners.of and not host.component]
    if not any(host.is_enabled for host in keepers):
        hint = f'add VirtualHost "{KEEPER}", which serves nobody'
        yield change("start", "without one VirtualHost that is enabled Prosody does not start", hint)
    for host in keepers:
        if host.is_enabled and any(driver in SQL for _, driver in host.stores()):
            yield change(
                "start",
                f"{host.name} writes into the database, but belongs to no pool",
                'set storage = "memory" for it',
            )


def _shell(prosody: Prosody) -> Iterator[Finding]:
    server = {*prosody.server.modules_enabled} - {*prosody.server.modules_disabled}
    awake = [host for host in prosody.hosts if is_keeper(host) and host.is_enabled]
    if "admin_shell" in server or any("admin_shell" in host.modules for host in awake):
        yield ok("shell", f"admin_shell answers at {prosody.socket}")
    else:
        yield change(
            "shell", "admin_shell is not enabled: nobody can activate a host", 'add "admin_shell" to modules_enabled'
        )
