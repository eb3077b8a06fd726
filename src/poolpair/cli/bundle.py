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
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from poolpair import __version__, documents
from poolpair.api.access import DEFAULT_NAME
from poolpair.audit import AuditEntry, entries
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.history import last_day, moves
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.scratch import scratch_of
from poolpair.wiring import open_site

LOG_MAX_BYTES = 2 * 1024**2
_REFUSED = re.compile(r"refused: P[1-5][0-9]{2}")
_HEADER = re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[=:]\s*)[^\n]*")
_SECRET = re.compile(r"(?i)\b(password|passwd|secret|token|bearer)\b(\s*[=:]\s*|\s+)\S+")


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
    parts: dict[str, str] = {
        "version.txt": f"poolpair {__version__}\nPython {platform.python_version()}\n{platform.platform()}\n",
        "settings.txt": "".join(f"{each.key} = {each.value} ({each.source})\n" for each in config.sources),
    }
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


LOOKS: dict[str, Callable[[Site], str]] = {
    "status.json": lambda site: documents.encode_full(gather(site)),
    "history.json": lambda site: documents.encode_line(last_day(site)),
    "moves.json": lambda site: documents.encode_line(moves(site)),
    "orders.json": lambda site: documents.encode_line(tuple(map(_without_detail, entries(site)))),
    "parked.json": _parked,
    "ledger.json": _ledger,
    "quarantine.txt": lambda site: "".join(f"{each.name}\t{each.size_bytes}\n" for each in site.own.quarantined()),
}


def _told(site: Site, look: Callable[[Site], str]) -> str:
    try:
        return look(site)
    except PoolpairError as error:
        return f"{error}; {error.hint}\n"


def known_secrets(config: PoolConfig) -> tuple[str, ...]:
    """Every line and word of the files that hold secrets, and the password of the store's URL."""
    files = [
        config.partner.key_file,
        config.share_credentials,
        config.partner.share_credentials,
        config.api.tokens or scratch_of(config) / DEFAULT_NAME,
        config.api.certificate_key,
        config.member_key,
        config.cms.share_credentials if config.cms else None,
    ]
    found = set(re.findall(r"://[^/@:]*:([^/@]+)@", config.store)) | set(re.findall(r"password=([^&]+)", config.store))
    for path in files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if path else ""
        except OSError:
            continue
        found |= {word for word in re.split(r"[\s\"',:={}\[\]]+", text) if len(word) >= 8}
    return tuple(sorted(found, key=len, reverse=True))


def without(text: str, secrets: Iterable[str]) -> str:
    """A text with every known secret, and whatever is written like one, taken out."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _SECRET.sub(r"\1\2***", _HEADER.sub(r"\1\2***", text))


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
