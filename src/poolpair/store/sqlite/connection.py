"""Connections to the application's SQLite database, and its errors in our words.

Every connection waits for locks at most `lock_wait_s`, commits durably (synchronous FULL), leaves foreign keys unenforced (a
package is a consistent snapshot; cascades would delete rows twice). Text comes back as `Text`,
undecoded.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from poolpair.errors import Code, PoolpairError
from poolpair.store.buckets import Text, bucket_of_encoded, encode_values

PREFIX = "poolpair_"
CACHE_KIB = 32 * 1024
"""Of the application's database, as far as it is used: a large package touches many pages, each more than once."""
CHAIN_MAX = 400
"""Conditions in a row; SQLite reads a chain of a thousand as an expression a thousand deep, and refuses it."""
OWN_TRIGGERS = f"type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name NOT GLOB '{PREFIX}*'"
"""Finds a table's triggers of the application's in the catalogue, which has the table's name as each trigger spells it."""


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> str:
    """A name as SQLite compares names: the case of ASCII letters does not matter."""
    return name.translate({upper: upper + 32 for upper in range(65, 91)})


def literal(text: str) -> str:
    """Quote a text value."""
    return "'" + text.replace("'", "''") + "'"


def connect(path: Path, lock_wait_s: float, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database. Raises STORE_MISSING, STORE_LOCKED, STORE_BROKEN."""
    _refuse_absent(path)
    mode = "ro" if read_only else "rw"
    with translated(path):
        connection = sqlite3.connect(
            uri_of(path, f"mode={mode}"),
            uri=True,
            timeout=lock_wait_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.text_factory = Text
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = OFF")
        # The application's own schema is trusted, as the application does: it may hold CHECK (json_valid(...)) or fill a search index,
        # which SQLite allows only to who does. What is attached is looked at first: `readable.is_plain`.
        connection.execute("PRAGMA trusted_schema = ON")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute(f"PRAGMA main.cache_size = -{CACHE_KIB}")
        connection.create_function("poolpair_bucket", -1, _sql_bucket, deterministic=True)
        connection.create_function("poolpair_encoded", -1, _sql_encoded, deterministic=True)
        connection.create_function("poolpair_bucket_encoded", -1, _sql_bucket_encoded, deterministic=True)
    return connection


def _refuse_absent(path: Path) -> None:
    """Whether it is a file; `Path.is_file` raises in some releases of Python where a folder may not be entered."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_file = False
    except OSError as error:
        raise PoolpairError(Code.STORE_MISSING, f"{path} cannot be looked at: {error.strerror}") from error
    if not is_file:
        raise PoolpairError(Code.STORE_MISSING, f"{path} is not there")


def chained(operator: str, terms: Iterable[str]) -> str:
    """Join conditions as they are read best, and very many as a tree."""
    listed = list(terms)
    return f" {operator} ".join(listed) if len(listed) <= CHAIN_MAX else as_tree(operator, listed)


def as_tree(operator: str, terms: Iterable[str]) -> str:
    """Join as a tree, whose depth does not matter."""
    parts = list(terms)
    while len(parts) > 1:
        parts = [f"({f' {operator} '.join(parts[at : at + 2])})" for at in range(0, len(parts), 2)]
    return parts[0]


def uri_of(path: Path, query: str) -> str:
    """How SQLite is told of a file where it reads an address: a folder's name may hold what means something there."""
    return f"{path.absolute().as_uri()}?{query}"


@contextmanager
def together(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is done inside or nothing of it, within a transaction or without one."""
    connection.execute("SAVEPOINT poolpair_together")
    try:
        yield
    except BaseException:  # whatever ended it: clean up, then let it pass
        if connection.in_transaction:
            connection.execute("ROLLBACK TO poolpair_together")
            connection.execute("RELEASE poolpair_together")
        raise
    connection.execute("RELEASE poolpair_together")


def _sql_bucket(of: int, *typed: object) -> int:
    """Compute poolpair_bucket(of, typeof(k1), k1 with text cast to blob, ...): Python would refuse text that is not UTF-8."""
    return _sql_bucket_encoded(of, _sql_encoded(*typed))


def _sql_encoded(*typed: object) -> bytes:
    """Encode a part of a key: SQLite passes no more than 127 values to a function."""
    pairs = zip(typed[::2], typed[1::2], strict=True)
    return encode_values(
        [Text(value) if kind == "text" and isinstance(value, bytes) else value for kind, value in pairs]
    )


def _sql_bucket_encoded(of: int, *parts: bytes) -> int:
    return bucket_of_encoded(b"".join(parts), of)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the driver's errors into ours; constraint violations pass, because apply reads them."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> PoolpairError:
    """Say in our words what the driver said."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return PoolpairError(Code.STORE_LOCKED, f"{path} stayed locked by another process")
    if name.startswith("SQLITE_CANTOPEN"):
        return PoolpairError(Code.STORE_MISSING, f"{path} cannot be opened: {error}")
    if name.startswith("SQLITE_FULL"):
        return PoolpairError(
            Code.STORE_BROKEN, f"no space is left for {path}", hint="free space on its disk; poolpair goes on by itself"
        )
    if "no such table: " + PREFIX in str(error) or "no such table: main." + PREFIX in str(error):
        return PoolpairError(Code.NOT_INSTALLED, f"{path} was not prepared for poolpair")
    return PoolpairError(Code.STORE_BROKEN, f"{path}: {error}")


def text(value: object) -> str:
    """A stored text as `str`, for people and for our own documents."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def location_of(path: Path) -> str:
    """A digest of where a database lies. A copy elsewhere differs; a restore in place does not."""
    return sha256(str(path.resolve()).encode()).hexdigest()


def file_of(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
