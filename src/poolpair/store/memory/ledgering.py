"""Recovery on a draft: groups of a returned pool are merged, found equal, or put into the ledger with both versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.store.ledger import entry_of, ledger_row, row_of
from poolpair.store.memory.applying import refusal
from poolpair.store.memory.rows import Groups
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable, Row
from poolpair.store.memory.state import Draft, values_of
from poolpair.store.row_text import rows_from_text, rows_to_text
from poolpair.store.values import Choice, LedgerEntry, LedgerNote, Reclaimed, RecoverPlan


class Ledgering:
    """Writes the ledger within one transaction; every entry is captured like a row of the application."""

    def __init__(self, draft: Draft, schema: MemorySchema, note: LedgerNote | None) -> None:
        self._draft = draft
        self._schema = schema
        self._note = note

    def differing(self, table: MemoryTable, key: Key, theirs: tuple[Row, ...]) -> int:
        """Put a group into the ledger unless it is what stands here; returns 1 if it did."""
        assert self._note is not None
        ours = self._here(table, key)
        home = self._schema.home(table, key)
        if ours == theirs or home is None:
            return 0
        texts = rows_to_text((key,)), rows_to_text(theirs), rows_to_text(ours)
        self.put(ledger_row(home, table.channel, table.name, *texts, self._note))
        return 1

    def _here(self, table: MemoryTable, key: Key) -> tuple[Row, ...]:
        return values_of(self._draft.groups[table.number - 1].now.get(key, ()))

    def put(self, row: tuple[str, ...]) -> None:
        """An entry that is there already stays as it is, decided or not."""
        ledger = self._schema.ledger
        key = ledger.key_of(row)
        if key not in self._draft.groups[ledger.number - 1].now:
            self._draft.put(ledger, key, (row,))
        self._draft.log(ledger, key)

    def recover(
        self,
        plan: RecoverPlan,
        content: Iterable[tuple[MemoryTable, Groups]],
        refuses: Callable[[str, Row], str | None],
    ) -> Reclaimed:
        """Take in whole tables of groups, or list what differs."""
        total, named = Reclaimed(), set[tuple[str, str]]()
        for table, groups in content:
            for key, rows in groups.items():
                named.add((table.name, rows_to_text((key,))))
                if plan.lists:
                    if self._schema.home(table, key) == plan.home and not table.home_is_pool:
                        total = replace(total, in_ledger=total.in_ledger + self.differing(table, key, rows))
                    continue
                if not table.is_tracked(key) or self._schema.home(table, key) != plan.home:
                    raise Refused(
                        Code.FOREIGN_PACKAGE, f"it brings rows of table {table.name} that are not of its home"
                    )
                if table.home_is_pool:
                    self.unite(key, rows)
                else:
                    total = self._recover_group(plan, total, table, key, rows, refuses)
        if plan.merge and not plan.lists:
            self._returned(plan, named)
        return total

    def _returned(self, plan: RecoverPlan, named: set[tuple[str, str]]) -> None:
        """What was standing for these groups is handed in now."""
        for rows in list(self._draft.groups[self._schema.ledger.number - 1].now.values()):
            entry = entry_of(values_of(rows)[0])
            mine = (entry.home, entry.channel, entry.state) == (plan.home, plan.channel, Choice.STANDING)
            if mine and (entry.table, entry.key) in named:
                self.replace(replace(entry, state=Choice.RETURNED, decided_utc=plan.note.now_utc))

    def unite(self, key: Key, rows: tuple[Row, ...]) -> None:
        """Take in an entry that the other ledger had: one that is unknown here, or that only there somebody decided on."""
        ledger = self._schema.ledger
        here = values_of(self._draft.groups[ledger.number - 1].now.get(key, ()))
        undecided = bool(here) and not entry_of(here[0]).state.is_decided
        if rows and (not here or (undecided and entry_of(rows[0]).state.is_decided)):
            self._draft.put(ledger, key, rows)
        self._draft.log(ledger, key)

    def _recover_group(
        self,
        plan: RecoverPlan,
        total: Reclaimed,
        table: MemoryTable,
        key: Key,
        rows: tuple[Row, ...],
        refuses: Callable[[str, Row], str | None],
    ) -> Reclaimed:
        changed = self._draft.logs[table.number - 1].now.get(key, 0) > plan.reign_token
        try:
            if self._here(table, key) == rows:
                return replace(total, equal=total.equal + 1)
            if changed or not plan.merge or refusal(table, rows, refuses) is not None:
                return replace(total, in_ledger=total.in_ledger + self.differing(table, key, rows))
            self._draft.put(table, key, rows)
            return replace(total, merged=total.merged + 1)
        finally:
            self._draft.log(table, key)

    def resolve(
        self,
        entry: LedgerEntry,
        choice: Choice,
        now_utc: str,
        refuses: Callable[[str, Row], str | None],
        *,
        force: bool,
    ) -> LedgerEntry:
        """Let the chosen version stand. Raises LEDGER_MOVED if the rows are no longer what the entry says, PARKED if they are refused."""
        table = self._schema.named(entry.table)
        (key,) = rows_from_text(entry.key)
        here = rows_to_text(self._here(table, key))
        if choice is Choice.THEIRS and here not in {entry.ours, entry.theirs} and not force:
            raise PoolpairError(Code.LEDGER_MOVED, f"a group of {entry.table} was written again since")
        if choice is Choice.THEIRS:
            if reason := refusal(table, rows_from_text(entry.theirs), refuses):
                raise PoolpairError(Code.PARKED, f"table {table.name} refuses the rows of the entry: {reason}")
            self._draft.put(table, key, rows_from_text(entry.theirs))
        if (
            choice is Choice.THEIRS or entry.state is Choice.STANDING
        ):  # else it would be merged over when it is handed in
            self._draft.log(table, key)
        replaced = here if choice is Choice.THEIRS and here != entry.theirs else entry.ours
        decided = replace(entry, state=choice, decided_utc=now_utc, ours=replaced)
        self.replace(decided)
        return decided

    def replace(self, entry: LedgerEntry) -> None:
        """Let an entry be this one."""
        row, ledger = row_of(entry), self._schema.ledger
        self._draft.put(ledger, ledger.key_of(row), (row,))
        self._draft.log(ledger, ledger.key_of(row))
