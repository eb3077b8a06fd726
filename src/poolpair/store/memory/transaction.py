"""One short write transaction on a draft: documents, the capture log, the catalogue of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from poolpair.errors import Code, Refused
from poolpair.model import Channel
from poolpair.store.ledger import row_of
from poolpair.store.memory.file_spool import MemoryFileSpool
from poolpair.store.memory.ledgering import Ledgering
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable, Row
from poolpair.store.memory.state import Draft, FileEntry, SpooledGroup, State, values_of
from poolpair.store.values import CatalogueFile, Choice, Dropped, LedgerEntry, LedgerNote

T = TypeVar("T")


class MemoryTransaction:
    """Implements `store.port.Transaction`; the disk commits the draft or forgets it."""

    def __init__(self, draft: Draft, schema: MemorySchema, refuses: Callable[[str, Row], str | None]) -> None:
        self.draft, self._refuses = draft, refuses
        self._schema = schema

    def load(self, cls: type[T], name: str) -> T | None:
        """Read a document."""
        return read_document(self.draft.documents.now, cls, name)

    def save(self, name: str, value: object) -> None:
        """Write a document. Values of the model are frozen, so they are kept as they are."""
        self.draft.documents.edit[name] = value

    def delete(self, name: str) -> None:
        """Forget a document."""
        if name in self.draft.documents.now:
            del self.draft.documents.edit[name]

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of documents with a prefix."""
        return tuple(sorted(name for name in self.draft.documents.now if name.startswith(prefix)))

    def token(self) -> int:
        """The newest token drawn."""
        return self.draft.gen - 1

    def advance(self) -> int:
        """Draw a token: later log entries carry a higher stamp."""
        self.draft.gen += 1
        return self.token()

    def pending(self, channel: Channel, since: int) -> int:
        """Count log entries after a token."""
        draft = self.draft
        return count_after(self._schema, channel, since, [sheet.now for sheet in draft.logs], draft.files.now)

    def drop_foreign(self, channel: Channel, served: tuple[str, ...]) -> Dropped:
        """Drop entries of homes not served here; a parked group that somebody wrote is no longer parked."""
        foreign = unhomed = 0
        for table in self._schema.of(channel):
            log = self.draft.logs[table.number - 1]
            if not log.now:
                continue
            for key, group_id in self.draft.parked_keys(table).items():
                if log.now.get(key, 0) > self.draft.parked.now[group_id].gen:
                    del self.draft.parked.edit[group_id]
            for key in list(log.now):
                home = self._schema.home(table, key)
                if home not in served:
                    foreign += home is not None
                    unhomed += home is None and key in self.draft.groups[table.number - 1].now
                    del log.edit[key]
        return Dropped(foreign=foreign, unhomed=unhomed)

    def postpone(self, channel: Channel, conferences: frozenset[str], served: tuple[str, ...], *, whole: bool) -> None:
        """Stamp anew what belongs to these conferences, so that it is after the token just drawn."""
        draft, schema = self.draft, self._schema
        for table in schema.of(channel):
            log = draft.logs[table.number - 1]
            here = draft.groups[table.number - 1].now if whole else {}
            mine = [key for key in here if table.is_tracked(key) and schema.home(table, key) in served]
            for key in [key for key in (*log.now, *mine) if table.waits(key, conferences)]:
                log.edit[key] = draft.gen
        for path, entry in list(draft.files.now.items()):
            file = entry.file
            unsent = whole and file.present and file.home in served and not file.foreign
            if file.conference in conferences and (entry.gen or unsent):
                draft.files.edit[path] = replace(entry, gen=draft.gen)

    def prune(self, channel: Channel, token: int) -> int:
        """Forget acknowledged log entries; deleted files leave the catalogue with their entry."""
        pruned = 0
        for table in self._schema.of(channel):
            log = self.draft.logs[table.number - 1]
            for key in [key for key, gen in log.now.items() if gen <= token]:
                del log.edit[key]
                pruned += 1
        if channel is not Channel.CONFERENCES:
            return pruned
        files = self.draft.files
        for path, entry in list(files.now.items()):
            if 0 < entry.gen <= token:
                pruned += 1
                if entry.file.present or entry.deleting:
                    files.edit[path] = replace(entry, gen=0)
                else:
                    del files.edit[path]
        return pruned

    def drop_parked(self, group_id: int) -> Channel | None:
        """Forget a parked group; returns its channel."""
        group = self.draft.parked.now.get(group_id)
        if group is None:
            return None
        del self.draft.parked.edit[group_id]
        return group.channel

    def fence(self, refused: Mapping[str, str]) -> None:
        """Refuse writes of these homes, and of no others."""
        if dict(self.draft.fence.now) != dict(refused):
            sheet = self.draft.fence.edit
            sheet.clear()
            sheet.update(refused)

    def spool(self, number: int, channel: Channel, home: str, since: int | None) -> int:
        """Keep groups as they are."""
        return self._spool(number, channel, self._schema.of(channel), home, since)

    def spool_ledger(self, number: int, home: str) -> int:
        """Keep the ledger's entries."""
        return self._spool(number, self._schema.ledger.channel, (self._schema.ledger,), home, None)

    def _spool(self, number: int, channel: Channel, tables: Iterable[MemoryTable], home: str, since: int | None) -> int:
        found = []
        for table in tables:
            here, log = self.draft.groups[table.number - 1].now, self.draft.logs[table.number - 1].now
            keys = here if since is None else [key for key, gen in log.items() if gen > since]
            mine = (key for key in keys if table.is_tracked(key) and self._schema.home(table, key) == home)
            found += [SpooledGroup(table.number, key, values_of(here.get(key, ()))) for key in mine]
        if found:
            self.draft.spools.edit[number, channel] = tuple(found)
        return len(found)

    def forget_spool(self, number: int, channel: Channel) -> None:
        """Let go of them."""
        self.draft.spools.edit.pop((number, channel), None)

    def reclaim_spool(self, number: int, channel: Channel, note: LedgerNote) -> int:
        """Log every spooled group; what differs goes to the ledger."""
        written, ledgering = 0, Ledgering(self.draft, self._schema, note)
        for group in self.draft.spools.now.get((number, channel), ()):
            table = self._schema.tables[group.table - 1]
            if table.home_is_pool:
                ledgering.unite(group.key, group.rows)
            elif self._schema.home(table, group.key) is not None:
                written += ledgering.differing(table, group.key, group.rows)
                self.draft.log(table, group.key)
        self.forget_spool(number, channel)
        return written

    def reclaim_parked(self, channel: Channel, home: str, note: LedgerNote) -> int:
        """Parked groups of a home go to the ledger."""
        written = 0
        for group_id, group in list(self.draft.parked.now.items()):
            table = self._schema.tables[group.table - 1]
            if group.channel is channel and self._schema.home(table, group.key) == home:
                written += Ledgering(self.draft, self._schema, note).differing(table, group.key, group.rows)
                self.draft.log(table, group.key)
                del self.draft.parked.edit[group_id]
        return written

    def forget_log(self, channel: Channel, home: str) -> int:
        """Nothing of this home is to be sent."""
        for table in self._schema.of(channel):
            log = self.draft.logs[table.number - 1]
            for key in [key for key in log.now if self._schema.home(table, key) == home]:
                del log.edit[key]
        foreign = 0
        if channel is Channel.CONFERENCES:
            for path, entry in list(self.draft.files.now.items()):
                if entry.file.home == home and entry.gen > 0:
                    foreign += entry.file.present
                    self._forget_file(path, entry)
        return foreign

    def _forget_file(self, path: bytes, entry: FileEntry) -> None:
        if entry.file.present or entry.deleting:
            self.draft.files.edit[path] = replace(entry, gen=0, file=replace(entry.file, foreign=entry.file.present))
        else:
            del self.draft.files.edit[path]

    def claim_files(self, home: str) -> None:
        """Log foreign files of a home as changed."""
        for path, entry in list(self.draft.files.now.items()):
            if entry.file.home == home and entry.file.foreign:
                owned = replace(entry.file, foreign=False)
                self.draft.files.edit[path] = replace(entry, gen=self.draft.gen, file=owned)

    def raise_sequences(self, told: Mapping[str, int], gap: int) -> None:
        """Go on above these."""
        for name, number in told.items():
            self.draft.sequences.edit[name] = max(self.draft.sequences.now.get(name, 0), number + gap)

    @property
    def file_spool(self) -> MemoryFileSpool:
        """The spool of files."""
        return MemoryFileSpool(self.draft)

    def enter(self, entry: LedgerEntry) -> None:
        """Put an entry into the ledger, unless it is there."""
        Ledgering(self.draft, self._schema, None).put(row_of(entry))

    def decide(self, entry: LedgerEntry) -> None:
        """Replace an entry."""
        Ledgering(self.draft, self._schema, None).replace(entry)

    def resolve(self, entry: LedgerEntry, choice: Choice, now_utc: str, *, force: bool = False) -> LedgerEntry:
        """Write the chosen version, and the decision."""
        return Ledgering(self.draft, self._schema, None).resolve(entry, choice, now_utc, self._refuses, force=force)

    def note_files(self, files: Iterable[CatalogueFile], *, log: bool) -> None:
        """Write catalogue entries; logged ones get the present stamp."""
        sheet = self.draft.files
        for file in files:
            if file.present or log:
                noted = replace(file, foreign=file.foreign and not log)
                sheet.edit[file.path] = FileEntry(file=noted, gen=self.draft.gen if log else 0)
            else:
                sheet.edit.pop(file.path, None)

    def touch_files(self, files: Iterable[CatalogueFile]) -> None:
        """Record new size, time and inode; the stamp stays, so what was logged stays logged."""
        sheet = self.draft.files
        for file in files:
            if entry := sheet.now.get(file.path):
                was = entry.file
                known = replace(file, home=was.home, conference=was.conference, present=True, foreign=was.foreign)
                sheet.edit[file.path] = FileEntry(file=known, gen=entry.gen)

    def doubt_files(self, homes: tuple[str, ...] | None = None) -> None:
        """Forget inodes (times travel), so that the next comparison takes every file as changed."""
        sheet = self.draft.files
        for path, entry in list(sheet.now.items()):
            if entry.file.present and (homes is None or entry.file.home in homes):
                sheet.edit[path] = replace(entry, file=replace(entry.file, inode=-1))

    def doubted_files(self, homes: tuple[str, ...]) -> tuple[CatalogueFile, ...]:
        """Present files whose inode is still forgotten."""
        files = (entry.file for _, entry in sorted(self.draft.files.now.items()))
        return tuple(file for file in files if file.present and file.inode == -1 and file.home in homes)

    def file(self, path: bytes) -> CatalogueFile | None:
        """One catalogue entry."""
        entry = self.draft.files.now.get(path)
        return entry.file if entry else None

    def placing(self, path: bytes) -> str | None:
        """The digest an unfinished apply was about to place."""
        entry = self.draft.files.now.get(path)
        return entry.placing or None if entry else None


def read_document(documents: Mapping[str, object], cls: type[T], name: str) -> T | None:
    """Read one document. Raises Refused(DAMAGED) if it is of another kind."""
    value = documents.get(name)
    if value is not None and not isinstance(value, cls):
        raise Refused(Code.DAMAGED, f"not a valid {cls.__name__} document: it is a {type(value).__name__}")
    return value


def count_after(
    schema: MemorySchema,
    channel: Channel,
    since: int,
    logs: Iterable[Mapping[Key, int]],
    files: Mapping[bytes, FileEntry],
) -> int:
    """Count log entries of a channel after a token."""
    chosen = [log for table, log in zip(schema.tables, logs, strict=True) if table.channel is channel]
    total = sum(gen > since for log in chosen for gen in log.values())
    if channel is Channel.CONFERENCES:
        total += sum(entry.gen > since for entry in files.values())
    return total


def pending_in(state: State, schema: MemorySchema, channel: Channel, since: int) -> int:
    """The same on a committed state."""
    return count_after(schema, channel, since, state.logs, state.files)
