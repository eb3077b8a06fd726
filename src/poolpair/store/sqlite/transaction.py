"""One short write transaction: documents, the capture log, the catalogue of files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import TypeVar

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.store.ledger import row_of
from poolpair.store.sqlite import serials, spooling
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.catalogue import FILE_COLUMNS, FOREIGN_GEN, catalogue_file
from poolpair.store.sqlite.connection import PREFIX, text
from poolpair.store.sqlite.documents import read_document, write_document
from poolpair.store.sqlite.fencing import set_fence
from poolpair.store.sqlite.file_spool import SqliteFileSpool
from poolpair.store.sqlite.ledgering import Ledgering, put_entry, replace_entry
from poolpair.store.sqlite.looking import groups_since
from poolpair.store.values import CatalogueFile, Choice, Dropped, LedgerEntry, LedgerNote

T = TypeVar("T")


class SqliteTransaction:
    """Implements `store.port.Transaction` inside BEGIN IMMEDIATE ... COMMIT, which the store issues."""

    def __init__(self, connection: sqlite3.Connection, bound: tuple[Bound, ...]) -> None:
        self._c = connection
        self._bound = bound

    def load(self, cls: type[T], name: str) -> T | None:
        """Read a document."""
        return read_document(self._c, cls, name)

    def save(self, name: str, value: object) -> None:
        """Write a document."""
        write_document(self._c, name, value)

    def delete(self, name: str) -> None:
        """Forget a document."""
        self._c.execute("DELETE FROM main.poolpair_document WHERE name = ?", (name,))

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of documents with a prefix; GLOB uses the primary key."""
        rows = self._c.execute(
            "SELECT name FROM main.poolpair_document WHERE name >= ? AND name < ? ORDER BY name",
            (prefix, prefix + "\x7f"),
        )
        return tuple(text(name) for (name,) in rows)

    def token(self) -> int:
        """The newest token drawn."""
        return int(self._c.execute("SELECT value - 1 FROM main.poolpair_gen").fetchone()[0])

    def advance(self) -> int:
        """Draw a token: later log entries carry a higher stamp. One writer at a time makes this exact."""
        self._c.execute("UPDATE main.poolpair_gen SET value = value + 1")
        return self.token()

    def pending(self, channel: Channel, since: int) -> int:
        """Count the groups that were logged after a token."""
        total = sum(groups_since(self._c, b, since) for b in self._of(channel))
        if channel is Channel.CONFERENCES:
            total += self._c.execute("SELECT count(*) FROM main.poolpair_file WHERE gen > ?", (since,)).fetchone()[0]
        return total

    def drop_foreign(self, channel: Channel, served: tuple[str, ...]) -> Dropped:
        """Drop entries of homes not served here; a parked group that somebody wrote is no longer parked."""
        foreign = unhomed = 0
        homes = json.dumps(served)
        for b in self._of(channel):
            self._unpark_logged(b)
            where = f"coalesce({b.home}, '') NOT IN (SELECT value FROM json_each(?))"
            standing = f"EXISTS (SELECT 1 FROM {b.table} t WHERE {b.same_key('t', f'{PREFIX}log_{b.n}')})"
            counted = f"count({b.home}), count(*) FILTER (WHERE {b.home} IS NULL AND {standing}), count(*)"
            groups = f"(SELECT DISTINCT {b.key} FROM {b.log} WHERE {where}) AS {PREFIX}log_{b.n}"
            found = self._c.execute(f"SELECT {counted} FROM {groups}", (homes,)).fetchone()
            foreign, unhomed = foreign + int(found[0]), unhomed + int(found[1])
            if found[2]:
                self._c.execute(f"DELETE FROM {b.log} WHERE {where}", (homes,))
        return Dropped(foreign=foreign, unhomed=unhomed)

    def _unpark_logged(self, b: Bound) -> None:
        if not self._c.execute(f"SELECT 1 FROM main.{PREFIX}parked_key_{b.n} LIMIT 1").fetchone():
            return
        written = (
            f"SELECT k.poolpair_id FROM main.{PREFIX}parked_key_{b.n} k JOIN main.poolpair_parked p ON p.id = k.poolpair_id"
            f" JOIN {b.log} l ON {b.same_key('l', 'k')} WHERE l.poolpair_gen > p.gen"
        )
        for (group_id,) in self._c.execute(written).fetchall():
            forget_parked(self._c, b.n, group_id)

    def postpone(self, channel: Channel, conferences: frozenset[str], served: tuple[str, ...], *, whole: bool) -> None:
        """Stamp anew what belongs to these conferences, so that it is after the token just drawn."""
        listed, homes = json.dumps(sorted(conferences)), json.dumps(served)
        stamp = "(SELECT value FROM main.poolpair_gen)"
        for b in self._of(channel):
            if not b.spec.conference:
                continue
            waits = f"({b.spec.conference}) IN (SELECT value FROM json_each(?1))"
            if whole:
                mine = f"{b.scope} AND {waits} AND {b.home} IN (SELECT value FROM json_each(?2))"
                self._c.execute(f"DELETE FROM {b.log} WHERE {waits} AND EXISTS ({self._standing(b)})", (listed,))
                self._c.execute(
                    f"INSERT INTO {b.log} ({b.key}, poolpair_gen) SELECT DISTINCT {b.key}, {stamp} FROM {b.table} WHERE {mine}",
                    (listed, homes),
                )
            self._c.execute(f"UPDATE {b.log} SET poolpair_gen = {stamp} WHERE {waits}", (listed,))
        chosen = "(gen > 0 OR (gen = 0 AND present = 1))" if whole else "gen > 0"
        self._c.execute(
            f"UPDATE main.poolpair_file SET gen = {stamp} WHERE {chosen}"
            " AND conference IN (SELECT value FROM json_each(?1)) AND home IN (SELECT value FROM json_each(?2))",
            (listed, homes),
        )

    @staticmethod
    def _standing(b: Bound) -> str:
        """Whether a group that the log names has rows: they are logged anew, as those are that it does not name."""
        log = f"{PREFIX}log_{b.n}"
        return f"SELECT 1 FROM {b.table} t WHERE {b.same_key('t', log)}"

    def prune(self, channel: Channel, token: int) -> int:
        """Forget acknowledged log entries; deleted files leave the catalogue with their entry."""
        pruned = sum(self._prune(b, token) for b in self._of(channel))
        if channel is Channel.CONFERENCES:
            pruned += self._c.execute(
                "DELETE FROM main.poolpair_file WHERE gen > 0 AND gen <= ? AND present = 0 AND deleting = 0", (token,)
            ).rowcount
            pruned += self._c.execute(
                "UPDATE main.poolpair_file SET gen = 0 WHERE gen > 0 AND gen <= ?", (token,)
            ).rowcount
        return pruned

    def _prune(self, b: Bound, token: int) -> int:
        later = self._c.execute(f"SELECT 1 FROM {b.log} WHERE poolpair_gen > {token} LIMIT 1").fetchone()
        # All at once is quick: no row is looked at.
        return self._c.execute(f"DELETE FROM {b.log}" + (f" WHERE poolpair_gen <= {token}" if later else "")).rowcount

    def drop_parked(self, group_id: int) -> Channel | None:
        """Forget a parked group; returns its channel."""
        found = self._c.execute("SELECT tbl, channel FROM main.poolpair_parked WHERE id = ?", (group_id,)).fetchone()
        if found is None:
            return None
        forget_parked(self._c, found[0], group_id)
        return Channel(text(found[1]))

    def fence(self, refused: Mapping[str, str]) -> None:
        """Refuse writes of these homes."""
        set_fence(self._c, self._bound, refused)

    def spool(self, number: int, channel: Channel, home: str, since: int | None) -> int:
        """Keep groups as they are."""
        return spooling.spool(self._c, self._of(channel), number, home, since)

    def spool_ledger(self, number: int, home: str) -> int:
        """Keep the ledger's entries."""
        ledger = [b for b in self._bound if b.spec.home_is_pool]
        return spooling.spool(self._c, ledger, number, home, None)

    def forget_spool(self, number: int, channel: Channel) -> None:
        """Let go of them."""
        spooling.forget(self._c, self._of(channel), number)

    def reclaim_spool(self, number: int, channel: Channel, note: LedgerNote) -> int:
        """Log every spooled group; what differs goes to the ledger."""
        written = 0
        for b in self._of(channel):
            keys, rows = spooling.keys_table(b), spooling.rows_table(b)
            written += Ledgering(self._c, b, note).reclaim(keys, rows, "poolpair_number", number)
        self.forget_spool(number, channel)
        return written

    def reclaim_parked(self, channel: Channel, home: str, note: LedgerNote) -> int:
        """Parked groups of a home go to the ledger."""
        written = 0
        for b in self._application_of(channel):
            keys, rows = f"main.{PREFIX}parked_key_{b.n}", f"main.{PREFIX}parked_row_{b.n}"
            mine = self._c.execute(f"SELECT poolpair_id FROM {keys} WHERE {b.home} = ?", (home,)).fetchall()
            for (group_id,) in mine:
                written += Ledgering(self._c, b, note).reclaim(keys, rows, "poolpair_id", group_id)
                forget_parked(self._c, b.n, group_id)
        return written

    def forget_log(self, channel: Channel, home: str) -> int:
        """Nothing of this home is to be sent; its unsent files are foreign."""
        for b in self._of(channel):
            self._c.execute(f"DELETE FROM {b.log} WHERE {b.home} = ?", (home,))
        if channel is not Channel.CONFERENCES:
            return 0
        logged = "UPDATE main.poolpair_file SET gen = ? WHERE gen > 0 AND home = ?"
        foreign = self._c.execute(f"{logged} AND present = 1", (FOREIGN_GEN, home)).rowcount
        self._c.execute(f"{logged} AND deleting = 1", (0, home))
        self._c.execute("DELETE FROM main.poolpair_file WHERE gen > 0 AND home = ?", (home,))
        return foreign

    def claim_files(self, home: str) -> None:
        """Log foreign files of a home as changed."""
        stamp = "(SELECT value FROM main.poolpair_gen)"
        self._c.execute(f"UPDATE main.poolpair_file SET gen = {stamp} WHERE gen = ? AND home = ?", (FOREIGN_GEN, home))

    def raise_sequences(self, told: Mapping[str, int], gap: int) -> None:
        """Let AUTOINCREMENT columns that travel go on above these."""
        serials.raise_numbers(self._c, self._bound, told, gap)

    @property
    def file_spool(self) -> SqliteFileSpool:
        """The spool of files."""
        return SqliteFileSpool(self._c)

    def enter(self, entry: LedgerEntry) -> None:
        """Put an entry into the ledger, unless it is there."""
        put_entry(self._c, row_of(entry))

    def decide(self, entry: LedgerEntry) -> None:
        """Replace an entry."""
        replace_entry(self._c, entry)

    def resolve(self, entry: LedgerEntry, choice: Choice, now_utc: str, *, force: bool = False) -> LedgerEntry:
        """Write the chosen version, and the decision."""
        b = next((b for b in self._bound if b.spec.name == entry.table and b.spec.channel is entry.channel), None)
        if b is None:
            raise PoolpairError(Code.USAGE, f"table {entry.table} is not carried any more")
        return Ledgering(self._c, b, LedgerNote(reign_id="", why="", now_utc=now_utc)).decide(
            entry, choice, force=force
        )

    def _application_of(self, channel: Channel) -> tuple[Bound, ...]:
        """The application's tables of a channel: what is parked of the ledger is not for the ledger."""
        return tuple(b for b in self._of(channel) if not b.spec.home_is_pool)

    def note_files(self, files: Iterable[CatalogueFile], *, log: bool) -> None:
        """Write catalogue entries; logged ones get the present stamp."""
        gen = "(SELECT value FROM main.poolpair_gen)" if log else "?"
        statement = (
            f"INSERT OR REPLACE INTO main.poolpair_file ({FILE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {gen})"
        )
        for f in files:
            if f.present or log:
                on_disk = (f.path, f.size, f.mtime_ns, f.inode, f.mode, f.ctime_ns)
                row = (*on_disk, f.sha256, f.home, f.conference, int(f.present))
                self._c.execute(statement, row if log else (*row, FOREIGN_GEN if f.foreign else 0))
            else:
                self._c.execute("DELETE FROM main.poolpair_file WHERE path = ?", (f.path,))

    def touch_files(self, files: Iterable[CatalogueFile]) -> None:
        """Record new size, time and inode; `gen` stays, so what was logged stays logged."""
        self._c.executemany(
            "UPDATE main.poolpair_file SET size = ?, mtime_ns = ?, inode = ?, mode = ?, ctime_ns = ?, sha256 = ?,"
            " present = 1, placing = '', deleting = 0 WHERE path = ?",
            ((f.size, f.mtime_ns, f.inode, f.mode, f.ctime_ns, f.sha256, f.path) for f in files),
        )

    def doubt_files(self, homes: tuple[str, ...] | None = None) -> None:
        """Forget inodes (times travel), so that the next scan reads every file."""
        chosen = "1" if homes is None else "home IN (SELECT value FROM json_each(?1))"
        listed = () if homes is None else (json.dumps(homes),)
        self._c.execute(f"UPDATE main.poolpair_file SET inode = -1 WHERE present = 1 AND {chosen}", listed)

    def doubted_files(self, homes: tuple[str, ...]) -> tuple[CatalogueFile, ...]:
        """Present files whose inode is still forgotten."""
        mine = "present = 1 AND inode = -1 AND home IN (SELECT value FROM json_each(?)) ORDER BY path"
        query = f"SELECT {FILE_COLUMNS} FROM main.poolpair_file WHERE {mine}"
        return tuple(map(catalogue_file, self._c.execute(query, (json.dumps(homes),))))

    def file(self, path: bytes) -> CatalogueFile | None:
        """One catalogue entry."""
        row = self._c.execute(f"SELECT {FILE_COLUMNS} FROM main.poolpair_file WHERE path = ?", (path,)).fetchone()
        return catalogue_file(row) if row else None

    def placing(self, path: bytes) -> str | None:
        """The digest an unfinished apply was about to place."""
        query = "SELECT placing FROM main.poolpair_file WHERE path = ? AND placing <> ''"
        row = self._c.execute(query, (path,)).fetchone()
        return text(row[0]) if row else None

    def _of(self, channel: Channel) -> tuple[Bound, ...]:
        return tuple(b for b in self._bound if b.spec.channel is channel)


def applying(homes: Iterable[str]) -> str:
    """How the capture triggers are told whose rows an apply brings."""
    return "".join(f"|{home}" for home in homes) + "|"


def forget_parked(connection: sqlite3.Connection, table: int, group_id: int) -> None:
    """Remove a parked group and its rows."""
    connection.execute("DELETE FROM main.poolpair_parked WHERE id = ?", (group_id,))
    connection.execute(f"DELETE FROM main.{PREFIX}parked_key_{table} WHERE poolpair_id = ?", (group_id,))
    connection.execute(f"DELETE FROM main.{PREFIX}parked_row_{table} WHERE poolpair_id = ?", (group_id,))
