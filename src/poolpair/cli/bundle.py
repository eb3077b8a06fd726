"""`support-bundle`: what somebody who helps wants to see, in one file, and no secret in it.

Left out, always: keys, tokens, passwords, credentials, and the content of rows and files. Keys of groups are content, too.
"""

from __future__ import annotations

import io
import os
import platform
import re
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from poolpair import __version__, documents
from poolpair.audit import AuditEntry, entries
from poolpair.cli.check import run_checks
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.cli.redacting import known_secrets, without, without_words
from poolpair.config import PoolConfig, key_of
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import cookie_dir, data_dir
from poolpair.history import last_day, moves
from poolpair.moves import HOOK_RUNS, HookRun
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.share.port import TEMP
from poolpair.wiring import open_site, profile_of

LOG_MAX_BYTES = 2 * 1024**2
_REFUSED = re.compile(r"refused: P[1-5][0-9]{2}")
LIBRARIES = ("cryptography", "fastapi", "psycopg", "pydantic", "smbprotocol", "typer", "uvicorn", "zstandard")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("support-bundle", epilog=EXIT_STATUSES)(support_bundle)


def support_bundle(
    to: Annotated[Path, typer.Argument(help="Where to write it (.tar.gz); must not exist.")],
    log: Annotated[Path | None, typer.Option(help="A log of the service; its last 2 MiB go in.")] = None,
) -> None:
    """Gather status, settings, history, orders and a log for whoever helps. No secrets, and nothing of what users wrote."""
    config = chosen_config()
    secrets = known_secrets(config)
    parts: dict[str, str] = {"version.txt": _versions(), "settings.txt": _settings(config), "check.txt": _checks()}
    site = _opened(config, parts)
    if site is not None:
        try:
            parts |= {name: _told(site, look) for name, look in LOOKS.items()}
        finally:
            site.store.close()
    if log is not None:
        parts["service.log"] = _tail(log)
    _write(to, {name: without(text, secrets) for name, text in parts.items()})
    talk.print(f"wrote {to}: {', '.join(sorted(parts))}; look into it before you send it", markup=False)


def _versions() -> str:
    import sqlite3  # other commands do without

    lines = [f"poolpair {__version__}", f"Python {platform.python_version()}", platform.platform()]
    lines += [f"SQLite {sqlite3.sqlite_version}", *(f"{name} {version(name)}" for name in LIBRARIES)]
    return "\n".join(lines) + "\n"


def _settings(config: PoolConfig) -> str:
    """Every setting and where it comes from, and the profile; of a hook the program alone, since words that it is given may be secrets."""
    shown = {f"hooks.{key_of(step)}": without_words(command) for step, command in config.hooks.commands}
    lines = [f"{each.key} = {shown.get(each.key, each.value)} ({each.source})" for each in config.sources]
    try:
        lines.append(f"\nthe profile {config.profile}, digest {profile_of(config).digest}")
    except PoolpairError as error:
        lines.append(f"\n{error}; {error.hint}")
    return "\n".join(lines) + "\n"


def _checks() -> str:
    return "".join(f"{line}\n" for line in dict.fromkeys(map(str, run_checks())))


def _opened(config: PoolConfig, parts: dict[str, str]) -> Site | None:
    try:
        return open_site(config)
    except PoolpairError as error:
        parts["status.json"] = f"{error}; {error.hint}\n"
        return None


def _parked(site: Site) -> str:
    """Which tables refused groups, and how many; neither keys nor reasons, which hold what users wrote."""
    found: dict[str, int] = {}
    for group in site.store.parked():
        found[group.table] = found.get(group.table, 0) + 1
    return documents.encode_line(found)


def _ledger(site: Site) -> str:
    found: dict[str, int] = {}
    for entry in site.store.ledger():
        name = f"{entry.home} {entry.table} {entry.state}"
        found[name] = found.get(name, 0) + 1
    return documents.encode_line(found)


def _without_detail(entry: AuditEntry) -> AuditEntry:
    """Of a refusal its code: what it says beyond that may name what somebody wrote."""
    refused = _REFUSED.match(entry.outcome)
    return replace(entry, outcome=refused[0]) if refused else entry


def _hooks(site: Site) -> str:
    """How each hook ran last; what it wrote stays here."""
    runs = site.store.read_all(HookRun, HOOK_RUNS).values()
    return "".join(
        f"{run.began_utc}\t{run.step}\t{run.home}\t{without_words(run.command)}\t{run.took_s} s\t{run.failure or 'well'}\n"
        for run in runs
    )


def _share(site: Site) -> str:
    """What stands in the own share; into the partner's nobody here may look."""
    places = [place for channel in site.channels for place in (data_dir(channel), cookie_dir(channel))]
    found = {place: site.own.list(place) for place in (*places, TEMP)}
    return "".join(f"{place}/{each.name}\t{each.size_bytes}\n" for place in found for each in found[place])


LOOKS: dict[str, Callable[[Site], str]] = {
    "status.json": lambda site: documents.encode_full(gather(site)),
    "history.json": lambda site: documents.encode_line(last_day(site)),
    "moves.json": lambda site: documents.encode_line(moves(site)),
    "orders.json": lambda site: documents.encode_line(tuple(map(_without_detail, entries(site)))),
    "parked.json": _parked,
    "ledger.json": _ledger,
    "hooks.txt": _hooks,
    "share.txt": _share,
    "quarantine.txt": lambda site: "".join(
        f"{each.name}\t{each.size_bytes}\t{each.reason}\n" for each in site.own.quarantined()
    ),
}


def _told(site: Site, look: Callable[[Site], str]) -> str:
    try:
        return look(site)
    except PoolpairError as error:
        return f"{error}; {error.hint}\n"


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_MAX_BYTES))
            return file.read(LOG_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"{path}: {error.strerror}") from error


def _write(to: Path, parts: dict[str, str]) -> None:
    folder = f"poolpair-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        opened = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
            for name, text in sorted(parts.items()):
                data = text.encode()
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                bundle.addfile(entry, io.BytesIO(data))
    except OSError as error:
        raise PoolpairError(Code.USAGE, f"{to}: {error.strerror}") from error
