"""What this machine says of a Prosody server: its version, its socket, its folder, its database file. Nothing is started or changed."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from poolpair.adopt.findings import FILE, FILE_SHARE, Finding, fail, know, ok
from poolpair.adopt.owners import Owners
from poolpair.adopt.prosody import Prosody
from poolpair.errors import Code, PoolpairError

KNOWN = "0.12."
"""What the profile was made for."""
SOCKET_MAX_BYTES = 107
LOOK_S = 10.0
WAL = b"\x02\x02"


def look_around(prosody: Prosody, owners: Owners, *, prepared: bool) -> Iterator[Finding]:
    """Every finding that needs this machine. `prepared`: `init` was run."""
    yield _version(prosody.path)
    yield _socket(prosody, prepared=prepared)
    owned = owners.owned(prosody)
    files = sorted({prosody.sqlite_file(host.sql) for host in owned if host.sql.driver == FILE})
    if files or any(FILE_SHARE in host.modules for host in owned):
        yield _folder(prosody.data_path)
    for file in files:
        yield _journal(file, prepared=prepared)


def _version(path: Path) -> Finding:
    found = version(path)
    if found is None:
        return know("version", "how new Prosody is cannot be told: neither dpkg-query nor prosodyctl says it")
    if not found.startswith(KNOWN):
        hint = f"this release knows {KNOWN}x: try the pair where nothing can be lost first"
        return know("version", f"Prosody {found} is not one that was tried", hint)
    return ok("version", f"Prosody {found}")


def version(path: Path) -> str | None:
    """Prosody's version. Its own server program is never asked: it would start."""
    package = _said(["dpkg-query", "-W", "-f", "${Status} ${Version}", "prosody"])
    if package and (installed := re.search(r" installed (?:\d+:)?(\d[\w.]*)", package)):
        return installed[1]
    about = _said(["prosodyctl", "--config", str(path), "about"])
    told = re.search(r"^Prosody (\d[\w.]*)", about or "", re.MULTILINE)
    return told[1] if told else None


def _said(command: list[str]) -> str | None:
    try:
        done = call(command, LOOK_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def call(command: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run a program that has nothing to read, and keep what it says. Raises OSError, TimeoutExpired."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=limit_s,
    )


def is_running(path: Path) -> bool:
    """Whether somebody listens on the admin socket. Raises UNFIT if that cannot be asked."""
    if len(os.fsencode(path)) > SOCKET_MAX_BYTES:
        hint = f"set admin_socket to a path of at most {SOCKET_MAX_BYTES} bytes"
        raise PoolpairError(Code.UNFIT, f"the path of the admin socket is too long for a socket: {path}", hint)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LOOK_S)
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            hint = "run the service as Prosody's account; nobody else may talk to the server"
            raise PoolpairError(Code.UNFIT, f"{path}: {error.strerror or error}", hint) from error
    return True


def _socket(prosody: Prosody, *, prepared: bool) -> Finding:
    try:
        if is_running(prosody.socket):
            return ok("socket", f"Prosody answers at {prosody.socket}")
    except PoolpairError as error:
        return fail("socket", error.detail, error.hint)
    words = f"Prosody does not run now: nobody answers at {prosody.socket}"
    return fail("socket", f"{words}, and nobody is served", "start Prosody") if prepared else know("socket", words)


def _folder(path: Path) -> Finding:
    try:
        found = path.stat()
    except OSError as error:
        return fail(
            "folder",
            f"data_path {path}: {error.strerror}",
            "correct data_path, or make the folder for Prosody's account",
        )
    if not stat.S_ISDIR(found.st_mode):
        return fail("folder", f"data_path {path} is no folder", "correct data_path")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return fail(
            "folder", f"this account may not read and write in data_path {path}", "run the service as Prosody's account"
        )
    return ok("folder", f"data_path {path} can be read and written")


def _journal(path: Path, *, prepared: bool) -> Finding:
    """From the file's first bytes: opening it would leave files of this account's beside it."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        return fail(
            "database", f"{path}: {error.strerror}", "start Prosody once: it makes its database; or correct `sql`"
        )
    if not head.startswith(b"SQLite format 3\0"):
        return fail("database", f"{path} is no SQLite database", "correct `sql`")
    if head[18:20] == WAL:
        return ok("database", f"{path} is in WAL mode")
    if prepared:
        hint = (
            "run `poolpair -c FILE init`; in this mode a failed write of Prosody's locks everybody else out for seconds"
        )
        return fail("database", f"{path} is not in WAL mode", hint)
    return know("database", f"{path} is not in WAL mode: `init` switches it")
