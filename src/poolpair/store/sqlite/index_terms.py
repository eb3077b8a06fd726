"""What a unique index compares: columns, and expressions as they stand in its CREATE INDEX statement.

SQLite tells how many terms an index has and in which collation it compares each, but gives the text of an expression, and of the
condition of a partial index, nowhere except in the statement itself. That is therefore split at the commas between its first
parentheses, and not parsed further.
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


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """What no two rows may share; of a partial index, no two rows that meet its condition."""

    terms: tuple[Term, ...]
    condition: str = ""


_PIECE = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | --[^\n]* | /\*.*?(?:\*/|$) | .""",
    re.VERBOSE | re.DOTALL,
)
_DIRECTION = re.compile(r"\s+(?:ASC|DESC)\s*$", re.IGNORECASE)
_WHERE = re.compile(r"\s*WHERE\b", re.IGNORECASE)


def split_index(sql: str) -> tuple[list[str], str]:
    """The terms of a CREATE INDEX statement, without their directions, and its condition."""
    terms, rest, depth = [""], "", 0
    for piece in _PIECE.findall(sql):
        plain = " " if piece.startswith(("--", "/*")) else piece
        if depth < 0:
            rest += plain
            continue
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if depth == 0 and piece == ")":
            depth = -1
        elif depth == 1 and piece == ",":
            terms.append("")
        elif depth > 1 or (depth == 1 and piece != "("):
            terms[-1] += plain
    return [_DIRECTION.sub("", term).strip() for term in terms], _WHERE.sub("", rest, count=1).strip()


def unique_key(connection: sqlite3.Connection, index: str, *, partial: bool) -> UniqueKey:
    """What one unique index compares. Raises PROFILE if its statement cannot be read."""
    listed = connection.execute("SELECT cid, name, coll FROM pragma_index_xinfo(?) WHERE key = 1", (index,)).fetchall()
    written, condition = [""] * len(listed), ""
    if partial or any(int(cid) < 0 for cid, _, _ in listed):
        found = connection.execute("SELECT sql FROM main.sqlite_master WHERE type = 'index' AND name = ?", (index,))
        written, condition = split_index(text(found.fetchone()[0]))
        if len(written) != len(listed) or bool(condition) != partial:
            detail = (
                f"unique index {index}: its statement cannot be read, so REPLACE could delete rows through it unseen"
            )
            raise PoolpairError(Code.PROFILE, detail)
    terms = (
        Term(text(name), "", text(collation).upper())
        if int(cid) >= 0
        else Term("", written[place], text(collation).upper())
        for place, (cid, name, collation) in enumerate(listed)
    )
    return UniqueKey(tuple(terms), condition)
