"""Replicas: what each server holds of the documents, what is sent to it, what it answers. Pure.

An update names every document with its digest, and brings those that the server's last answer lacks: so a lost, repeated or damaged one
is made good by the next, and a server that lost everything gets everything. It takes none that is older than what it has: of a lower term,
or of the same with a lower serial.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from poolpair.management.documents import Document
from poolpair.management.members import is_key
from poolpair.management.words import PoolWord

Marks = tuple[int, int]
"""Term and serial: of two replicas the greater is newer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """All documents as they were at one moment."""

    term: int
    serial: int
    documents: tuple[Document, ...] = ()

    @property
    def marks(self) -> Marks:
        """By which it is older or newer than another."""
        return self.term, self.serial

    def have(self) -> dict[str, str]:
        """The digest of each document."""
        return {document.name: mark_of(document) for document in self.documents}

    def document(self, name: str) -> Document | None:
        """One of them."""
        return next((document for document in self.documents if document.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is sent: all names, and the documents that are lacking."""

    term: int
    serial: int
    nonce: str
    have: dict[str, str] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()
    words: tuple[PoolWord, ...] = ()
    """What each pool said of itself last."""

    @property
    def marks(self) -> Marks:
        """Of the replica that it makes."""
        return self.term, self.serial


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a server answers."""

    pool: str
    front_end: str
    term: int = 0
    serial: int = 0
    echo: str = ""
    """The nonce of the newest update that it read."""
    have: dict[str, str] = field(default_factory=dict)
    fault: str = ""
    """Why the newest was not taken."""
    release: str = ""
    word: PoolWord | None = None
    """How its pool stands."""
    files: tuple[str, ...] = ()
    """Watched files that are not as they were published, and why."""

    @property
    def marks(self) -> Marks:
        """Of what it has."""
        return self.term, self.serial


def mark_of(document: Document) -> str:
    """By which a server's document is told from the store's: the version counts, too, for people read it."""
    return f"{document.version} {document.digest}"


def public(there: Iterable[Document]) -> tuple[Document, ...]:
    """What every server may have."""
    return tuple(document for document in there if not is_key(document.name))


def update_for(replica: Replica, report: Report | None, nonce: str, *, full: bool = False) -> Update:
    """What a server is sent by what it said last."""
    has = report.have if report is not None and not full else {}
    lacking = tuple(document for document in replica.documents if has.get(document.name) != mark_of(document))
    return Update(term=replica.term, serial=replica.serial, nonce=nonce, have=replica.have(), documents=lacking)


def is_up_to_date(replica: Replica, report: Report | None) -> bool:
    """Whether a server has exactly this."""
    return report is not None and report.marks == replica.marks and report.have == replica.have()


def after(before: Replica | None, update: Update) -> Replica | None:
    """What a server has then; None if it cannot be made whole of both, or is older than what is there."""
    if before is not None and update.marks < before.marks:
        return None
    known = {document.name: document for document in (before.documents if before else ())}
    known |= {document.name: document for document in update.documents}
    if any(name not in known or mark_of(known[name]) != mark for name, mark in update.have.items()):
        return None
    chosen = tuple(known[name] for name in sorted(update.have))
    return Replica(term=update.term, serial=update.serial, documents=chosen)
