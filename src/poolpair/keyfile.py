"""The key file of a pair: who may read it, what is in it, and how its secrets are changed.

JSON, at most 64 KiB, mode 0600: `{"format": 1, "pair_id": ..., "secrets": [hex, ...]}`, and `"pending"` while a new
secret waits. The first secret seals, all open. **Changing the secret** takes these steps, because both sides must be
able to open with a secret before either seals with it:

1. `rotate_key_file` on one side: the new secret is added at the end. It opens, it does not seal yet.
2. Copy the file to the other side.
3. `activate_key` on both sides, in any order and at any time apart: the new secret moves to the front and seals.
4. `retire_secrets` on both sides, if somebody else may know an old one.

A running service sees the change at once. A lost key file costs nothing but this: make one, copy it, seed anew.
"""

from __future__ import annotations

import os
import re
import secrets as randomness
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from json import dumps
from pathlib import Path
from typing import Final

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.format.keys import MAX_SECRETS, SECRET_BYTES, KeyRing, PairSecret
from poolpair.model import new_id

MAX_KEY_FILE_BYTES: Final = 64 * 1024
_VERSION: Final = 1
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SECRET: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Document:
    format: int
    pair_id: str
    secrets: tuple[str, ...]
    pending: str = ""
    """Key id of the secret at the end that waits for activation."""

    def __repr__(self) -> str:
        return "_Document(...)"  # secrets must not reach a traceback or a log

    def ring(self) -> KeyRing:
        return KeyRing.of(self.pair_id, *(bytes.fromhex(each) for each in self.secrets))

    def encode(self) -> bytes:
        fields = {name: value for name, value in asdict(self).items() if value}
        return (dumps(fields, indent=2) + "\n").encode()


def parse_key_text(text: str | bytes) -> KeyRing:
    """Read the content of a key file. Raises PoolpairError(KEY_FILE)."""
    return _parse(text).ring()


def read_key_file(path: Path) -> KeyRing:
    """Read a key file; a symbolic link is followed.

    Raises PoolpairError(KEY_FILE) if it is missing, unreadable, malformed, over 64 KiB, open to group or others, or
    owned by anybody but this user or root.
    """
    return _read(path).ring()


