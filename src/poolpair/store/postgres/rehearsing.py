"""A whole copy of the database for a drill: a database of its own on the same server, filled by pg_dump and pg_restore.

They share the view at which the original was digested. pg_dump takes no lock that a writer would feel (ACCESS SHARE).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote as url_quote
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from poolpair.errors import Code, PoolpairError
from poolpair.store.postgres.database import Database, literal, quote

MARK = "poolpair drill"
"""The comment on a database that a drill made, and may drop."""
PROGRAMS = ("pg_dump", "pg_restore")
DUMP = ("--format=custom", "--compress=0", "--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions")
RESTORE = ("--no-owner", "--no-privileges", "--exit-on-error")
SAID_MAX = 400
"""So much of what a program said is told."""
_LOCALE = (
    "SELECT pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider::text,"
    " to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale' FROM pg_database d WHERE datname = current_database()"
)


@contextmanager
def spare_database(url: str, lock_wait_s: float, name: str, *, keep: bool) -> Iterator[str]:
    """Make an empty database beside the one of a URL, and drop it at the end unless it is to be kept; yields its URL.

    One of that name that an earlier drill left is replaced, any other refused. Raises DRILL, STORE_*.
    """
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise PoolpairError(Code.DRILL, f"{program} is not installed here", "apt-get install postgresql-client")
    with closing(Database(url, lock_wait_s)) as database, database.translated():
        _drop(database, name)
        _create(database, name)
    try:
        yield _url_of(url, name)
    finally:
        if not keep:
            with closing(Database(url, lock_wait_s)) as database, database.translated():
                _drop(database, name)


def _drop(database: Database, name: str) -> None:
    found = database.row(
        "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1", name
    )
    if found is None:
        return
    if found[0] != MARK:
        detail = f"there is a database {name} that no drill made"
        raise PoolpairError(Code.DRILL, detail, "rename it: a drill needs that name on the server of the store")
    database.run(f"DROP DATABASE {quote(name)} WITH (FORCE)")


def _create(database: Database, name: str) -> None:
    row = database.row(_LOCALE)
    assert row is not None
    encoding, collate, ctype, provider, locale, icu = row
    like = [f"ENCODING {literal(encoding)}", f"LC_COLLATE {literal(collate)}", f"LC_CTYPE {literal(ctype)}"]
    if provider == "i":
        like += ["LOCALE_PROVIDER icu", f"ICU_LOCALE {literal(locale or icu or '')}"]
    elif provider == "b":
        like += ["LOCALE_PROVIDER builtin", f"BUILTIN_LOCALE {literal(locale or '')}"]
    try:
        database.run(f"CREATE DATABASE {quote(name)} TEMPLATE template0 {' '.join(like)}")
    except psycopg.errors.InsufficientPrivilege as error:
        hint = "a DBA says: ALTER ROLE ... CREATEDB; drills need it, nothing else does"
        raise PoolpairError(Code.DRILL, f"the role of {database.name} may not create a database", hint) from error
    database.run(f"COMMENT ON DATABASE {quote(name)} IS {literal(MARK)}")


def _url_of(url: str, name: str) -> str:
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None and key != "dbname"}
    return f"postgresql:///{url_quote(name, safe='')}?{urlencode(parts, quote_via=url_quote)}"


def copy_database(database: Database, target: str) -> None:
    """Copy what the open transaction sees, everything but rights and owners, into the empty database of a URL. Raises DRILL."""
    view = database.row("SELECT pg_export_snapshot()")
    assert view is not None
    wait = f"--lock-wait-timeout={round(database.lock_wait_s * 1000)}"
    name = str(conninfo_to_dict(target)["dbname"])
    dump = subprocess.Popen(
        ["pg_dump", *DUMP, wait, f"--snapshot={view[0]}"],
        env=_environment(database.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        restored = subprocess.run(
            ["pg_restore", *RESTORE, f"--dbname={name}"],
            env=_environment(target),
            stdin=dump.stdout,
            capture_output=True,
            check=False,
        )
    finally:
        dump.kill()  # it has ended, unless the other has not taken what it gave
        assert dump.stdout is not None
        assert dump.stderr is not None
        dump.stdout.close()
        with dump.stderr:
            said = dump.stderr.read()
        dump.wait()
    for program, failed, words in (
        ("pg_dump", dump.returncode > 0, said),
        ("pg_restore", restored.returncode != 0, restored.stderr),
    ):
        if failed:
            detail = f"{program} of {database.name} failed: {words.decode(errors='replace').strip()[-SAID_MAX:]}"
            hint = "the role must be able to read the whole database: GRANT pg_read_all_data TO ..."
            raise PoolpairError(Code.DRILL, detail, hint)


def _environment(url: str) -> dict[str, str]:
    """What a URL says as libpq's variables: on a command line everybody could read its password."""
    said = {
        option.envvar.decode(): option.val.decode()
        for option in Conninfo.parse(url.encode())
        if option.envvar and option.val is not None
    }
    return {**os.environ, **said}
