"""Recovery on PostgreSQL: what a returned pool had is merged, found equal, or put into the ledger with both versions.

Works on the temporary tables that an incoming rows file was copied into. Whatever becomes of a group, it is logged, so that what stands
here flows back. Nothing is parked: what a table refuses goes to the ledger, and what stood here stays.
"""

from __future__ import annotations

import psycopg

from poolpair.errors import Code, Refused
from poolpair.store.postgres.bound import GONE, Bound, listed
from poolpair.store.postgres.circles import write_in_order
from poolpair.store.postgres.database import Database, quote
from poolpair.store.postgres.documents import seen_at
from poolpair.store.postgres.fencing import begin_deciding
from poolpair.store.postgres.halving import Refusals, refused_of
from poolpair.store.postgres.ledgering import Theirs, differing, note_returned, put_differing, unite
from poolpair.store.postgres.refusals import is_refusal
from poolpair.store.postgres.skipping import resting, without_triggers
from poolpair.store.postgres.spooling import later_than
from poolpair.store.postgres.statements import Span
from poolpair.store.values import Reclaimed, RecoverPlan


class RefusedInTheEnd(Exception):
    """A constraint that was let wait failed in the end."""


def recover(
    database: Database, bound: tuple[Bound, ...], ledger: Bound, plan: RecoverPlan, *, waiting: bool
) -> Reclaimed:
    """Take in every table of a package, inside a transaction. Raises RefusedInTheEnd only if constraints were `waiting`."""
    begin_deciding(database)
    database.run(f"SET CONSTRAINTS ALL {'DEFERRED' if waiting else 'IMMEDIATE'}")
    tables = [TableRecovery(database, b, ledger, plan) for b in sorted(bound, key=lambda b: b.rank)]
    if not plan.lists:
        for table in tables:
            table.check_homes()
    for table in tables:
        table.sort_out()
    with resting(database, [table.bound for table in tables if table.groups]):
        write_in_order(database, tables)
        if waiting:
            try:
                database.run("SET CONSTRAINTS ALL IMMEDIATE")
            except psycopg.Error as error:
                if is_refusal(error):
                    raise RefusedInTheEnd from error
                raise
    done = [table.settle() for table in tables]
    return Reclaimed(
        merged=sum(each.merged for each in done),
        equal=sum(each.equal for each in done),
        in_ledger=sum(each.in_ledger for each in done),
    )


