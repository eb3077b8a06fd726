"""What a unique index compares: columns, and expressions as they stand in its CREATE INDEX statement.

SQLite tells how many terms an index has and in which collation it compares each, but gives the text of an expression nowhere except
in the statement itself, which is therefore split at the commas between its first parentheses. It is not parsed further.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from poolpair.errors import Code, PoolpairError
from poolpair.store.sqlite.connection import text


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a unique index; `column` is empty for an expression."""

    column: str
    expression: str
    collation: str


_PIECE = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | --[^\n]* | /\*.*?(?:\*/|$) | .""",
    re.VERBOSE | re.DOTALL,
)
_DIRECTION = re.compile(r"\s+(?:ASC|DESC)\s*$", re.IGNORECASE)


def split_terms(sql: str) -> list[str]:
    """The terms of a CREATE INDEX statement, without their directions."""
    terms, depth = [""], 0
    for piece in _PIECE.findall(sql):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if depth == 0 and piece == ")":
            break
        if depth == 1 and piece == ",":
            terms.append("")
        elif depth > 1 or (depth == 1 and piece != "("):
            terms[-1] += " " if piece.startswith(("--", "/*")) else piece
    return [_DIRECTION.sub("", term).strip() for term in terms]


def index_terms(connection: sqlite3.Connection, index: str) -> tuple[Term, ...]:
    """The terms of one index. Raises PROFILE if an expression in it cannot be read."""
    listed = connection.execute("SELECT cid, name, coll FROM pragma_index_xinfo(?) WHERE key = 1", (index,)).fetchall()
    written: list[str] = []
    if any(int(cid) < 0 for cid, _, _ in listed):
        found = connection.execute("SELECT sql FROM main.sqlite_master WHERE type = 'index' AND name = ?", (index,))
        written = split_terms(text(found.fetchone()[0]))
        if len(written) != len(listed):
            detail = (
                f"unique index {index}: its expressions cannot be read, so REPLACE could delete rows through it unseen"
            )
            raise PoolpairError(Code.PROFILE, detail)
    return tuple(
        Term(text(name), "", text(collation).upper())
        if int(cid) >= 0
        else Term("", written[place], text(collation).upper())
        for place, (cid, name, collation) in enumerate(listed)
    )
