"""The capture logs as the service looks at them: whether there is news, what waits, what is foreign, and how they stay short.

Writers only append. A look reads a whole log, which is short as long as the partner acknowledges: what was pruned is vacuumed at once, and
while nothing is acknowledged one entry per key stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from poolpair.model import Channel
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.catalogue import FILE
from poolpair.store.postgres.database import Database, literal, texts
from poolpair.store.postgres.documents import DOCUMENT, EVERYTHING, ONCE, seen_at
from poolpair.store.postgres.logged import SEEN, relog, unparking
from poolpair.store.values import Look

COMPACT_ENTRIES = 10_000
"""A log shorter than this is worth no work."""
TOKENS_REMEMBERED = 64


class CaptureLog:
    """What one connection remembers of the logs between looks."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._tokens: dict[int, str] = {}
        self._looked: dict[tuple[int, tuple[str, ...]], str] = {}
        """Per table and homes served the snapshot of the last look that found nothing foreign."""
        self._lengths: dict[int, int] = {}
        self._compacted: dict[int, int] = {}
        """How long each log was after it was last compacted."""
        self._dead: dict[int, int] = {}
        """Entries pruned since a log was last vacuumed."""
        self._seen = self._written = ""
        self._news = 0
        """What `hint` saw last, and how often there was something new."""

    def forget(self) -> None:
        """Another server may answer now."""
        self._tokens.clear()
        self._looked.clear()

    def look(
        self, bound: Iterable[Bound], channel: Channel, served: tuple[str, ...], since: int, *, parks: bool
    ) -> Look:
        """One pass over each log, all in one query."""
        tables, seen = tuple(bound), self.seen(since)
        found = self._db.rows(self._looking(tables, channel, served, seen)) if tables else []
        pending, foreign = sum(int(row[1]) for row in found), any(row[3] for row in found)
        for number, _, length, strange, snapshot in found:
            self._lengths[int(number)] = int(length)
            if not strange:
                self._looked[(int(number), served)] = str(snapshot)
        if parks and any(self._db.row(f"{unparking(b)} LIMIT 1") for b in tables):
            foreign = True
        if channel is Channel.CONFERENCES:
            pending += self._db.number(f"SELECT count(*) FROM {FILE} WHERE gen > 0 AND gen > $1", since)
        return Look(foreign=foreign, pending=pending)

    def _looking(self, tables: tuple[Bound, ...], channel: Channel, served: tuple[str, ...], seen: str) -> str:
        """The query for all of them, which the server keeps planned."""
        looks = " UNION ALL ".join(
            f"SELECT {b.n}, count(*) FILTER (WHERE NOT {SEEN.format('$2')}), count(*),"
            f" coalesce(bool_or(NOT {SEEN.format(f'${place}')} AND coalesce({b.home}, '') <> ALL ($1)), false),"
            f" pg_current_snapshot()::text FROM {b.log}"
            for place, b in enumerate(tables, 3)
        )
        snapshots = [seen, *(self._looked.get((b.n, served), EVERYTHING) for b in tables)]
        types = ", ".join(["text[]", *("pg_snapshot" for _ in snapshots)])
        planned = self._db.plans.execute(f"poolpair_look_{channel}", looks, f"({types})")
        return f"{planned}({', '.join((texts(served), *map(literal, snapshots)))})"

    def seen(self, token: int) -> str:
        """What a token saw, as the text of a snapshot. That never changes."""
        if token not in self._tokens:
            self.drawn({token: seen_at(self._db, token)})
        return self._tokens[token]

    def drawn(self, tokens: Mapping[int, str]) -> None:
        """What these tokens saw."""
        self._tokens |= tokens
        while len(self._tokens) > TOKENS_REMEMBERED:
            self._tokens.pop(next(iter(self._tokens)))

    def is_long(self, b: Bound) -> bool:
        """Whether compacting would pay, by the last look."""
        length = self._lengths.get(b.n, 0)
        return length > COMPACT_ENTRIES and length > 2 * self._compacted.get(b.n, 0)

    def compact(self, b: Bound) -> None:
        """Of a key's entries one stays, under our own id, which no token has seen yet."""
        self._dead[b.n] = self._lengths[b.n]
        self._compacted[b.n] = self._lengths[b.n] = relog(self._db, b, "true")

    def pruned(self, bound: Iterable[Bound], counts: dict[int, int]) -> None:
        """Give room back where much was taken out: every look reads what is dead too. Writers do not wait for it."""
        for b in bound:
            self._dead[b.n] = self._dead.get(b.n, 0) + counts.get(b.n, 0)
            if self._dead[b.n] > COMPACT_ENTRIES:
                self._dead[b.n] = 0
                self._db.run(f"VACUUM {b.log}")

    def hint(self, bound: Iterable[Bound]) -> int:
        """How often there was news."""
        row = self._db.row("SELECT pg_current_snapshot()::text")
        assert row is not None
        seen, self._seen = self._seen, str(row[0])
        if seen != self._seen and self._is_news(bound, seen or self._seen):
            self._news += 1
        return self._news

    def _is_news(self, bound: Iterable[Bound], seen: str) -> bool:
        """Whether a log or a document was written since a snapshot; other tables and databases write too, and mean nothing here."""
        logged = " OR ".join(f"EXISTS (SELECT FROM {b.log} WHERE NOT {SEEN.format('$1')})" for b in bound)
        written = f"SELECT md5(string_agg(name || xmin::text, ',' ORDER BY name)) FROM {DOCUMENT} WHERE NOT starts_with(name, '{ONCE}')"
        row = self._db.row(f"SELECT {logged or 'false'}, ({written})", seen)
        assert row is not None
        before, self._written = self._written, row[1]
        return bool(row[0]) or before != row[1]
