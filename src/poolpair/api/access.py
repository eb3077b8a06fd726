"""Who may ask and who may order: tokens in a private file, and a browser's cookie that proves one without holding it.

A line of the file is `ROLE NAME TOKEN`; a reader may look, an operator may order as well. The file is read anew whenever it has changed.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.scratch import make_scratch

DEFAULT_NAME = "api.tokens"
TOKEN_BYTES = 24
COOKIE_S = 12 * 3600
FILE_MAX_BYTES = 65_536
_LINE = re.compile(r"(reader|operator)[ \t]+([a-zA-Z0-9._@-]{1,64})[ \t]+([\x21-\x7e]{16,256})")


class Role(StrEnum):
    """What a token is good for."""

    READER = "reader"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whoever holds a token."""

    name: str
    role: Role
    token: str

    def may(self, role: Role) -> bool:
        """An operator may do what a reader may."""
        return role is Role.READER or self.role is Role.OPERATOR


class Tokens:
    """The file of tokens. Raises API_FILES if it is missing, not private or not understood."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._bearers: tuple[Bearer, ...] = ()

    def bearers(self) -> tuple[Bearer, ...]:
        """Everybody who has one."""
        try:
            # A pipe in its place would keep whoever opens it waiting, and with him every answer.
            with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                found = os.fstat(file.fileno())
                _refuse_public(self.path, found)
                mark = (found.st_ino, found.st_mtime_ns, found.st_size)
                if mark != self._seen:
                    self._bearers = tuple(_read(self.path, file.read(FILE_MAX_BYTES + 1)))
                    self._seen = mark
        except OSError as error:
            raise PoolpairError(Code.API_FILES, f"{self.path}: {error.strerror}") from error
        return self._bearers

    def by_token(self, token: str) -> Bearer | None:
        """Whose it is; every token is compared, each in constant time."""
        said = token.encode()
        matches = [each for each in self.bearers() if hmac.compare_digest(each.token.encode(), said)]
        return matches[0] if matches else None

    def by_cookie(self, cookie: str, now_s: float) -> Bearer | None:
        """Whose browser sent it, if it is not too old."""
        name, _, rest = cookie.partition("~")
        until, _, proof = rest.partition("~")
        if not re.fullmatch(r"[0-9]{1,12}", until) or now_s > int(until):
            return None
        said = proof.encode()
        for bearer in self.bearers():
            if bearer.name == name and hmac.compare_digest(_proof(bearer, until).encode(), said):
                return bearer
        return None


def cookie_for(bearer: Bearer, now_s: float) -> str:
    """What a browser keeps: it opens nothing after `COOKIE_S`, or once the token is gone."""
    until = str(int(now_s) + COOKIE_S)
    return f"{bearer.name}~{until}~{_proof(bearer, until)}"


def _proof(bearer: Bearer, until: str) -> str:
    said = f"poolpair page\0{bearer.name}\0{bearer.role}\0{until}".encode()
    return hmac.new(bearer.token.encode(), said, "sha256").hexdigest()


def _read(path: Path, data: bytes) -> Iterator[Bearer]:
    if len(data) > FILE_MAX_BYTES:
        raise PoolpairError(Code.API_FILES, f"{path} is larger than {FILE_MAX_BYTES:,} bytes")
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise PoolpairError(
                Code.API_FILES,
                f"{path}, line {number}: expected a role (reader, operator), a name and a token of 16 characters or more",
            )
        yield Bearer(name=found[2], role=Role(found[1]), token=found[3])


def _refuse_public(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PoolpairError(Code.API_FILES, f"{path} is no file")
    if found.st_mode & 0o077:
        raise PoolpairError(Code.API_FILES, f"{path} is not private: mode {stat.S_IMODE(found.st_mode):04o}, not 0600")
    if found.st_uid not in {os.geteuid(), 0}:
        raise PoolpairError(Code.API_FILES, f"{path} belongs to user {found.st_uid}, not to this account")


def tokens_of(config: PoolConfig) -> Tokens:
    """The tokens of a pool; a file of their own in the scratch folder is made, unless the pool file names one."""
    path = config.api.tokens
    if path is None:
        path = make_scratch(config) / DEFAULT_NAME
        if not path.exists():
            for role in Role:
                add_token(path, role, role.value)
    return Tokens(path)


def _end_of_last_line(path: Path) -> str:
    """What the last line of a file lacks that a person or a program wrote: a token must not be glued to another."""
    text = path.read_bytes()
    return "\n" if text and not text.endswith(b"\n") else ""


def add_token(path: Path, role: Role, name: str) -> Bearer:
    """Make a token and add it to the file, which is made with mode 0600 if it is not there. Raises API_FILES, USAGE."""
    bearer = Bearer(name=name, role=role, token=secrets.token_urlsafe(TOKEN_BYTES))
    line = f"{role} {name} {bearer.token}"
    if _LINE.fullmatch(line) is None:
        raise PoolpairError(Code.USAGE, f"{name!r} is no name for a token: 1 to 64 of a-z, A-Z, 0-9 and . _ @ -")
    if path.exists() and any(each.name == name for each in Tokens(path).bearers()):
        raise PoolpairError(Code.USAGE, f"{path} has a token of {name} already", "take its line out first")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="ascii") as file:
            file.write(f"{_end_of_last_line(path)}{line}\n")
    except OSError as error:
        raise PoolpairError(Code.API_FILES, f"{path}: {error.strerror}") from error
    return bearer
