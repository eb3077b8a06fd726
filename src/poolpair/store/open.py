"""Chooses the store's adapter by the scheme of its URL, and prepares or clears a database for poolpair."""

from __future__ import annotations

from pathlib import Path

from poolpair.errors import Code, PoolpairError

SQLITE = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """The absolute path of a `sqlite:////abs/path` URL. Raises CONFIG for every other URL."""
    if not url.startswith(SQLITE):
        scheme = url.split(":", 1)[0]
        raise PoolpairError(
            Code.CONFIG, f"store = {scheme!r}: this release keeps stores on SQLite only (sqlite:////abs/path)"
        )
    path = Path(url.removeprefix(SQLITE))
    if not path.is_absolute():
        raise PoolpairError(
            Code.CONFIG, f"store = {url!r}: the path must be absolute: sqlite:////abs/path has four slashes"
        )
    return path
