"""Applies one table of a package: guard, fast way, and the slow way that finds and parks refused groups.

The fast way is one DELETE and one INSERT. Only if the store refuses something are the groups tried by halves, each half in a
savepoint, until the refused ones are known. Those are then taken out together and put in again, which is all that rows who swap
a unique value need, and what stood here of those that are refused even so is put back. What is refused is tried once more as long as
something else was taken, in this table or in another; then it is parked.
"""

from __future__ import annotations

import psycopg

from poolpair.errors import Code, PoolpairError, Refused
from poolpair.model import BucketSet
from poolpair.store.postgres.bound import GONE, Bound, listed
from poolpair.store.postgres.database import SCHEMA, Database
from poolpair.store.postgres.halving import Refusals, refused_of
from poolpair.store.postgres.parking import park, unpark
from poolpair.store.postgres.refusals import is_refusal
from poolpair.store.postgres.skipping import without_triggers
from poolpair.store.postgres.statements import Span, Statements, together
from poolpair.store.values import Applied, ApplyPlan, MassDelete

PLACE = "poolpair_place bigint GENERATED ALWAYS AS IDENTITY, poolpair_refused boolean NOT NULL DEFAULT false"


class TableApply:
    """One table of one package, inside the transaction of the apply."""

    def __init__(self, database: Database, b: Bound, plan: ApplyPlan) -> None:
        self._db = database
        self._b = b
        self._plan = plan
        self._say = say = Statements(b)
        self._r, self._gone, self._named, self._old = say.r, say.gone, say.named, say.old
        self._groups = self._deleted = self._rows = self._parked = 0
        self._first = 0
        """Groups that the first copy of a home would delete."""
        self._has_rows = self._unparks = False
        self._is_deleted = self._is_written = False
        """Done by a statement for more tables than this one."""
        self._named_groups = 0
        """How many groups have rows; 0 until somebody asks."""
        self._refusals = Refusals()
        """What was refused so far, and why."""

    @property
    def bound(self) -> Bound:
        """The table."""
        return self._b

    @property
    def groups(self) -> int:
        """How many groups were named, and deleted besides."""
        return self._groups + self._deleted

    @property
    def named_in(self) -> tuple[str, ...]:
        """The temporary tables in which their keys stand."""
        return (self._r, self._gone) if self._deleted else (self._r,)

    def prepare(self) -> None:
        """Look at the lines, and list the groups to delete: tombstones, and what a seed's buckets do not hold; parked ones are spared.

        What a package says of homes that it may not carry is never applied; such a package is refused whole.
        """
        b, s = self._b, self._db
        groups = "count(*)" if b.conflict is not None else f"count(DISTINCT ROW({b.key}))"
        found = s.row(
            f"SELECT {groups}, count(*) FILTER (WHERE {GONE}), count(*) FILTER (WHERE NOT {GONE}),"
            f" coalesce(bool_or(NOT {b.scope} OR coalesce({b.home}, '') <> ALL ($1::text[])), false),"
            f" (SELECT count(*) FROM (SELECT FROM {SCHEMA}.parked_key_{b.n} LIMIT 1) parked) FROM {self._r}",
            list(self._plan.served),
        )
        assert found is not None
        self._groups, gone, self._has_rows, self._unparks = int(found[0]), int(found[1]), found[2] > 0, found[4] > 0
        if found[3]:
            detail = f"it carries rows of table {b.spec.name} that are not the partner's to send"
            raise Refused(Code.FOREIGN_PACKAGE, detail)
        buckets = [each for each in self._plan.buckets if each.table == b.n and each.home in self._plan.served]
        if gone or buckets:
            self._list_gone(buckets)

    def _list_gone(self, whole: list[BucketSet]) -> None:
        b, s = self._b, self._db
        s.run(f"CREATE TEMPORARY TABLE gone_{b.n} ({PLACE}, {b.key_types}) ON COMMIT DROP")
        tombstones = f"SELECT DISTINCT {b.key} FROM {self._r} WHERE {GONE}"
        if b.conflict is None:  # a group of which there are rows is no tombstone, whatever else is said of it
            tombstones += f" EXCEPT SELECT {b.key} FROM {self._r} WHERE NOT {GONE}"
        self._deleted = s.changed(f"INSERT INTO {self._gone} ({b.key}) {tombstones}")
        for buckets in whole:
            here = (
                f"SELECT DISTINCT {b.key} FROM {b.table} WHERE {b.scope} AND {b.carried('$1::text[]')} AND $1::text[] IS NOT NULL"
                f" AND {b.home} = $2 AND {b.bucket(str(buckets.of))} = ANY ($3::bigint[])"
            )
            surplus = s.changed(
                f"INSERT INTO {self._gone} ({b.key}) SELECT {b.key} FROM ({here}) h"
                f" WHERE NOT EXISTS (SELECT 1 FROM {self._r} r WHERE {b.same_key('r', 'h')})"
                f" AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.parked_key_{b.n} p WHERE {b.same_key('p', 'h')})",
                list(self._plan.left_behind),
                buckets.home,
                list(buckets.buckets),
            )
            self._deleted += surplus
            self._first += surplus if buckets.home in self._plan.unsettled else 0
        s.run(f"ANALYZE {self._gone}")

    def mass_delete(self) -> MassDelete | None:
        """Say whether the guard trips; counts the table only as far as the answer needs."""
        b, plan = self._b, self._plan
        distinct = "" if b.conflict is not None else "DISTINCT"
        standing_of = f"SELECT {distinct} {b.key} FROM {b.table} WHERE {b.scope} AND {b.home} = ANY ($1::text[])"
        if self._first:
            total = self._db.number(f"SELECT count(*) FROM ({standing_of}) mine", list(plan.unsettled))
            return MassDelete(table=b.spec.name, deletes=self._first, of=total, first=True)
        if self._deleted <= plan.guard_groups:
            return None
        standing = f"EXISTS (SELECT 1 FROM {b.table} t WHERE {b.same_key('t', 'g')})"
        deletes = self._db.number(f"SELECT count(*) FROM {self._gone} g WHERE {standing}")
        if deletes <= plan.guard_groups:
            return None
        enough = int(deletes / plan.guard_fraction) + 1 if plan.guard_fraction else deletes
        mine = f"{standing_of} LIMIT $2::bigint"
        total = self._db.number(f"SELECT count(*) FROM ({mine}) mine", list(plan.served), enough + 1)
        if deletes > plan.guard_fraction * total:
            return MassDelete(table=b.spec.name, deletes=deletes, of=total)
        return None

    def done(self) -> Applied:
        """What was done."""
        return Applied(groups=self._groups, rows=self._rows, deleted=self._deleted, parked=self._parked)

    def set_aside(self) -> None:
        """Before anything is written: keep what is replaced, and forget what was parked of these groups."""
        if not (self._groups or self._deleted):
            return
        if self._plan.keep_replaced:
            self._keep_replaced()
        if self._unparks:
            unpark(self._db, b=self._b, named=self.named_in)

    def deletion(self) -> str:
        """One statement that deletes all groups that are gone; empty if there is none."""
        return self._say.take(self._gone, None)[0] if self._deleted else ""

    def deleted(self, _: int) -> None:
        """That statement was run."""
        self._is_deleted = True

    def delete(self) -> None:
        """Delete the groups that are gone."""
        if self._deleted and not self._is_deleted:
            with without_triggers(self._db, self._b):
                self._refusals.deletions = refused_of((1, self._deleted), self._take)

    def _take(self, span: Span) -> None:
        self._do(self._say.take(self._gone, span))

    def _put(self, span: Span) -> None:
        self._do(self._say.put(span))

    def writing(self) -> str:
        """One statement that writes all groups that have rows; empty if there is none."""
        return self._say.put(None)[0] if self._has_rows and self._b.conflict is not None else ""

    def written(self, rows: int) -> None:
        """That statement was run, and wrote so many rows that nobody else counts."""
        self._is_written = True
        self._rows += rows

    def write(self) -> None:
        """Write the groups that have rows."""
        if not self._has_rows or self._is_written:
            return
        if self._b.conflict is None:
            self._list_named()
        with without_triggers(self._db, self._b):
            # What is most likely new costs a third less by a plain INSERT than by one that looks for conflicts.
            if self._plan.fills and self._b.conflict and self._at_once([self._say.insert(None)]):
                return
            if self._at_once(self._say.put(None)):
                return
            if not self._named_groups:
                self._list_named()
            found = refused_of((1, self._named_groups), self._put)
            # One alone could not be helped so; and a cascade would delete more.
            self._refusals.writes = found if len(found) < 2 or self._b.on.is_cascaded else self._written_anew(found)

    def again(self) -> bool:
        """Try once more what was refused: what stood in its way may have gone. Says whether any of it was taken."""
        if not self._refusals:
            return False
        with without_triggers(self._db, self._b):
            return self._refusals.again(self._take, self._put)

    def give_up(self) -> None:
        """Park what is refused still."""
        for place, reason in self._refusals.deletions.items():
            self._park(self._gone, place, reason)
        for place, reason in self._refusals.writes.items():
            self._park(self._named, place, reason)

    def _list_named(self) -> None:
        """Number the groups that have rows, in the origin's order."""
        b = self._b
        self._db.run(f"CREATE TEMPORARY TABLE named_{b.n} ({PLACE}, {b.key_types}) ON COMMIT DROP")
        standing = f"SELECT {b.key} FROM {self._r} WHERE NOT {GONE} GROUP BY {b.key} ORDER BY min(poolpair_place)"
        self._named_groups = self._db.changed(f"INSERT INTO {self._named} ({b.key}) {standing}")
        self._db.run(f"ANALYZE {self._named}")

    def _at_once(self, statements: list[str]) -> bool:
        """The fast way; False if something was refused, and all of it undone."""
        try:
            self._do(statements)
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            return False
        return True

    def _do(self, statements: list[str]) -> None:
        """All of it, or nothing of it if something is refused."""
        written = self._db.tried(statements)
        self._rows += sum(rows for text, rows in zip(statements, written, strict=True) if not text.startswith("DELETE"))

    def _written_anew(self, refused: dict[int, str]) -> dict[int, str]:
        """Take the refused groups out together, then in by halves; put back what stood here of those that are refused still."""
        b, s = self._b, self._db
        s.run(
            f"UPDATE {self._named} SET poolpair_refused = true WHERE poolpair_place = ANY ($1::bigint[])", list(refused)
        )
        s.run(
            f"CREATE TEMPORARY TABLE old_{b.n} ON COMMIT DROP AS SELECT a.poolpair_place, {listed(b.stored, 't')}"
            f" FROM {self._named} a JOIN {b.table} t ON {b.same_key('t', 'a')} WHERE a.poolpair_refused AND {b.scoped('t')}"
        )
        take = self._say.take(self._named, None, " AND g.poolpair_refused")
        if self._at_once([together(take, self._say.put_again((1, self._named_groups)))]):  # others may refer to them
            return {}
        try:
            s.tried(take)
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            return refused
        found = refused_of((1, self._named_groups), lambda span: self._do(self._say.put_again(span)))
        for place in found:
            self._put_back(place)
        return found

    def _put_back(self, place: int) -> None:
        """An older version is better than none: put back what stood here, if the store still takes it and it is not there."""
        b = self._b
        standing = (
            f"SELECT 1 FROM {b.table} t JOIN {self._named} a ON {b.same_key('t', 'a')} WHERE a.poolpair_place = $1"
        )
        if self._db.row(f"{standing} LIMIT 1", place):
            return
        names = listed(b.stored)
        back = f"SELECT {names} FROM {self._old} WHERE poolpair_place = {place}"
        try:
            self._db.tried([f"INSERT INTO {b.table} ({names}) OVERRIDING SYSTEM VALUE {back}"])
        except psycopg.Error as error:
            if not is_refusal(error):
                raise  # else the newer rows of another group stand where it stood; the parked version is kept

    def _park(self, keys: str, place: int, reason: str) -> None:
        b, plan = self._b, self._plan
        self._parked += 1
        if self._parked > plan.parked_max:
            raise PoolpairError(
                Code.PARKED,
                f"table {b.spec.name} refuses more than {plan.parked_max} groups of one package; nothing of it was applied",
            )
        park(self._db, b, plan, keys, place, reason)

    def _keep_replaced(self) -> None:
        b, plan = self._b, self._plan
        named = f"SELECT {b.key} FROM {self._r}"
        if self._deleted:
            named += f" UNION SELECT {b.key} FROM {self._gone}"
        else:
            named = f"SELECT DISTINCT {b.key} FROM {self._r}"
        self._db.run(
            f"INSERT INTO {SCHEMA}.kept_row_{b.n} (poolpair_package, poolpair_utc, {b.column_list})"
            f" SELECT $1, $2, {listed(b.columns, 't')} FROM ({named}) g JOIN {b.table} t ON {b.same_key('t', 'g')}",
            plan.package_id,
            plan.now_utc,
        )
