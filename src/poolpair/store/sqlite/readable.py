"""Whether a received rows file can be read at all, and its list of files believed."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from poolpair.errors import Code, Refused
from poolpair.store.sqlite.connection import text

FILE_ROW = {"path", "size", "mtime_ns", "mode", "sha256", "home", "conference", "present", "member", "offset"}
UNSOUND_FILE = """
SELECT 1 FROM pkg.f WHERE NOT (
  typeof(path) = 'blob' AND typeof(sha256) = 'text' AND typeof(home) = 'text' AND typeof(conference) = 'text'
  AND typeof(size) = 'integer' AND size >= 0 AND typeof(mtime_ns) = 'integer'
  AND typeof(mode) = 'integer' AND mode BETWEEN 0 AND 4095
  AND typeof(member) = 'integer' AND typeof(offset) = 'integer' AND offset >= 0
  AND CASE present WHEN 1 THEN member >= 0 AND length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'
                   WHEN 0 THEN member = 0 ELSE 0 END)
UNION ALL SELECT 1 FROM pkg.f GROUP BY path HAVING count(*) > 1
LIMIT 1
"""
"""Finds a line of the list of files that no origin writes; SQLite keeps any value in any column."""


_OF_THIS_MACHINE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_FULL", "SQLITE_CANTOPEN")


@contextmanager
def readable() -> Iterator[None]:
    """A rows file that SQLite cannot read is refused, unless this machine is at fault: it would be no better the next time."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "").startswith(_OF_THIS_MACHINE):
            raise
        raise Refused(Code.DAMAGED, f"the rows file cannot be read: {error}") from error
    except UnicodeDecodeError as error:  # SQLite's message quotes a name that is no UTF-8
        raise Refused(Code.DAMAGED, "the rows file cannot be read: a name in it is no text") from error


_QUOTED = re.compile(r"""\"(?:[^"]|"")*\" | '(?:[^']|'')*' | `(?:[^`]|``)*` | \[[^\]]*\]""", re.VERBOSE)
_COMPUTES = re.compile(r"\b(?:CHECK|GENERATED|AS|DEFAULT|REFERENCES|WHERE)\b|--|/\*", re.IGNORECASE)


def is_plain(kind: str, sql: object) -> bool:
    """Whether a table of a rows file is nothing but columns, or an index what SQLite makes for a key: then reading it computes nothing.

    Our connection trusts the application's schema, and SQLite makes no difference between that and what is attached.
    """
    if kind == "index":
        return sql is None
    return kind == "table" and _COMPUTES.search(_QUOTED.sub(" ", text(sql))) is None
