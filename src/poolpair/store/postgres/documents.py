"""Documents and tokens in PostgreSQL: what the pool remembers, and what each capture token saw.

A round trip costs more than a document. So those that are read again and again come together: in one query when somebody looks
anew, and with the statement that begins a transaction, whose turn makes them exact. What a transaction writes goes with its COMMIT.
What else is asked for at each look rides with that query.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from poolpair.documents import decode, encode
from poolpair.store.postgres.database import SCHEMA, Database, answers_of, literal, texts

T = TypeVar("T")
DOCUMENT = f"{SCHEMA}.document"
TOKEN = f"{SCHEMA}.token"
TOKENS_KEPT = 4096
"""Of older tokens only every 4096th is kept: a delta from one that is gone begins at the next older one, and carries more."""
EVERYTHING = "1:1:"
"""The snapshot that saw nothing: all is later."""
ONCE = "intent/"
"""Documents of these names are read a few times soon after they were written: only the latest are remembered."""
LATELY = 16
FROM_OTHERS = "request/"
"""Documents of these names are left by somebody else, and read when something is new: as they are then."""


def read_document(database: Database, cls: type[T], name: str) -> T | None:
    """Read one document."""
    row = database.row(f"SELECT body FROM {DOCUMENT} WHERE name = $1", name)
    return decode(cls, str(row[0])) if row else None


def read_documents(database: Database, cls: type[T], prefix: str) -> dict[str, T]:
    """Read every document whose name begins with a prefix."""
    found = database.rows(f"SELECT name, body FROM {DOCUMENT} WHERE {beginning_with(prefix)} ORDER BY name")
    return {str(name): decode(cls, str(body)) for name, body in found}


def beginning_with(prefix: str) -> str:
    """The condition that a document's name begins so, as a range of the index: there are thousands of intents."""
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return f"name >= {literal(prefix)} AND name < {literal(after)}"


def write_document(database: Database, name: str, value: object) -> None:
    """Write one document."""
    database.run(written({name: encode(value)}))


def written(bodies: dict[str, str]) -> str:
    """The statement that writes some documents."""
    values = ", ".join(f"({literal(name)}, {literal(body)})" for name, body in sorted(bodies.items()))
    return f"INSERT INTO {DOCUMENT} (name, body) VALUES {values} ON CONFLICT (name) DO UPDATE SET body = excluded.body"


class Rider(Protocol):
    """What rides with a look at the documents."""

    def statement(self) -> str:
        """What to ask now; empty for nothing."""
        ...

    def take(self, rows: list[tuple[object, ...]]) -> None:
        """What the server answered."""
        ...


