"""The documents in their database, SQLite or PostgreSQL: plain rows of a table whose triggers capture and fence as an application's do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from poolpair.errors import Code, PoolpairError
from poolpair.management.documents import VERSIONS_KEPT, Document, Documents, Draft, check_drafts
from poolpair.store.open import POSTGRES, sqlite_path

TABLE = """
CREATE TABLE IF NOT EXISTS document (
  name text NOT NULL, version bigint NOT NULL, body text NOT NULL, author text NOT NULL, note text NOT NULL,
  published_utc text NOT NULL, PRIMARY KEY (name, version))
"""
_NEWEST = """
SELECT name, version, body, author, note, published_utc FROM document d
WHERE version = (SELECT max(version) FROM document WHERE name = d.name) ORDER BY name
"""
_VERSIONS = "SELECT name, version, body, author, note, published_utc FROM document WHERE name = ? ORDER BY version DESC"
_INSERT = "INSERT INTO document (name, version, body, author, note, published_utc) VALUES (?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM document WHERE name = ? AND version <= ?"
_FENCED = "(poolpair)"
"""How the fence ends what it says, in both kinds of database."""
LOCK_WAIT_S = 10.0
_OVERTAKEN = frozenset({"40001", "40P01", "23505"})
"""PostgreSQL: another transaction wrote at the same time, so this one cannot stand as it is."""


class _Overtaken(PoolpairError):
    """Another published at the same moment."""


class _Connection(Protocol):
    """What sqlite3 and psycopg have in common."""

    def execute(self, query: Any, parameters: Any = ..., /) -> Any: ...  # noqa: ANN401

    def close(self) -> None: ...


class SqlDocuments:
    """Implements `documents.Documents`."""

    def __init__(self, connection: _Connection, failure: type[Exception], *, begin: str, mark: str) -> None:
        self._c = connection
        self._failure = failure
        self._begin = begin
        self._mark = mark

    def prepare(self) -> None:
        """Make the table if it is not there."""
        with self._told():
            self._c.execute(TABLE)

    def newest(self) -> tuple[Document, ...]:
        """Of each."""
        return self._read(_NEWEST)

    def versions(self, name: str) -> tuple[Document, ...]:
        """Newest first."""
        return self._read(_VERSIONS, name)

    def publish(self, drafts: Sequence[Draft], *, author: str, note: str, now_utc: str) -> tuple[Document, ...]:
        """In one transaction."""
        try:
            return self._publish(drafts, author, note, now_utc)
        except _Overtaken:  # by one that published at the same moment: what it left is what this is to be held against
            return self._publish(drafts, author, note, now_utc)

    def _publish(self, drafts: Sequence[Draft], author: str, note: str, now_utc: str) -> tuple[Document, ...]:
        made = tuple(
            Document(name=d.name, version=d.onto + 1, body=d.body, author=author, note=note, published_utc=now_utc)
            for d in drafts
        )
        with self._told():
            self._c.execute(self._begin)
            try:
                check_drafts(drafts, self.newest())
                for each in made:
                    row = (each.name, each.version, each.body, each.author, each.note, each.published_utc)
                    self._run(_INSERT, *row)
                    self._run(_FORGET, each.name, each.version - VERSIONS_KEPT)
                self._c.execute("COMMIT")
            except BaseException:  # whatever it was, nothing of it stays
                with suppress(self._failure):
                    self._c.execute("ROLLBACK")
                raise
        return made

    def close(self) -> None:
        """Let go."""
        self._c.close()

    def _read(self, query: str, *values: object) -> tuple[Document, ...]:
        with self._told():
            rows = self._run(query, *values).fetchall()
        return tuple(
            Document(name=name, version=version, body=body, author=author, note=note, published_utc=published_utc)
            for name, version, body, author, note, published_utc in rows
        )

    def _run(self, query: str, *values: object) -> Any:  # noqa: ANN401
        return self._c.execute(query.replace("?", self._mark), values)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the database says, in this project's words."""
        try:
            yield
        except self._failure as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            if getattr(error, "sqlstate", None) in _OVERTAKEN:
                raise _Overtaken(Code.STORE_LOCKED, f"the management store: {said}") from error
            if _FENCED in said:
                raise PoolpairError(Code.NOT_MASTER, "the management store is held by the other pool") from error
            if "locked" in said or "lock timeout" in said:
                raise PoolpairError(Code.STORE_LOCKED, f"the management store: {said}") from error
            if "document" in said and ("no such table" in said or "does not exist" in said):
                raise PoolpairError(Code.NOT_INSTALLED, "the management store was not prepared") from error
            raise PoolpairError(Code.STORE_BROKEN, f"the management store: {said}") from error


def open_documents(url: str, *, make: bool = False) -> Documents:
    """Open the documents of a management store by its URL; `make` prepares the table, and on SQLite the file. Raises STORE_*."""
    if url.startswith(POSTGRES):
        found = _on_postgres(url)
    else:
        path = sqlite_path(url)
        if not make and not path.exists():
            raise PoolpairError(
                Code.NOT_INSTALLED, f"there is no management store at {path}", "run `poolpair -c FILE init`"
            )
        found = _on_sqlite(path)
    if make:
        found.prepare()
    return found


def _on_sqlite(path: Path) -> SqlDocuments:
    import sqlite3  # noqa: PLC0415 - as below

    connection = sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)
    path.chmod(0o600)
    return SqlDocuments(connection, sqlite3.Error, begin="BEGIN IMMEDIATE", mark="?")


def _on_postgres(url: str) -> SqlDocuments:
    import psycopg  # noqa: PLC0415 - who has no server does not wait for its driver

    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=int(LOCK_WAIT_S))
        connection.execute("SET lock_timeout = '10s'")
    except psycopg.Error as error:
        said = str(error).splitlines()[0]
        hint = "make the database, as in: createdb NAME_cms; or name another with `store` in [cms]"
        raise PoolpairError(Code.STORE_MISSING, f"the management store: {said}", hint) from error
    return SqlDocuments(connection, psycopg.Error, begin="BEGIN ISOLATION LEVEL SERIALIZABLE", mark="%s")
