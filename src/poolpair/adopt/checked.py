"""`check` in a pool that is a Prosody: the findings of its configuration, and whether the pool file says the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from poolpair.adopt.findings import FILE_SHARE, SERVER, Finding, fail, look_at, ok
from poolpair.adopt.owners import Owners, owners_by_homes
from poolpair.adopt.places import look_around
from poolpair.adopt.prosody import Prosody, Sql, read_prosody
from poolpair.config import PoolConfig
from poolpair.moves import HookStep

GATE = (HookStep.GATE_CLOSE, HookStep.GATE_OPEN)


def check_prosody(config: PoolConfig, path: Path) -> Iterator[Finding]:
    """Every finding. Raises APPLICATION if the configuration cannot be read."""
    prosody = read_prosody(path)
    owners = owners_by_homes(config, prosody)
    yield from look_at(prosody, owners)
    yield from look_around(prosody, owners, prepared=True)
    yield from _same_places(config, prosody, owners)
    set_hooks = {step for step, _ in config.hooks.commands}
    for step in GATE:
        if step not in set_hooks:
            name = step.value.replace("-", "_")
            yield fail(
                "hooks",
                f"{name} is not set: Prosody is not told whom to serve",
                f"set {name} in [hooks], see docs/prosody.md",
            )
    if config.gate.watch != prosody.socket:
        hint = f'set watch = "{prosody.socket}" in [gate]'
        yield fail("hooks", "a Prosody that is restarted is not told whom to serve: `watch` is not its socket", hint)


def _same_places(config: PoolConfig, prosody: Prosody, owners: Owners) -> Iterator[Finding]:
    owned = owners.owned(prosody)
    for sql in {host.sql for host in owned}:
        there = _name_of(prosody, sql)
        here = _stored_in(config.store)
        if here == there:
            yield ok("database", f"it is the store of the pool file: {there}")
        else:
            yield fail(
                "database", f"Prosody writes into {there}, poolpair looks at {here}", "correct `store` in the pool file"
            )
    if any(FILE_SHARE in host.modules for host in owned) and config.files != prosody.data_path:
        hint = "correct `files` in the pool file, at both sites"
        yield fail(
            "folder",
            f"Prosody keeps uploads in {prosody.data_path}, poolpair carries {config.files or 'no files'}",
            hint,
        )


def _name_of(prosody: Prosody, sql: Sql) -> str:
    return f"database {sql.database}" if sql.driver == SERVER else str(prosody.sqlite_file(sql))


def _stored_in(store: str) -> str:
    if not store.startswith("postgresql://"):
        return store.removeprefix("sqlite:///")
    try:
        return f"database {conninfo_to_dict(store).get('dbname', '')}"
    except ProgrammingError:  # said by the check of the store
        return "a database whose URL cannot be read"