class TableRecovery:
    """One table. The fate of a group is `equal`, `ledger`, `delete` or `write`."""

    def __init__(self, database: Database, b: Bound, ledger: Bound, plan: RecoverPlan) -> None:
        self._db = database
        self._b = b
        self._ledger = ledger
        self._plan = plan
        self._fates = f"pg_temp.fate_{b.n}"
        self._brought = f"pg_temp.r{b.n}"
        self._rows = f"SELECT poolpair_place, {b.column_list} FROM {self._brought} WHERE NOT {GONE}"
        self._groups = 0
        self._is_deleted = self._is_written = False
        """Done by a statement for more tables than this one."""
        self._refusals = Refusals()
        """What was refused so far, and why."""

    @property
    def bound(self) -> Bound:
        """The table."""
        return self._b

    @property
    def groups(self) -> int:
        """How many groups the package names."""
        return self._groups

    def check_homes(self) -> None:
        """What is not of the home that is recovered is refused with the package."""
        b = self._b
        strange = f"NOT {b.scope} OR {b.home} IS DISTINCT FROM $1"
        if self._db.row(f"SELECT 1 FROM {self._brought} WHERE {strange} LIMIT 1", self._plan.home):
            raise Refused(Code.FOREIGN_PACKAGE, f"it brings rows of table {b.spec.name} that are not of its home")

    def sort_out(self) -> None:
        """Give each group its fate, by what stands here and what the log tells."""
        b, s = self._b, self._db
        place = "poolpair_place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, poolpair_fate text NOT NULL DEFAULT 'equal'"
        s.run(f"CREATE TEMPORARY TABLE fate_{b.n} ({place}, {b.key_types}) ON COMMIT DROP")
        groups = f"SELECT DISTINCT {b.key} FROM {self._brought}"
        if not self._plan.lists:
            self._groups = s.changed(f"INSERT INTO {self._fates} ({b.key}) {groups}")
        elif not b.spec.home_is_pool:
            mine = f"{b.scope} AND {b.home} = $1"
            self._groups = s.changed(f"INSERT INTO {self._fates} ({b.key}) {groups} WHERE {mine}", self._plan.home)
        if not self._groups:
            return
        s.run(f"ANALYZE {self._fates}")
        if b.spec.home_is_pool:
            unite(s, b, self._rows)
            return
        s.run(
            f"UPDATE {self._fates} f SET poolpair_fate = 'ledger' FROM ({differing(b, self._theirs('equal'))}) d"
            " WHERE f.poolpair_place = d.poolpair_place"
        )
        if self._plan.merge:
            seen = seen_at(s, self._plan.reign_token)
            changed = f"SELECT 1 FROM {b.log} l WHERE {later_than(seen, '$1')} AND {b.same_key('l', 'f')}"
            has_rows = f"EXISTS (SELECT 1 FROM {self._brought} r WHERE {b.same_key('r', 'f')} AND NOT r.{GONE})"
            s.run(
                f"UPDATE {self._fates} f SET poolpair_fate = CASE WHEN {has_rows} THEN 'write' ELSE 'delete' END"
                f" WHERE poolpair_fate = 'ledger' AND NOT EXISTS ({changed})",
                seen,
            )

    def _theirs(self, fate: str) -> Theirs:
        keys = f"SELECT poolpair_place, {self._b.key} FROM {self._fates} WHERE poolpair_fate = '{fate}'"
        return Theirs(keys=keys, rows=self._rows)

    def deletion(self) -> str:
        """One statement that deletes all that the returned pool had deleted."""
        return self._taking("delete", (1, self._groups))[0] if self._groups else ""

    def deleted(self, _: int) -> None:
        """That statement was run."""
        self._is_deleted = True

    def writing(self) -> str:
        """One statement that writes all that the returned pool had written; empty where it takes two."""
        return self._putting((1, self._groups))[0] if self._groups and self._b.conflict is not None else ""

    def written(self, _: int) -> None:
        """That statement was run."""
        self._is_written = True

    def delete(self) -> None:
        """Delete groups that the returned pool had deleted."""
        if self._groups and not self._is_deleted:
            with without_triggers(self._db, self._b):
                self._refusals.deletions = refused_of((1, self._groups), self._take)

    def write(self) -> None:
        """Write what the returned pool had written."""
        if self._groups and not self._is_written:
            with without_triggers(self._db, self._b):
                self._refusals.writes = refused_of((1, self._groups), self._put)

    def again(self) -> bool:
        """Try once more what was refused: what stood in its way may have gone. Says whether any of it was taken."""
        if not self._refusals:
            return False
        with without_triggers(self._db, self._b):
            return self._refusals.again(self._take, self._put)

    def give_up(self) -> None:
        """What is refused still goes to the ledger."""
        if refused := [*self._refusals.deletions, *self._refusals.writes]:
            self._db.run(
                f"UPDATE {self._fates} SET poolpair_fate = 'ledger' WHERE poolpair_place = ANY ($1::bigint[])", refused
            )

    def _take(self, span: Span) -> None:
        self._db.tried(self._taking("delete", span))

    def _put(self, span: Span) -> None:
        self._db.tried(self._putting(span))

    def _taking(self, fate: str, span: Span) -> list[str]:
        b = self._b
        chosen = f"g.poolpair_fate = '{fate}' AND g.poolpair_place BETWEEN {span[0]} AND {span[1]}"
        return [
            f"DELETE FROM {b.table} t USING {self._fates} g WHERE {chosen} AND {b.same_key('t', 'g')} AND {b.scoped('t')}"
        ]

    def _putting(self, span: Span) -> list[str]:
        b = self._b
        before: list[str] = []
        on_conflict = ""
        if b.conflict is None:
            before = self._taking("write", span)
        else:
            fresh = ", ".join(f"{q} = excluded.{q}" for q in map(quote, b.columns))
            differs = b.differs("t", "excluded", b.columns)
            on_conflict = f"ON CONFLICT ({listed(b.conflict)}) DO UPDATE SET {fresh} WHERE {differs}"
        chosen = f"g.poolpair_fate = 'write' AND g.poolpair_place BETWEEN {span[0]} AND {span[1]} AND NOT r.{GONE}"
        rows = (
            f"INSERT INTO {b.table} AS t ({b.column_list}) SELECT {listed(b.columns, 'r')} FROM {self._brought} r"
            f" JOIN {self._fates} g ON {b.same_key('r', 'g')} WHERE {chosen} ORDER BY r.poolpair_place {on_conflict}"
        )
        return [*before, rows]

    def settle(self) -> Reclaimed:
        """Put what was not merged into the ledger, and log every group."""
        b, s = self._b, self._db
        if b.spec.home_is_pool and self._groups:
            s.run(f"INSERT INTO {b.log} ({b.key}) SELECT {b.key} FROM {self._fates}")
        if b.spec.home_is_pool or not self._groups:
            return Reclaimed()
        merged = s.number(f"SELECT count(*) FROM {self._fates} WHERE poolpair_fate IN ('delete', 'write')")
        in_ledger = put_differing(s, b, self._ledger, self._theirs("ledger"), self._plan.note)
        if self._plan.lists:
            return Reclaimed(in_ledger=in_ledger)
        if self._plan.merge:
            note_returned(s, b, self._ledger, self._fates, self._plan)
        s.run(f"INSERT INTO {b.log} ({b.key}) SELECT {b.key} FROM {self._fates}")
        return Reclaimed(merged=merged, equal=self._groups - merged - in_ledger, in_ledger=in_ledger)
