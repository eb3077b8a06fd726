"""Documents and tokens in PostgreSQL: what the pool remembers, and what each capture token saw."""

from __future__ import annotations

from typing import TypeVar

from poolpair.documents import decode, encode
from poolpair.store.postgres.database import SCHEMA, Database

T = TypeVar("T")
DOCUMENT = f"{SCHEMA}.document"
TOKEN = f"{SCHEMA}.token"
TOKENS_KEPT = 4096
"""Of older tokens only every 4096th is kept: a delta from one that is gone begins at the next older one, and carries more."""
EVERYTHING = "1:1:"
"""The snapshot that saw nothing: all is later."""


def read_document(database: Database, cls: type[T], name: str) -> T | None:
    """Read one document."""
    row = database.row(f"SELECT body FROM {DOCUMENT} WHERE name = $1", name)
    return decode(cls, str(row[0])) if row else None


def read_documents(database: Database, cls: type[T], prefix: str) -> dict[str, T]:
    """Read every document whose name begins with a prefix."""
    found = database.rows(f"SELECT name, body FROM {DOCUMENT} WHERE starts_with(name, $1) ORDER BY name", prefix)
    return {str(name): decode(cls, str(body)) for name, body in found}


def write_document(database: Database, name: str, value: object) -> None:
    """Write one document."""
    database.run(
        f"INSERT INTO {DOCUMENT} (name, body) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
        name,
        encode(value),
    )


def newest_token(database: Database) -> int:
    """The newest token drawn."""
    return database.number(f"SELECT coalesce(max(number), 0) FROM {TOKEN}")


def draw_token(database: Database) -> int:
    """Draw a token: it sees what is committed now. Whoever draws holds the turn, so numbers come in the order of their views."""
    number = database.number(
        f"INSERT INTO {TOKEN} SELECT coalesce(max(number), 0) + 1, pg_current_snapshot() FROM {TOKEN} RETURNING number"
    )
    if number % TOKENS_KEPT == 0:
        database.run(
            f"DELETE FROM {TOKEN} WHERE number <= $1::bigint AND number % $2::bigint <> 0",
            number - TOKENS_KEPT,
            TOKENS_KEPT,
        )
    return number


def seen_at(database: Database, token: int) -> str:
    """What a token saw, as the text of a snapshot; for one that is gone what the next older one saw, which is less."""
    row = database.row(f"SELECT snapshot::text FROM {TOKEN} WHERE number <= $1 ORDER BY number DESC LIMIT 1", token)
    return str(row[0]) if row else EVERYTHING