class Documents:
    """The documents as one connection saw them last."""

    def __init__(self, database: Database, rider: Rider | None = None) -> None:
        self._db = database
        self._rider = rider
        self._names: dict[str, None] = {}
        """Names that were asked for, which are those that will be."""
        self._prefixes: dict[str, None] = {}
        self._lately: dict[str, None] = {}
        """Of those that are read `ONCE` the names asked for or written last, oldest first."""
        self._bodies: dict[str, str] = {}
        self._decoded: dict[tuple[str, type[object]], tuple[str, object]] = {}
        self._remembers = self._is_fresh = False
        self._parks = True

    def refresh(self) -> None:
        """Look anew at the next reading; from then on remember."""
        self._remembers, self._is_fresh = True, False

    def doubt(self) -> None:
        """What was seen may not be so any more."""
        self._is_fresh, self._parks = False, True

    @property
    def none_parked(self) -> bool:
        """Whether it is known that no group is parked."""
        return self._remembers and self._is_fresh and not self._parks

    @property
    def query(self) -> str:
        """One query for all that will be asked for; its first row says whether any group is parked."""
        parks = f"SELECT '', (SELECT count(*) FROM (SELECT FROM {SCHEMA}.parked LIMIT 1) p)::text"
        wanted = ["name = ANY ($1)", *map(beginning_with, self._prefixes)]
        query = " UNION ALL ".join([parks, *(f"SELECT name, body FROM {DOCUMENT} WHERE {each}" for each in wanted)])
        return (
            f"{self._db.plans.execute('poolpair_documents', query, '(text[])')}({texts((*self._names, *self._lately))})"
        )

    def _look(self) -> None:
        asked = self._rider.statement() if self._rider is not None else ""
        documents, *answer = answers_of(self._db.run(f"{self.query}; {asked}" if asked else self.query))
        self.take(documents)
        if self._rider is not None and answer:
            self._rider.take(answer[0])

    def take(self, rows: list[tuple[object, ...]]) -> None:
        """What the query gave."""
        bodies = {str(name): str(body) for name, body in rows}
        self._parks = bodies.pop("") != "0"
        self._bodies, self._is_fresh = bodies, True

    def noted(self, saved: dict[str, str], deleted: set[str]) -> None:
        """What was committed."""
        prefixes = tuple(self._prefixes)
        for name, body in saved.items():
            if name.startswith(ONCE):
                self._ask_lately(name)
            if name in self._names or name in self._lately or name.startswith(prefixes):
                self._bodies[name] = body
        for name in deleted:
            self._bodies.pop(name, None)

    def read(self, cls: type[T], name: str) -> T | None:
        """One document, remembered if that is wished."""
        return self.known(cls, name) if self._remembers else read_document(self._db, cls, name)

    def known(self, cls: type[T], name: str) -> T | None:
        """One document as it was seen, looked up if it was not."""
        asked = name in self._names or name in self._lately
        if not asked and name.startswith(ONCE):
            self._ask_lately(name)
        elif not asked:
            self._names[name] = None
        if not (asked and self._is_fresh):
            self._look()
        body = self._bodies.get(name)
        return None if body is None else self._value(cls, name, body)

    def _ask_lately(self, name: str) -> None:
        self._lately.pop(name, None)
        self._lately[name] = None
        while len(self._lately) > LATELY:
            oldest = next(iter(self._lately))
            del self._lately[oldest]
            self._bodies.pop(oldest, None)
            self._decoded = {key: value for key, value in self._decoded.items() if key[0] != oldest}

    def read_all(self, cls: type[T], prefix: str) -> dict[str, T]:
        """Every document whose name begins so, remembered if that is wished, in the order of their names."""
        if not self._remembers or prefix.startswith((ONCE, FROM_OTHERS)):
            return read_documents(self._db, cls, prefix)
        if prefix not in self._prefixes or not self._is_fresh:
            self._prefixes[prefix] = None
            self._look()
        found = sorted(item for item in self._bodies.items() if item[0].startswith(prefix))
        return {name: self._value(cls, name, body) for name, body in found}

    def _value(self, cls: type[T], name: str, body: str) -> T:
        before = self._decoded.get((name, cls))
        if before is None or before[0] != body:
            before = self._decoded[(name, cls)] = (body, decode(cls, body))
        value = before[1]
        assert isinstance(value, cls)
        return value


def newest_token(database: Database) -> int:
    """The newest token drawn."""
    return database.number(f"SELECT coalesce(max(number), 0) FROM {TOKEN}")


def draw_token(database: Database) -> tuple[int, str]:
    """Draw a token: it sees what is committed now, given as the text of a snapshot.

    Whoever draws holds the turn, so numbers come in the order of their views.
    """
    drawn = database.row(
        f"INSERT INTO {TOKEN} SELECT coalesce(max(number), 0) + 1, pg_current_snapshot() FROM {TOKEN}"
        " RETURNING number, snapshot::text"
    )
    assert drawn is not None
    number = int(drawn[0])
    if number % TOKENS_KEPT == 0:
        database.run(
            f"DELETE FROM {TOKEN} WHERE number <= $1::bigint AND number % $2::bigint <> 0",
            number - TOKENS_KEPT,
            TOKENS_KEPT,
        )
    return number, str(drawn[1])


def seen_at(database: Database, token: int) -> str:
    """What a token saw, as the text of a snapshot; for one that is gone what the next older one saw, which is less."""
    row = database.row(f"SELECT snapshot::text FROM {TOKEN} WHERE number <= $1 ORDER BY number DESC LIMIT 1", token)
    return str(row[0]) if row else EVERYTHING
