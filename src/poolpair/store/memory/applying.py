"""Applies one table of a package to a draft: what is to be deleted, whether the guard trips, then rows and parked groups."""

from __future__ import annotations

from poolpair.errors import Code, PoolpairError
from poolpair.store.memory.disk import Refuses
from poolpair.store.memory.rows import Groups
from poolpair.store.memory.schema import Key, MemorySchema, MemoryTable, Row
from poolpair.store.memory.snapshot import in_buckets
from poolpair.store.memory.state import Draft, KeptRow, ParkedRows, values_of
from poolpair.store.values import Applied, ApplyPlan, MassDelete


class TableApply:
    """One table of one package, in the draft of the apply."""

    def __init__(
        self, draft: Draft, schema: MemorySchema, table: MemoryTable, groups: Groups, plan: ApplyPlan, refuses: Refuses
    ) -> None:
        self._draft = draft
        self._schema = schema
        self._table = table
        self._groups = groups
        self._plan = plan
        self._refuses = refuses
        self._here = draft.groups[table.number - 1]
        self._first = 0
        """Groups that the first copy of a home would delete."""
        self._gone = self._find_gone()

    def _find_gone(self) -> tuple[Key, ...]:
        """Tombstones, and what a seed's whole buckets do not hold. Parked groups are spared."""
        gone = {key: None for key, rows in self._groups.items() if not rows}
        chosen = [b for b in self._plan.buckets if b.table == self._table.number and b.home in self._plan.served]
        if chosen:
            parked = self._draft.parked_keys(self._table)
            left_behind = frozenset(self._plan.left_behind)
            for key in self._here.now:
                spared = key in self._groups or key in parked or self._table.waits(key, left_behind)
                if not spared and any(in_buckets(self._schema, self._table, buckets, key) for buckets in chosen):
                    gone[key] = None
                    self._first += self._schema.home(self._table, key) in self._plan.unsettled
        return tuple(gone)

    def mass_delete(self) -> MassDelete | None:
        """Say whether the guard trips."""
        plan, table = self._plan, self._table
        if self._first:
            return MassDelete(table=table.name, deletes=self._first, of=self._standing(plan.unsettled), first=True)
        deletes = sum(key in self._here.now for key in self._gone)
        if deletes <= plan.guard_groups:
            return None
        total = self._standing(plan.served)
        if deletes > plan.guard_fraction * total:
            return MassDelete(table=table.name, deletes=deletes, of=total)
        return None

    def _standing(self, homes: tuple[str, ...]) -> int:
        table = self._table
        return sum(table.is_tracked(key) and self._schema.home(table, key) in homes for key in self._here.now)

    def apply(self) -> Applied:
        """Apply the table; parks what is refused."""
        if not self._groups and not self._gone:
            return Applied(groups=0, rows=0, deleted=0, parked=0)
        named = dict.fromkeys((*self._groups, *self._gone))
        if self._plan.keep_replaced:
            self._keep(named)
        for key, group_id in self._draft.parked_keys(self._table).items():
            if key in named:
                del self._draft.parked.edit[group_id]
        for key in self._gone:
            self._draft.put(self._table, key, ())
        written = parked = 0
        for key, rows in self._groups.items():
            reason = refusal(self._table, rows, self._refuses)
            if reason is not None:
                parked += 1
                self._park(key, rows, reason, parked)
            elif rows and not (self._table.unique and self._stands(key, rows)):
                self._draft.put(self._table, key, rows)
                written += len(rows)
        return Applied(groups=len(self._groups), rows=written, deleted=len(self._gone), parked=parked)

    def _stands(self, key: Key, rows: tuple[Row, ...]) -> bool:
        """Whether exactly these values are here already: 1 and 1.0 are two values."""
        here = values_of(self._here.now.get(key, ()))
        return here == rows and all(
            type(one) is type(other) for a, b in zip(here, rows, strict=True) for one, other in zip(a, b, strict=True)
        )

    def _park(self, key: Key, rows: tuple[Row, ...], reason: str, count: int) -> None:
        """Keep the refused rows; what stands here of the group stays, if the store still takes it."""
        draft, table, plan = self._draft, self._table, self._plan
        if count > plan.parked_max:
            detail = f"table {table.name} refuses more than {plan.parked_max} groups of one package; nothing of it was applied"
            raise PoolpairError(Code.PARKED, detail)
        draft.groups_parked += 1
        draft.parked.edit[draft.groups_parked] = ParkedRows(
            table=table.number,
            channel=table.channel,
            key=key,
            rows=rows,
            reason=reason,
            package_id=plan.package_id,
            since_utc=plan.now_utc,
            gen=draft.gen,
        )
        if refusal(table, values_of(self._here.now.get(key, ())), self._refuses) is not None:
            draft.put(table, key, ())

    def _keep(self, named: dict[Key, None]) -> None:
        self._draft.kept += tuple(
            KeptRow(table=self._table.number, package_id=self._plan.package_id, values=row.values)
            for key in named
            for row in self._here.now.get(key, ())
        )


def refusal(table: MemoryTable, rows: tuple[Row, ...], refuses: Refuses) -> str | None:
    """Why the target does not take this group; None if it does."""
    if table.unique and len(rows) > 1:
        return f"UNIQUE constraint failed: {table.name} ({', '.join(table.key)})"
    return next((reason for row in rows if (reason := refuses(table.name, row)) is not None), None)
