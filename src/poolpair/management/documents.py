"""Documents: named texts of which each version is a row, the newest counts. Who else holds the store gets all versions of a name together.

A version is published onto the one that its author saw. So two who change the same document at the same time do not undo each other's
work unseen: the second is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from poolpair.errors import Code, PoolpairError

BODY_MAX_BYTES: Final = 1024 * 1024
"""Of one document. All together may have `ALL_MAX_BYTES`, for each server reads them at once."""
ALL_MAX_BYTES: Final = 8 * 1024 * 1024
DOCUMENTS_MAX: Final = 1000
VERSIONS_KEPT: Final = 50
"""Of each document; older ones go when a newer one is published."""
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}(/[A-Za-z0-9][A-Za-z0-9_.+-]{0,99})?", re.ASCII)
"""What a document is called: what it is, and where there may be many, which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One version of a document."""

    name: str
    version: int
    body: str
    author: str = ""
    note: str = ""
    published_utc: str = ""

    @property
    def digest(self) -> str:
        """By which two bodies are told apart."""
        return digest_of(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A body that is to be published onto a version, 0 for a document that is new."""

    name: str
    body: str
    onto: int


class Documents(Protocol):
    """The documents of one management store. Raises STORE_*, and NOT_MASTER where another pool holds it."""

    def newest(self) -> tuple[Document, ...]:
        """The newest version of each, by name."""
        ...

    def versions(self, name: str) -> tuple[Document, ...]:
        """All that are kept of one, newest first."""
        ...

    def publish(self, drafts: Sequence[Draft], *, author: str, note: str, now_utc: str) -> tuple[Document, ...]:
        """Publish all or none. Raises OUTDATED if one was published meanwhile, LIMIT for one that is too large."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def digest_of(body: str) -> str:
    """SHA-256 in hexadecimal."""
    return sha256(body.encode()).hexdigest()


def check_drafts(drafts: Sequence[Draft], there: Sequence[Document]) -> None:
    """Raise USAGE for what is no name or no text, TOO_MUCH for more than servers should read, OUTDATED for one made from an older one."""
    known = {document.name: document for document in there}
    for draft in drafts:
        if not NAME.fullmatch(draft.name):
            raise PoolpairError(Code.USAGE, f"{draft.name!r} is no name of a document")
        if "\0" in draft.body:
            raise PoolpairError(Code.USAGE, f"{draft.name} would hold a byte of value 0, which no text has")
        if len(draft.body.encode()) > BODY_MAX_BYTES:
            raise PoolpairError(Code.TOO_MUCH, f"{draft.name} would be larger than 1 MiB")
        made = known.get(draft.name)
        newest = made.version if made else 0
        if draft.onto != newest:
            by = f", by {made.author} at {made.published_utc}" if made else ""
            detail = f"{draft.name} was changed meanwhile: version {newest} is there{by}, and this was made from {draft.onto}"
            raise PoolpairError(Code.OUTDATED, detail)
    bodies = {document.name: document.body for document in there} | {draft.name: draft.body for draft in drafts}
    if len(bodies) > DOCUMENTS_MAX or sum(len(body.encode()) for body in bodies.values()) > ALL_MAX_BYTES:
        raise PoolpairError(Code.TOO_MUCH, f"all documents together may be {DOCUMENTS_MAX}, of 8 MiB")
