"""Chooses the kind of store by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from poolpair.errors import Code, PoolpairError
from poolpair.store.kind import StoreKind

SQLITE = "sqlite:///"
POSTGRES = "postgresql://"


def kind_of(url: str, lock_wait_s: float, lock_path: Callable[[], Path]) -> StoreKind:
    """The database of a URL; nothing is opened. Raises CONFIG for a URL that no kind reads."""
    # Imported here: a command begins in two thirds of the time without the driver and the modules of the other kind.
    if url.startswith(POSTGRES):
        from poolpair.store.postgres.kind import PostgresKind  # noqa: PLC0415

        return PostgresKind(url, lock_wait_s)
    from poolpair.store.sqlite.kind import SqliteKind  # noqa: PLC0415

    return SqliteKind(sqlite_path(url), lock_wait_s, lock_path)


def sqlite_path(url: str) -> Path:
    """The absolute path of a `sqlite:////abs/path` URL. Raises CONFIG for every other URL."""
    if not url.startswith(SQLITE):
        scheme = url.split(":", 1)[0]
        detail = f"store = {scheme!r}: expected sqlite:////abs/path or postgresql://..."
        raise PoolpairError(Code.CONFIG, detail)
    path = Path(url.removeprefix(SQLITE))
    if not path.is_absolute():
        raise PoolpairError(
            Code.CONFIG, f"store = {url!r}: the path must be absolute: sqlite:////abs/path has four slashes"
        )
    return path
