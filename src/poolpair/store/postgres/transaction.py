"""One short write transaction: documents, the capture log, the catalogue of files.

A log is only ever appended to by writers. What a token has seen of it is told by visibility in the token's snapshot, never by the
order of transaction ids or of rows: transactions commit in another order than they begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from poolpair.documents import decode, encode
from poolpair.model import Channel
from poolpair.store.postgres import catalogue, fencing, ledgering, serials, spooling
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.catalogue import COLUMNS, FILE, STAMP, catalogue_file
from poolpair.store.postgres.database import SCHEMA, Database, answers_of, literal
from poolpair.store.postgres.documents import (
    DOCUMENT,
    EVERYTHING,
    Documents,
    beginning_with,
    draw_token,
    newest_token,
    seen_at,
    written,
)
from poolpair.store.postgres.fencing import FENCE, FenceState
from poolpair.store.postgres.file_spool import PostgresFileSpool
from poolpair.store.postgres.logged import SEEN, pruning, relog, unparking
from poolpair.store.values import CatalogueFile, Choice, Dropped, LedgerEntry, LedgerNote

T = TypeVar("T")


class PostgresTransaction:
    """Implements `store.port.Transaction` inside BEGIN ... COMMIT, which the store issues."""

    def __init__(
        self,
        database: Database,
        bound: tuple[Bound, ...],
        documents: Documents | None = None,
        seen: Callable[[int], str] | None = None,
    ) -> None:
        self._db = database
        self._bound = bound
        self._documents = documents or Documents(database)
        self._seen = seen or partial(seen_at, database)
        self.drawn: dict[int, str] = {}
        """Tokens drawn here, and what each saw."""
        self.pruned: dict[int, int] = {}
        """Entries taken out of each log."""
        self._saved: dict[str, str] = {}
        self._deleted: set[str] = set()
        self._unwritten: dict[str, str] = {}
        """What is written with the COMMIT at the latest."""
        self._is_alone = False

    def wait_for_writers(self) -> None:
        """Begin when no transaction of the application is left that writes tracked tables."""
        fencing.lock_writers(self._db, self._bound)
        self._is_alone = True

    def load(self, cls: type[T], name: str) -> T | None:
        """Read a document."""
        if name in self._saved:
            return decode(cls, self._saved[name])
        return None if name in self._deleted else self._documents.known(cls, name)

    def save(self, name: str, value: object) -> None:
        """Write a document."""
        self._saved[name] = self._unwritten[name] = encode(value)
        self._deleted.discard(name)

    def delete(self, name: str) -> None:
        """Forget a document."""
        self._saved.pop(name, None)
        self._unwritten.pop(name, None)
        self._deleted.add(name)
        self._db.run(f"DELETE FROM {DOCUMENT} WHERE name = $1", name)

    def flush(self) -> None:
        """Write what is not written yet."""
        if self._unwritten:
            self._db.run(written(self._unwritten))
            self._unwritten = {}

    def commit(self, tells: str = "", *, parked: bool = False) -> None:
        """Write what is not written yet, say what `tells` says, and commit: one round trip. With `parked` groups were set aside."""
        said = (written(self._unwritten) if self._unwritten else "", tells, "COMMIT")
        self._db.run("; ".join(text for text in said if text))
        self._documents.noted(self._saved, self._deleted)
        if parked:
            self._documents.doubt()

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of documents with a prefix."""
        self.flush()
        rows = self._db.rows(f"SELECT name FROM {DOCUMENT} WHERE {beginning_with(prefix)} ORDER BY name")
        return tuple(str(name) for (name,) in rows)

    def token(self) -> int:
        """The newest token drawn."""
        return newest_token(self._db)

    def advance(self) -> int:
        """Draw a token."""
        number, seen = draw_token(self._db)
        self.drawn[number] = seen
        return number

    def pending(self, channel: Channel, since: int) -> int:
        """Count the groups logged by transactions that the token did not see."""
        seen = self._seen(since)
        total = 0
        for b in self._of(channel):
            later = "true" if seen == EVERYTHING else "NOT " + SEEN.format(literal(seen))
            total += self._db.number(
                f"SELECT count(*) FROM (SELECT DISTINCT {b.key} FROM {b.log} WHERE {later}) changed"
            )
        if channel is Channel.CONFERENCES:
            total += self._db.number(f"SELECT count(*) FROM {FILE} WHERE gen > 0 AND gen > $1", since)
        return total

    def drop_foreign(self, channel: Channel, served: tuple[str, ...]) -> Dropped:
        """Drop entries of homes not served here; a parked group that somebody wrote is no longer parked."""
        foreign = unhomed = 0
        for b in self._of(channel):
            self._unpark_logged(b)
            standing = f"EXISTS (SELECT 1 FROM {b.table} t WHERE {b.same_key('t', 'g')})"
            found = self._db.row(
                f"WITH gone AS (DELETE FROM {b.log} WHERE coalesce({b.home}, '') <> ALL ($1::text[]) RETURNING {b.key}),"
                f" g AS (SELECT DISTINCT {b.key} FROM gone),"
                f" homed AS (SELECT {b.key}, {b.home} AS poolpair_home FROM g)"
                f" SELECT count(poolpair_home), count(*) FILTER (WHERE poolpair_home IS NULL AND {standing}) FROM homed g",
                list(served),
            )
            assert found is not None
            foreign, unhomed = foreign + int(found[0]), unhomed + int(found[1])
        return Dropped(foreign=foreign, unhomed=unhomed)

    def _unpark_logged(self, b: Bound) -> None:
        for (group_id,) in self._db.rows(unparking(b)):
            forget_parked(self._db, b.n, group_id)
            self._documents.doubt()

    def postpone(self, channel: Channel, conferences: frozenset[str], served: tuple[str, ...], *, whole: bool) -> None:
        """Log anew what belongs to these conferences: no token has seen it, for it commits only now."""
        named, homes = sorted(conferences), list(served)
        for b in self._of(channel):
            if not b.spec.conference or not conferences:
                continue
            waits = f"({b.spec.conference})::text = ANY ($1::text[])"
            if whole:
                mine = f"{b.scope} AND {waits} AND {b.home} = ANY ($2::text[])"
                relog(self._db, b, waits, named, homes, more=f"SELECT {b.key} FROM {b.table} WHERE {mine}")
            else:
                relog(self._db, b, waits, named)
        chosen = "(gen > 0 OR (gen = 0 AND present))" if whole else "gen > 0"
        self._db.run(
            f"UPDATE {FILE} SET gen = {STAMP} WHERE {chosen} AND conference = ANY ($1::text[]) AND home = ANY ($2::text[])",
            named,
            homes,
        )

    def prune(self, channel: Channel, token: int) -> int:
        """Forget what the token saw; deleted files leave the catalogue with their entry."""
        pruned, seen = 0, self._seen(token)
        tables = self._of(channel) if seen != EVERYTHING else ()
        found = answers_of(self._db.run("; ".join(pruning(b, seen) for b in tables))) if tables else []
        for b, [(entries, groups)] in zip(tables, found, strict=True):
            self.pruned[b.n], pruned = int(entries), pruned + int(groups)
        if channel is Channel.CONFERENCES:
            pruned += catalogue.prune_files(self._db, token)
        return pruned

    def drop_parked(self, group_id: int) -> Channel | None:
        """Forget a parked group; returns its channel."""
        found = self._db.row(f"SELECT tbl, channel FROM {SCHEMA}.parked WHERE id = $1", group_id)
        if found is None:
            return None
        forget_parked(self._db, int(found[0]), group_id)
        self._documents.doubt()
        return Channel(str(found[1]))

    def fence(self, refused: Mapping[str, str]) -> None:
        """Refuse writes of these homes, and of no others. In a transaction that did not wait for writers, it waits now."""
        if not self._is_alone:
            self.wait_for_writers()
        if state := fencing.set_fence(self._db, self.load(FenceState, FENCE) or FenceState(), refused):
            self.save(FENCE, state)

    def spool(self, number: int, channel: Channel, home: str, since: int | None) -> int:
        """Keep groups as they are."""
        return spooling.spool(self._db, self._of(channel), number, home, since)

    def spool_ledger(self, number: int, home: str) -> int:
        """Keep the ledger's entries."""
        return spooling.spool(self._db, (ledgering.ledger_of(self._bound),), number, home, None)

    def forget_spool(self, number: int, channel: Channel) -> None:
        """Let go of them."""
        spooling.forget_spool(self._db, self._of(channel), number)

    def reclaim_spool(self, number: int, channel: Channel, note: LedgerNote) -> int:
        """Log every spooled group; what differs goes to the ledger."""
        return spooling.reclaim_spool(self._db, self._of(channel), ledgering.ledger_of(self._bound), number, note)

    def reclaim_parked(self, channel: Channel, home: str, note: LedgerNote) -> int:
        """Parked groups of a home go to the ledger."""
        self._documents.doubt()
        return spooling.reclaim_parked(self._db, self._of(channel), ledgering.ledger_of(self._bound), home, note)

    def forget_log(self, channel: Channel, home: str) -> int:
        """Nothing of this home is to be sent; its unsent files are foreign."""
        return spooling.forget_log(self._db, self._of(channel), channel, home)

    def claim_files(self, home: str) -> None:
        """Log foreign files of a home as changed."""
        spooling.claim_files(self._db, home)

    def raise_sequences(self, told: Mapping[str, int], gap: int) -> None:
        """Let serials that travel go on above these."""
        serials.raise_numbers(self._db, self._bound, told, gap)

    @property
    def file_spool(self) -> PostgresFileSpool:
        """The spool of files."""
        return PostgresFileSpool(self._db)

    def enter(self, entry: LedgerEntry) -> None:
        """Put an entry into the ledger, unless it is there."""
        ledgering.enter(self._db, ledgering.ledger_of(self._bound), entry)

    def decide(self, entry: LedgerEntry) -> None:
        """Replace an entry."""
        ledgering.decide(self._db, ledgering.ledger_of(self._bound), entry)

    def resolve(self, entry: LedgerEntry, choice: Choice, now_utc: str, *, force: bool = False) -> LedgerEntry:
        """Write the chosen version, and the decision."""
        return ledgering.resolve(self._db, self._bound, entry, choice, now_utc, force=force)

    def note_files(self, files: Iterable[CatalogueFile], *, log: bool) -> None:
        """Write catalogue entries."""
        catalogue.note_files(self._db, files, log=log)

    def touch_files(self, files: Iterable[CatalogueFile]) -> None:
        """Record new size, time and inode."""
        catalogue.touch_files(self._db, files)

    def doubt_files(self, homes: tuple[str, ...] | None = None) -> None:
        """Forget inodes (times travel), so that the next scan reads every file."""
        catalogue.doubt_files(self._db, homes)

    def doubted_files(self, homes: tuple[str, ...]) -> tuple[CatalogueFile, ...]:
        """Present files whose inode is still forgotten."""
        mine = "present AND inode = -1 AND home = ANY ($1::text[])"
        found = self._db.rows(f"SELECT {COLUMNS} FROM {FILE} WHERE {mine} ORDER BY path", list(homes))
        return tuple(map(catalogue_file, found))

    def file(self, path: bytes) -> CatalogueFile | None:
        """One catalogue entry."""
        row = self._db.row(f"SELECT {COLUMNS} FROM {FILE} WHERE path = $1", path)
        return catalogue_file(row) if row else None

    def placing(self, path: bytes) -> str | None:
        """The digest an unfinished apply was about to place."""
        row = self._db.row(f"SELECT placed_digest FROM {FILE} WHERE path = $1 AND placed_digest <> ''", path)
        return str(row[0]) if row else None

    def _of(self, channel: Channel) -> tuple[Bound, ...]:
        return tuple(b for b in self._bound if b.spec.channel is channel)


def forget_parked(database: Database, table: int, group_id: int) -> None:
    """Remove a parked group and its rows."""
    database.run(f"DELETE FROM {SCHEMA}.parked WHERE id = $1", group_id)
    database.run(f"DELETE FROM {SCHEMA}.parked_key_{table} WHERE poolpair_id = $1", group_id)
    database.run(f"DELETE FROM {SCHEMA}.parked_row_{table} WHERE poolpair_id = $1", group_id)


class Begin(Protocol):
    """Begins a transaction of the store's, and in it what comes `first`."""

    def __call__(self, *, first: str = "") -> PostgresTransaction: ...