class KeyFile:
    """The secrets as the file has them now. While it cannot be read, or is another pair's, those that were read last stand."""

    def __init__(self, path: Path) -> None:
        """Raises KEY_FILE: without secrets nothing begins."""
        self._path = path
        self._seen = self._mark()
        self._ring = read_key_file(path)

    def __call__(self) -> KeyRing:
        """The secrets."""
        mark = self._mark()
        if mark != self._seen and mark is not None:
            with suppress(PoolpairError):  # being copied, perhaps: `check` says what is wrong with it
                ring = read_key_file(self._path)
                if ring.pair_id == self._ring.pair_id:
                    self._ring = ring
                self._seen = mark
        return self._ring

    def _mark(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def keys_of(path: Path, *, needed: bool) -> tuple[str, Callable[[], KeyRing]]:
    """The id of the pair, and its secrets. Where nothing is sealed or opened (not `needed`) a file that cannot be read is not missed.

    Raises KEY_FILE, then only when the secrets are asked for.
    """
    try:
        keys = KeyFile(path)
    except PoolpairError:
        if needed:
            raise
        return "", lambda: read_key_file(path)
    return keys().pair_id, keys


def new_key_file(path: Path, *, pair_id: str = "", secret: bytes = b"") -> KeyRing:
    """Make a key file for a new pair, mode 0600, durable when this returns. Never replaces a file.

    Raises PoolpairError(KEY_FILE) if something is there already or the place cannot be written.
    """
    document = _Document(_VERSION, pair_id or new_id(), (secret.hex() or _new_secret(),))
    create_private(path, document.encode())
    return document.ring()


def create_private(path: Path, content: bytes) -> None:
    """Write a new file that holds a secret: mode 0600, durable. Raises KEY_FILE; what stands there is kept."""
    try:
        _create(path, content)
    except FileExistsError:
        raise PoolpairError(
            Code.KEY_FILE, f"{path} exists and is kept", "choose another path, or move the old file away"
        ) from None
    except OSError as error:
        raise _failure(path, error) from error


def rotate_key_file(path: Path) -> KeyRing:
    """Add a new secret at the end: it opens, it does not seal before `activate_key`. At most 8 stay, the oldest goes.

    Next: copy the file to the partner, then activate on both sides. Raises PoolpairError(KEY_FILE), or
    PoolpairError(USAGE) while an earlier new secret still waits.
    """

    def add(document: _Document) -> _Document:
        if document.pending:
            raise PoolpairError(
                Code.USAGE,
                f"{path} already holds a new secret that waits",
                "copy the file to the partner, then activate the secret on both sides",
            )
        fresh = _new_secret()
        pending = PairSecret.of(document.pair_id, bytes.fromhex(fresh)).key_id
        return replace(document, secrets=(*document.secrets[: MAX_SECRETS - 1], fresh), pending=pending)

    return _rewrite(path, add)


def activate_key(path: Path) -> KeyRing:
    """Move the secret that `rotate_key_file` added to the front: from now on it seals, the others open.

    Call it on both sides, after both have the file. Raises PoolpairError(KEY_FILE), or PoolpairError(USAGE) if none
    waits.
    """

    def move(document: _Document) -> _Document:
        if not document.pending:
            raise PoolpairError(Code.USAGE, f"{path} holds no new secret that waits", "add one with `key rotate` first")
        return replace(document, secrets=(document.secrets[-1], *document.secrets[:-1]), pending="")

    return _rewrite(path, move)


def retire_secrets(path: Path) -> KeyRing:
    """Drop every secret but the one that seals: whoever knows an old one opens, and seals, nothing any more.

    Call it on both sides, after both sealed with the new one. What still stands in a share under an old one is refused, and sent again.
    Raises PoolpairError(KEY_FILE), or PoolpairError(USAGE) while a new secret waits.
    """

    def drop(document: _Document) -> _Document:
        if document.pending:
            raise PoolpairError(Code.USAGE, f"{path} holds a new secret that waits", "activate it on both sides first")
        return replace(document, secrets=document.secrets[:1])

    return _rewrite(path, drop)


def _new_secret() -> str:
    return randomness.token_hex(SECRET_BYTES)


def _parse(text: str | bytes) -> _Document:
    try:
        document = documents.decode(_Document, text)
    except Refused as error:
        raise PoolpairError(Code.KEY_FILE, f"not a key file: {error.detail}") from None
    if document.format != _VERSION:
        raise PoolpairError(Code.KEY_FILE, f"a key file of format {document.format}, this release reads {_VERSION}")
    if not _ID.fullmatch(document.pair_id) or not all(_SECRET.fullmatch(each) for each in document.secrets):
        raise PoolpairError(Code.KEY_FILE, "not a key file: pair_id or a secret is not plain hexadecimal")
    try:
        ring = document.ring()
    except ValueError as error:
        raise PoolpairError(Code.KEY_FILE, f"not a key file: {error}") from None
    if document.pending and (len(ring.secrets) < 2 or ring.secrets[-1].key_id != document.pending):
        raise PoolpairError(Code.KEY_FILE, "not a key file: the waiting secret is not the last one")
    return document


def _read(path: Path) -> _Document:
    text = read_private(path)
    try:
        return _parse(text)
    except PoolpairError as error:
        raise PoolpairError(error.code, f"{path}: {error.detail}") from None


def read_private(path: Path) -> bytes:
    """Read a file that holds a secret. Raises KEY_FILE if it is missing, over 64 KiB, or not private."""
    try:
        # Not blocking: a pipe in its place must be refused, not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_private(path, os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                text = file.read(MAX_KEY_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _failure(path, error) from error
    if len(text) > MAX_KEY_FILE_BYTES:
        raise PoolpairError(Code.KEY_FILE, f"{path} is larger than 64 KiB")
    return text


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PoolpairError(Code.KEY_FILE, f"{path} is not a regular file")
    if os.geteuid() != 0 and found.st_uid not in (os.geteuid(), 0):
        raise PoolpairError(Code.KEY_FILE, f"{path} belongs to user {found.st_uid}, not to this user or root")
    if found.st_mode & 0o077:
        raise PoolpairError(Code.KEY_FILE, f"{path} is open to others (mode {found.st_mode & 0o777:04o}), chmod 600 it")


def _rewrite(path: Path, change: Callable[[_Document], _Document]) -> KeyRing:
    document = change(_read(path))
    try:
        # The file behind a link is replaced, not the link.
        real = path.resolve(strict=True)
        temporary = real.with_name(f".{real.name}.{randomness.token_hex(4)}.new")
        _create(temporary, document.encode())
        try:
            temporary.replace(real)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(real.parent)
    except OSError as error:
        raise _failure(path, error) from error
    return document.ring()


def _create(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask took away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(path: Path, error: OSError) -> PoolpairError:
    return PoolpairError(Code.KEY_FILE, f"{path}: {error.strerror or error}")
