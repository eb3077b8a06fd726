"""The account of a file server, from a file of its own: `username=`, `password=` and `domain=`, a line each, as mount.cifs reads them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from poolpair.errors import Code, PoolpairError

MAX_BYTES = 4096
KEYS = ("username", "password", "domain")
HINT = "it holds the lines username=... and password=..., is owned by the service's account, and has mode 0600"


@dataclass(frozen=True, slots=True)
class Login:
    """An account of the file server; without a name whatever ticket this account of the system has."""

    username: str = ""
    password: str = field(default="", repr=False)
    domain: str = ""

    @property
    def account(self) -> str | None:
        """The name as the server wants it."""
        return f"{self.domain}\\{self.username}" if self.domain else self.username or None


def read_login(path: Path | None) -> Login:
    """Read the file, which is done for each connection: a changed password needs no restart. No file means Kerberos.

    Raises CONFIG if it is missing, malformed, over 4 KiB, open to group or others, or owned by anybody but this user or root.
    """
    if path is None:
        return Login()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PoolpairError(Code.CONFIG, f"credentials file {path}: {error.strerror}", HINT) from error
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o077:
        hint = f"chown it to this account, and chmod 600 {path}"
        raise PoolpairError(Code.CONFIG, f"credentials file {path}: others may read or change it", hint)
    if len(data) > MAX_BYTES:
        raise PoolpairError(Code.CONFIG, f"credentials file {path} is larger than {MAX_BYTES} bytes", HINT)
    return _parse(path, data)


def _parse(path: Path, data: bytes) -> Login:
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise PoolpairError(Code.CONFIG, f"credentials file {path} is not UTF-8", HINT) from None
    said = {}
    for number, line in enumerate(lines, 1):
        key, found, value = line.partition("=")
        if not line.strip() or line.startswith("#"):
            continue
        if not found or key.strip() not in KEYS:  # the line itself may be a password
            raise PoolpairError(
                Code.CONFIG, f"credentials file {path}, line {number}: expected {', '.join(KEYS)} = ..."
            )
        said[key.strip()] = value
    if not said.get("username", "").strip() or not said.get("password"):
        raise PoolpairError(Code.CONFIG, f"credentials file {path}: username and password are needed", HINT)
    return Login(said["username"].strip(), said["password"], said.get("domain", "").strip())
