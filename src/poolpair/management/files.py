"""Watched files: the application's configuration, the same on every server that says in [cms.files] where it lies.

A version that is published is put in its place, with its mode, and a command of the operator's runs. What somebody changed in place
is never lost: it stays, and is named, until a newer version is published or the published one is asked for; then it is kept beside.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from poolpair.clock import Clock
from poolpair.errors import Refused
from poolpair.format import documents
from poolpair.hooks.port import Hooks
from poolpair.management.documents import BODY_MAX_BYTES, Document
from poolpair.management.local import sync_folder, write_whole
from poolpair.management.replica import Replica
from poolpair.moves import HookStep

FILE: Final = "file/"
"""How the names of these documents begin."""
PLACED: Final = "files.json"
RETRY_S: Final = 30.0
"""What could not be placed, or whose command failed, is tried again."""
NEW_MODE: Final = 0o640
_MODE_MAX: Final = 0o777


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What was done last for a file: the digest that was put there, and the one for which the command ended well."""

    digest: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The same of all files of a server."""

    files: dict[str, Placed] = field(default_factory=dict)


class NotPlaced(Exception):
    """Why a file could not be read or put in its place, in words."""


def read_known(folder: Path) -> Known:
    """What the scratch folder says; nothing if it says nothing that is whole."""
    try:
        return documents.decode(Known, (folder / PLACED).read_bytes())
    except (OSError, Refused):
        return Known()


def ask_again(folder: Path, name: str) -> None:
    """Let the published version be put in its place once more, whatever is there. Raises SCRATCH."""
    known = read_known(folder)
    files = {other: placed for other, placed in known.files.items() if other != name}
    write_whole(folder / PLACED, documents.encode(Known(files=files)).encode())


def digest_there(place: Path) -> str | None:
    """The digest of what lies there; None if nothing does. Raises NotPlaced for what is no file, or cannot be read."""
    try:
        found = place.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise NotPlaced(f"{place} is no regular file")
        with place.open("rb") as source:
            return sha256(source.read(BODY_MAX_BYTES + 1)).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotPlaced(f"{place}: {error.strerror}") from error


def put(place: Path, document: Document, ours: str) -> Path | None:
    """Put a version in its place at once; what lay there is kept beside unless it has the digest `ours`. Gives where. Raises NotPlaced."""
    part, kept = place.with_name(f".{place.name}.poolpair"), None
    try:
        mode = stat.S_IMODE(place.stat().st_mode) & _MODE_MAX if place.exists() else NEW_MODE
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as sink:
            os.fchmod(sink.fileno(), mode)
            sink.write(document.body.encode())
            sink.flush()
            os.fsync(sink.fileno())
        if place.exists():
            kept = _beside(place, document.version)
            _keep(place, kept)
            if digest_there(kept) == ours:
                kept.unlink()
                kept = None
        part.replace(place)
        sync_folder(place.parent)
    except OSError as error:
        raise NotPlaced(f"{place}: {error.strerror}") from error
    return kept


def _keep(place: Path, kept: Path) -> None:
    """Under another name as well; by a copy where the kernel refuses a link, as to a file that is somebody else's."""
    try:
        os.link(place, kept)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP}:
            raise
        mode = stat.S_IMODE(place.stat().st_mode) & _MODE_MAX
        with (
            place.open("rb") as source,
            os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as sink,
        ):
            os.fchmod(sink.fileno(), mode)
            shutil.copyfileobj(source, sink)
            sink.flush()
            os.fsync(sink.fileno())


def _beside(place: Path, version: int) -> Path:
    """A name that is free."""
    number, kept = 1, place.with_name(f"{place.name}.before-{version}")
    while kept.exists():
        number, kept = number + 1, place.with_name(f"{place.name}.before-{version}-{number + 1}")
    return kept


