"""Both versions of a ledger entry side by side, with what differs marked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from poolpair.printable import shortened
from poolpair.store.ledger_files import FILES, version_from
from poolpair.store.row_text import rows_from_text
from poolpair.store.values import LedgerEntry

ROWS_SHOWN = 40
TEXT_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of one version; `alone`: the other has no such row."""

    text: str
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What both pools had of a group or file."""

    key: str
    theirs: tuple[Line, ...]
    ours: tuple[Line, ...]
    more: int
    """Rows that are not shown."""


def versions(entry: LedgerEntry) -> Versions:
    """Take an entry apart for people."""
    key = [str(value) for value in rows_from_text(entry.key)[0]]
    if entry.table == FILES:
        theirs, ours = _of_file(entry.theirs), _of_file(entry.ours)
    else:
        theirs, ours = _of_rows(entry.theirs, key), _of_rows(entry.ours, key)
    return Versions(
        key=shortened(", ".join(key)),
        theirs=_marked(theirs, ours),
        ours=_marked(ours, theirs),
        more=max(0, len(theirs) - ROWS_SHOWN, len(ours) - ROWS_SHOWN),
    )


def _marked(mine: list[str], other: list[str]) -> tuple[Line, ...]:
    return tuple(Line(text=text[:TEXT_MAX], alone=text not in other) for text in mine[:ROWS_SHOWN])


def _of_rows(text: str, key: list[str]) -> list[str]:
    """Rows without the key, where they begin with it: the heading says it once."""
    rows = [[str(value) for value in row] for row in rows_from_text(text)]
    shown = [row[len(key) :] if row[: len(key)] == key and len(row) > len(key) else row for row in rows]
    return [" | ".join(row) for row in shown] or ["(the group is not there)"]


def _of_file(text: str) -> list[str]:
    version = version_from(text)
    if version is None:
        return ["(the file is not there)"]
    written_utc = datetime.fromtimestamp(version.mtime_ns // 10**9, UTC).isoformat()
    return [f"{version.size:,} bytes", f"written {written_utc}", f"sha256 {version.sha256}"]
