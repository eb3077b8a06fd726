"""What a server keeps of the store in its scratch folder: the replica, and what pools say. What cannot be read counts as nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from poolpair.clock import Clock
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format import documents
from poolpair.management.documents import ALL_MAX_BYTES
from poolpair.management.replica import Replica
from poolpair.management.words import PoolWord

NAME = "replica.json"
WORDS = "deployment.json"
FORGOTTEN_S = 3600.0
"""So old a word is of a pool that the deployment has no more, or tells nothing."""
_MAX_BYTES = 4 * ALL_MAX_BYTES


def read_local(folder: Path) -> Replica | None:
    """What this server has; None if it has nothing, or nothing that is whole."""
    try:
        with (folder / NAME).open("rb") as source:
            digest, _, text = source.read(_MAX_BYTES).partition(b"\n")
    except OSError:
        return None
    if digest.decode("ascii", "replace") != sha256(text).hexdigest():
        return None
    try:
        return documents.decode(Replica, text)
    except Refused:
        return None


def stamp_of(folder: Path) -> tuple[int, ...]:
    """What changes whenever the file does; cheap, to be asked again and again."""
    try:
        found = (folder / NAME).stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def write_local(folder: Path, replica: Replica) -> None:
    """Let it be this; durable when it returns. Raises SCRATCH."""
    text = documents.encode(replica).encode()
    write_whole(folder / NAME, sha256(text).hexdigest().encode() + b"\n" + text)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that nobody sees half of, mode 0600. Raises SCRATCH."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"{path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Let the names in a folder be durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All words that a server has, and when they came."""

    words: tuple[PoolWord, ...]
    boot_id: str
    at_s: float


def keep_words(folder: Path, words: tuple[PoolWord, ...], clock: Clock) -> None:
    """Write down what was passed on, beside what is known of pools that it says nothing of. Raises SCRATCH.

    A store whose service has just begun has heard nobody yet: what was known before only grows older by that.
    """
    told = {word.pool for word in words}
    older = (word for word in words_known(folder, clock) if word.pool not in told and word.age_s < FORGOTTEN_S)
    known = Known(words=(*words, *older), boot_id=clock.boot_id(), at_s=clock.monotonic_s())
    write_whole(folder / WORDS, documents.encode(known).encode())


def words_known(folder: Path, clock: Clock) -> tuple[PoolWord, ...]:
    """What this server knows, each as old as it is now; nothing if nothing came since the machine was started."""
    try:
        known = documents.decode(Known, (folder / WORDS).read_bytes())
    except (OSError, Refused):
        return ()
    if known.boot_id != clock.boot_id():
        return ()
    since_s = clock.monotonic_s() - known.at_s
    return tuple(replace(word, age_s=word.age_s + since_s) for word in known.words)