class WatchedFiles:
    """Those of one server. `places` are from its pool file, `hooks` of this thread alone."""

    def __init__(
        self,
        places: Mapping[str, Path],
        folder: Path,
        hooks: Hooks,
        words: Mapping[str, str],
        tell: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._places, self._folder, self._hooks, self._words = places, folder, hooks, words
        self._tell, self._clock = tell, clock
        self._seen: object = None
        self._tried_s = 0.0
        self._said: dict[str, str] = {}
        self._failed: dict[str, tuple[str, str, float]] = {}
        """By name: for which digest the command failed, how, and when."""

    def look(self, replica: Replica | None) -> tuple[str, ...]:
        """Put in place what is new, run the command for it; says of each file that is not as published why. Raises SCRATCH."""
        now_s = self._clock.monotonic_s()
        stamp = (replica, self._stamp())
        if stamp != self._seen or (self._said and now_s - self._tried_s >= RETRY_S):
            self._tried_s = now_s
            self._attend(replica)
            self._seen = stamp  # as it was before: what somebody wrote meanwhile is news
        return tuple(f"{name}: {said}" for name, said in sorted(self._said.items()))

    def _stamp(self) -> tuple[object, ...]:
        return tuple(_stat(path) for path in (*self._places.values(), self._folder / PLACED))

    def _attend(self, replica: Replica | None) -> None:
        before, said = read_known(self._folder).files, dict[str, str]()
        for name, place in self._places.items():
            document = replica.document(FILE + name) if replica is not None else None
            if document is None:
                said[name] = "no such document was published"
                continue
            try:
                after, problem = self._bring(name, place, document, before.get(name, Placed()))
                self._note(name, before.get(name), after)
            except NotPlaced as error:
                problem = str(error)
            if problem:
                said[name] = problem
        for name, words in said.items():
            if self._said.get(name) != words:
                self._tell(f"file {name}: {words}")
        self._said = said

    def _note(self, name: str, before: Placed | None, after: Placed) -> None:
        """At once, for a command may take its time; unless somebody asked meanwhile for the file to be put there once more."""
        known = read_known(self._folder)
        if after != before and known.files.get(name) == before:
            files = known.files | {name: after}
            write_whole(self._folder / PLACED, documents.encode(Known(files=files)).encode())

    def _bring(self, name: str, place: Path, document: Document, placed: Placed) -> tuple[Placed, str]:
        """What was done, and what is not as it should be."""
        there, wanted = digest_there(place), document.digest
        if there not in (None, wanted) and placed.digest == wanted:
            hint = f"`poolpair cms publish {FILE}{name} {place}` gives it to all, `poolpair cms place {name}` takes it back"
            return placed, f"changed here since version {document.version} was put there; {hint}"
        if there != wanted:
            kept = put(place, document, placed.digest)
            self._tell(
                f"file {name}: version {document.version} is at {place}" + (f"; what was there: {kept}" if kept else "")
            )
        placed = replace(placed, digest=wanted)
        if placed.told != wanted:
            failed, failure, at_s = self._failed.get(name, ("", "", 0.0))
            if failed != wanted or self._tried_s - at_s >= RETRY_S:
                failure = self._run(name, place, document)
                self._failed[name] = (wanted, failure, self._tried_s)
            if failure:
                return placed, failure
        self._failed.pop(name, None)
        return replace(placed, told=wanted), ""

    def _run(self, name: str, place: Path, document: Document) -> str:
        """Why the command did not end well."""
        step = HookStep.AFTER_CONFIGURE
        if step not in self._hooks.commands:
            return ""
        words = {"POOLPAIR_STEP": step.value, "POOLPAIR_FILE": name, "POOLPAIR_PATH": str(place)}
        result = self._hooks.run(step, {**self._words, **words, "POOLPAIR_VERSION": str(document.version)})
        if result is None:
            return "the command was ended with the service"
        return f"the hook {step} {result.failure}: {result.output.strip()[-200:]}" if result.failure else ""


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
