"""Files in the ledger: entries of a table that no database has, whose key is the path, and whose versions say what each file was.

A version is JSON text like the rows of other entries: `[]` is a file that is not there, else one object with size in bytes, time, mode and
digest. The bytes lie in a tree, or in the spool beside one under their digest. Every kind of store gets its entries from here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from urllib.parse import quote_from_bytes, unquote_to_bytes

from poolpair.model import Channel
from poolpair.store.ledger import entry_of, ledger_row
from poolpair.store.row_text import rows_from_text, rows_to_text
from poolpair.store.values import CatalogueFile, LedgerEntry, LedgerNote

FILES = "the files"
"""Stands where other entries name a table; the guard of deletions calls the tree the same."""
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """What one file was at one pool."""

    size: int
    mtime_ns: int
    mode: int
    sha256: str


def file_entry(file: CatalogueFile, ours: CatalogueFile | None, note: LedgerNote) -> LedgerEntry:
    """A new entry: what another pool had, a deletion too, and what stands here, if anything does."""
    key = rows_to_text(((path_text(file.path),),))
    versions = version_text(version_of(file)), version_text(version_of(ours))
    return entry_of(ledger_row(file.home, Channel.CONFERENCES, FILES, key, *versions, note))


def path_text(path: bytes) -> str:
    """A path as a text that every store takes: what is not printable ASCII, and %, as %XX."""
    return quote_from_bytes(path, safe=_PLAIN)


def path_of(entry: LedgerEntry) -> bytes:
    """The path that an entry is about."""
    ((text,),) = rows_from_text(entry.key)
    return unquote_to_bytes(str(text))


def version_of(file: CatalogueFile | None) -> FileVersion | None:
    """What a file is, None if it is not there."""
    if file is None or not file.present:
        return None
    return FileVersion(size=file.size, mtime_ns=file.mtime_ns, mode=file.mode, sha256=file.sha256)


def version_text(version: FileVersion | None) -> str:
    """A version as an entry holds it."""
    return json.dumps([asdict(version)] if version is not None else [], separators=(",", ":"))


def version_from(text: str) -> FileVersion | None:
    """What `version_text` was given."""
    found = json.loads(text)
    return FileVersion(**found[0]) if found else None
