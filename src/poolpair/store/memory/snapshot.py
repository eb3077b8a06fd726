"""One read view: a reference to a committed state, from which rows files are cut and digests computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from poolpair.model import BucketSet, Channel, TableDigests, TableShape
from poolpair.store.buckets import Tally, bucket_of, buckets_for
from poolpair.store.memory.rows import Groups, RowsFile
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable
from poolpair.store.memory.state import State, values_of
from poolpair.store.values import CatalogueFile, Cut, Exported, PackedFile

TREE = 0
"""The table number of the tree of files in digests and bucket sets."""


class MemorySnapshot:
    """Implements `store.port.Snapshot` on a state that nobody changes."""

    def __init__(self, state: State, schema: MemorySchema, rows: Path | None) -> None:
        self._state = state
        self._schema = schema
        self._rows = rows
        self._files: tuple[PackedFile, ...] = ()

    def token(self) -> int:
        """The newest token drawn at this view."""
        return self._state.gen - 1

    def changed_files(self, cut: Cut) -> Iterator[CatalogueFile]:
        """Files of the delta, then of whole buckets; each once, in order of paths."""
        if cut.channel is not Channel.CONFERENCES:
            return
        for path, entry in sorted(self._state.files.items()):
            if entry.file.home not in cut.served or entry.deleting:
                continue
            logged = cut.since is not None and entry.gen > cut.since
            if logged or (entry.file.present and in_tree_buckets(cut.buckets, entry.file.home, path)):
                yield entry.file

    def list_files(self, files: Iterable[PackedFile]) -> None:
        """Remember them until the rows file is written."""
        self._files = tuple(files)

    def export(self, cut: Cut, left_behind: AbstractSet[str]) -> Exported:
        """Write the rows file."""
        assert self._rows is not None, "the view was opened without a rows file"
        tables = self._schema.of(cut.channel)
        groups = tuple(self._cut_table(table, cut, left_behind) for table in tables)
        RowsFile(groups, self._files).write(self._rows)
        return Exported(
            groups=sum(map(len, groups)),
            rows=sum(len(rows) for table in groups for rows in table.values()),
            tables=tuple(table.shape() for table in tables),
            sequences=dict(self._state.sequences),
        )

    def export_spool(self, number: int, channel: Channel) -> Exported:
        """Write spooled groups into the rows file."""
        assert self._rows is not None, "the view was opened without a rows file"
        tables = self._schema.of(channel)
        spooled = self._state.spools.get((number, channel), ())
        groups = tuple({group.key: group.rows for group in spooled if group.table == table.number} for table in tables)
        RowsFile(groups, self._files).write(self._rows)
        return Exported(
            groups=len(spooled),
            rows=sum(len(group.rows) for group in spooled),
            tables=tuple(table.shape() for table in tables),
            sequences={},
        )

    def _cut_table(self, table: MemoryTable, cut: Cut, left_behind: AbstractSet[str]) -> Groups:
        """The groups to carry with their rows, tombstones first, then in the origin's order."""
        here, log = self._state.groups[table.number - 1], self._state.logs[table.number - 1]
        named: dict[Key, None] = {}
        if cut.since is not None:
            named.update((key, None) for key, gen in log.items() if gen > cut.since)
        for buckets in cut.buckets:
            if buckets.table == table.number:
                named.update((key, None) for key in here if in_buckets(self._schema, table, buckets, key))
        chosen = [
            key
            for key in named
            if table.is_tracked(key)
            and self._schema.home(table, key) in cut.served
            and not table.waits(key, left_behind)
        ]
        ordered = sorted(chosen, key=lambda key: here[key][0].number if key in here else 0)
        return {key: values_of(here.get(key, ())) for key in ordered}

    def too_large(self, served: tuple[str, ...], limit_bytes: int) -> frozenset[str]:
        """Sum up the sizes in the catalogue."""
        sizes: Counter[str] = Counter()
        for entry in self._state.files.values():
            if entry.file.present and entry.file.home in served:
                sizes[entry.file.conference] += entry.file.size
        return frozenset(conference for conference, size in sizes.items() if size > limit_bytes)

    def digests(
        self,
        channel: Channel,
        homes: tuple[str, ...],
        like: tuple[TableDigests, ...] | None,
        left_behind: AbstractSet[str],
        shapes: tuple[TableShape, ...] = (),
    ) -> tuple[TableDigests, ...]:
        """Digest every table of the channel, per home; the tree too, for meeting files. Both pools have one schema here."""
        del shapes
        known = {(digests.home, digests.table): len(digests.counts) for digests in like or ()}
        found: list[TableDigests] = []
        for home in homes:
            for table in self._schema.of(channel):
                here = self._state.groups[table.number - 1]
                of = known.get((home, table.number)) or buckets_for(sum(map(len, here.values())))
                found.append(self._digest_table(table, home, of, left_behind))
            if channel is Channel.CONFERENCES:
                of = known.get((home, TREE)) or buckets_for(len(self._state.files))
                found.append(self._digest_files(home, of, left_behind))
        return tuple(found)

    def changed_digests(self, cut: Cut) -> tuple[TableDigests, ...]:
        """Digest the groups of a delta."""
        named = {table: self._cut_table(table, cut, frozenset()) for table in self._schema.of(cut.channel)}
        return digest_groups(self._schema, named, cut.served)

    def definition(self) -> str:
        """Tables never change here."""
        return ""

    def _digest_table(self, table: MemoryTable, home: str, of: int, left_behind: AbstractSet[str]) -> TableDigests:
        """Sum live rows except parked groups, plus the parked rows: a parked group counts as if it were applied."""
        tally = Tally(home, table.number, of)
        rows = {key: values_of(group) for key, group in self._state.groups[table.number - 1].items()}
        rows.update({group.key: group.rows for group in self._state.parked.values() if group.table == table.number})
        for key, values in rows.items():
            mine = table.is_tracked(key) and self._schema.home(table, key) == home
            if mine and not table.waits(key, left_behind):
                for row in values:
                    tally.add(key, row)
        return tally.digests()

    def _digest_files(self, home: str, of: int, left_behind: AbstractSet[str]) -> TableDigests:
        tally = Tally(home, TREE, of)
        for path, entry in self._state.files.items():
            file = entry.file
            if file.present and file.home == home and file.conference not in left_behind:
                tally.add((path,), (path, file.size, file.sha256))
        return tally.digests()

    def unhomed(self, channel: Channel) -> int:
        """Count groups that no pattern gives a home."""
        total = sum(
            table.is_tracked(key) and self._schema.home(table, key) is None
            for table in self._schema.of(channel)
            for key in self._state.groups[table.number - 1]
        )
        if channel is Channel.CONFERENCES:
            total += sum(entry.file.present and not entry.file.home for entry in self._state.files.values())
        return total


def digest_groups(
    schema: MemorySchema, named: Mapping[MemoryTable, Groups], homes: tuple[str, ...]
) -> tuple[TableDigests, ...]:
    """Digest these groups, in one bucket per home and table."""
    tallies = {(home, table): Tally(home, table.number, 1) for home in homes for table in named}
    for table, groups in named.items():
        for key, rows in groups.items():
            if tally := tallies.get((schema.home(table, key) or "", table)):
                for row in rows:
                    tally.add(key, row)
    return tuple(tally.digests() for tally in tallies.values())


def in_buckets(schema: MemorySchema, table: MemoryTable, buckets: BucketSet, key: Key) -> bool:
    """Whether a group of this table belongs to the buckets."""
    return (
        table.is_tracked(key)
        and schema.home(table, key) == buckets.home
        and bucket_of(key, buckets.of) in buckets.buckets
    )


def in_tree_buckets(sets: Iterable[BucketSet], home: str, path: bytes) -> bool:
    """Whether a file belongs to buckets of the tree."""
    return any(
        buckets.table == TREE and buckets.home == home and bucket_of((path,), buckets.of) in buckets.buckets
        for buckets in sets
    )
