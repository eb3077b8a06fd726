"""Applies one table of a package: guard, fast way, and the slow way that finds and parks refused groups.

The fast way is one DELETE and one INSERT. The slow way runs only after the store refused something: it takes the table's groups
out, puts them in again by halves, parks what is refused even alone, and puts back what stood here of a parked group.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from poolpair.errors import Code, PoolpairError
from poolpair.store.sqlite.binding import Bound
from poolpair.store.sqlite.connection import PREFIX, literal, quote, text
from poolpair.store.sqlite.refusing import Ranges, savepoint, without_triggers
from poolpair.store.sqlite.transaction import forget_parked
from poolpair.store.sqlite.writing import delete_groups, put_right, write_groups
from poolpair.store.values import Applied, ApplyPlan, MassDelete


class TableApply:
    """One table of one package, inside the transaction of the apply."""

    def __init__(self, connection: sqlite3.Connection, b: Bound, plan: ApplyPlan, ranges: Ranges | None = None) -> None:
        self._c = connection
        self._b = b
        self._plan = plan
        self._ranges = ranges
        """Set when an earlier try was rolled back at this table: then the slow way is taken at once."""
        self._gone = f"temp.gone_{b.n}"
        self._old = f"temp.old_{b.n}"
        self._all = f"temp.all_{b.n}"
        self._parked = 0
        self._first = 0
        """Groups that the first copy of a home would delete."""

    def prepare(self) -> None:
        """List the groups to delete: tombstones, and what a seed's whole buckets do not hold. Parked groups are spared."""
        b, c = self._b, self._c
        c.execute(f"DROP TABLE IF EXISTS {self._gone}")
        c.execute(f"CREATE TABLE {self._gone} ({b.key_types})")
        keys = ", ".join(f"k.{quote(name)}" for name in b.spec.key)
        absent = f"FROM pkg.k{b.n} k LEFT JOIN pkg.r{b.n} r ON {b.same_key('r', 'k')} WHERE r.rowid IS NULL"
        c.execute(f"INSERT INTO {self._gone} SELECT {keys} {absent}")
        here_keys = ", ".join(f"h.{quote(name)}" for name in b.spec.key)
        for buckets in self._plan.buckets:
            if buckets.table != b.n or buckets.home not in self._plan.served:
                continue
            carried = b.carried(json.dumps(self._plan.left_behind))
            here = (
                f"SELECT DISTINCT {b.key} FROM {b.table} WHERE {b.scope} AND {carried} AND {b.home} = {literal(buckets.home)}"
                f" AND {b.in_buckets(buckets)}"
            )
            surplus = c.execute(
                f"INSERT INTO {self._gone} SELECT {here_keys} FROM ({here}) h"
                f" LEFT JOIN pkg.k{b.n} k ON {b.same_key('k', 'h')}"
                f" LEFT JOIN main.{PREFIX}parked_key_{b.n} p ON {b.same_key('p', 'h')}"
                " WHERE k.rowid IS NULL AND p.poolpair_id IS NULL"
            )
            self._first += surplus.rowcount if buckets.home in self._plan.unsettled else 0

    def mass_delete(self) -> MassDelete | None:
        """Say whether the guard trips; counts the table only when the list of deletions is long."""
        b, plan = self._b, self._plan
        if self._first:
            total = self._one(f"SELECT count(*) FROM ({self._standing(plan.unsettled)})")
            return MassDelete(table=b.spec.name, deletes=self._first, of=total, first=True)
        if self._one(f"SELECT count(*) FROM {self._gone}") <= plan.guard_groups:
            return None
        deletes = self._one(
            f"SELECT count(*) FROM {self._gone} g WHERE EXISTS (SELECT 1 FROM {b.table} t WHERE {b.same_key('t', 'g')})"
        )
        if deletes <= plan.guard_groups:
            return None
        enough = f" LIMIT {int(deletes / plan.guard_fraction) + 1}" if plan.guard_fraction else ""
        total = self._one(f"SELECT count(*) FROM ({self._standing(plan.served)}{enough})")
        if deletes > plan.guard_fraction * total:
            return MassDelete(table=b.spec.name, deletes=deletes, of=total)
        return None

    def _standing(self, homes: tuple[str, ...]) -> str:
        b, listed = self._b, literal(json.dumps(homes))
        return f"SELECT DISTINCT {b.key} FROM {b.table} WHERE {b.scope} AND {b.home} IN (SELECT value FROM json_each({listed}))"

    def apply(self) -> Applied:
        """Apply the table; parks what is refused."""
        groups = self.named
        deleted = self._one(f"SELECT count(*) FROM {self._gone}")
        if not groups and not deleted:
            return Applied(groups=0, rows=0, deleted=0, parked=0)
        if self._plan.keep_replaced:
            self._keep_replaced()
        self._unpark_named()
        with without_triggers(self._c, self._b):
            try:
                rows = self._fast(groups) if self._ranges is None else self._slow()
            except sqlite3.IntegrityError:
                rows = self._slow()
        return Applied(groups=groups, rows=rows, deleted=deleted, parked=self._parked)

    @property
    def named(self) -> int:
        """How many groups the package names."""
        return self._one(f"SELECT (SELECT count(*) FROM pkg.k{self._b.n})")

    @property
    def may_be_changed(self) -> bool:
        """Whether a trigger of the application's may have run when this table was written."""
        return any(self._b.spec.runs(name) for name in self._b.info.triggers)

    def put_right(self) -> None:
        """See that what was written stands as it was sent, whatever triggers of the application's made of it."""
        put_right(self._c, self._b, self._gone)

    def _fast(self, groups: int) -> int:
        with savepoint(self._c, "fast", self._b.n, 1, groups):
            return write_groups(self._c, self._b, f"pkg.k{self._b.n}", self._gone, f"pkg.r{self._b.n}")

    def _slow(self) -> int:
        b, c = self._b, self._c
        for name in (self._all, self._old):
            c.execute(f"DROP TABLE IF EXISTS {name}")
        c.execute(
            f"CREATE TABLE {self._all} (poolpair_ordinal INTEGER PRIMARY KEY, poolpair_refused INTEGER DEFAULT 0, {b.key_types})"
        )
        gone = ", ".join(f"g.{quote(name)}" for name in b.spec.key)
        beside = f"{self._gone} g LEFT JOIN pkg.k{b.n} k ON {b.same_key('k', 'g')} WHERE k.rowid IS NULL"
        surplus = f"SELECT DISTINCT {gone} FROM {beside}"
        c.execute(f"INSERT INTO {self._all} ({b.key}) SELECT {b.key} FROM pkg.k{b.n} UNION ALL {surplus}")
        stored = ", ".join(f"t.{quote(name)}" for name in self._stored)
        c.execute(
            f"CREATE TABLE {self._old} AS SELECT {stored} FROM {self._all} a"
            f" CROSS JOIN {b.table} t ON {b.same_key('t', 'a')} WHERE {b.scoped('t')}"
        )
        last = self._one(f"SELECT coalesce(max(poolpair_ordinal), 0) FROM {self._all}")
        before = c.total_changes
        parts = [(1, last)]
        if self._ranges is not None:
            parts = [*self._ranges.parts, (self._ranges.named + 1, last)]
            for ordinal, reason in self._ranges.refused.items():
                self._park(ordinal, reason)
        for low, high in parts:
            self._halve(low, high, self._take_out)
        for low, high in parts:
            self._halve(low, high, self._insert)
        self._put_back()
        return c.total_changes - before

    def _take_out(self, low: int, high: int) -> None:
        chosen = f"g.poolpair_ordinal BETWEEN {low} AND {high} AND g.poolpair_refused = 0"
        delete_groups(self._c, self._b, self._all, chosen)

    @property
    def _stored(self) -> tuple[str, ...]:
        return tuple(column.name for column in self._b.info.columns if not column.generated)

    def _insert(self, low: int, high: int) -> None:
        """Insert the rows of some groups; where the row stood here before, with the values this site assigned."""
        b, c = self._b, self._c
        between = f"a.poolpair_refused = 0 AND a.poolpair_ordinal BETWEEN {low} AND {high}"
        chosen = f"pkg.r{b.n} r JOIN {self._all} a ON {b.same_key('a', 'r')} AND {between}"
        columns = ", ".join(f"r.{quote(name)}" for name in b.columns)
        own = tuple(name for name in self._stored if name not in b.columns)
        if b.conflict is None or not own:
            c.execute(
                f"INSERT OR ABORT INTO {b.table} ({b.column_list}) SELECT {columns} FROM {chosen} ORDER BY r.rowid"
            )
            return
        own_list, own_old = ", ".join(map(quote, own)), ", ".join(f"o.{quote(name)}" for name in own)
        stood = f"{chosen} JOIN {self._old} o ON {b.same_key('o', 'r')}"
        c.execute(
            f"INSERT OR ABORT INTO {b.table} ({b.column_list}, {own_list}) SELECT {columns}, {own_old} FROM {stood} ORDER BY r.rowid"
        )
        fresh = f"NOT EXISTS (SELECT 1 FROM {self._old} o WHERE {b.same_key('o', 'r')})"
        c.execute(
            f"INSERT OR ABORT INTO {b.table} ({b.column_list}) SELECT {columns} FROM {chosen} WHERE {fresh} ORDER BY r.rowid"
        )

    def _halve(self, low: int, high: int, act: Callable[[int, int], None]) -> None:
        """Act on a range of groups; where it is refused, on its halves; park a single group that is refused alone."""
        if low > high:
            return
        try:
            with savepoint(self._c, "half", self._b.n, low, high):
                act(low, high)
        except sqlite3.IntegrityError as error:
            if low == high:
                self._park(low, str(error))
                return
            middle = (low + high) // 2
            self._halve(low, middle, act)
            self._halve(middle + 1, high, act)

    def _park(self, ordinal: int, reason: str) -> None:
        b, c, plan = self._b, self._c, self._plan
        self._parked += 1
        if self._parked > plan.parked_max:
            raise PoolpairError(
                Code.PARKED,
                f"table {b.spec.name} refuses more than {plan.parked_max} groups of one package; nothing of it was applied",
            )
        c.execute(f"UPDATE {self._all} SET poolpair_refused = 1 WHERE poolpair_ordinal = ?", (ordinal,))
        key = c.execute(f"SELECT {b.key} FROM {self._all} WHERE poolpair_ordinal = ?", (ordinal,)).fetchone()
        group_id = c.execute(
            "INSERT INTO main.poolpair_parked (tbl, table_name, channel, key, reason, package_id, since_utc, gen)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT value FROM main.poolpair_gen))",
            (b.n, b.spec.name, plan.channel.value, describe_key(b, key), reason, plan.package_id, plan.now_utc),
        ).lastrowid
        c.execute(
            f"INSERT INTO main.{PREFIX}parked_key_{b.n} SELECT ?, {b.key} FROM {self._all} WHERE poolpair_ordinal = ?",
            (group_id, ordinal),
        )
        columns = ", ".join(f"r.{quote(name)}" for name in b.columns)
        mine = f"JOIN {self._all} a ON {b.same_key('a', 'r')} WHERE a.poolpair_ordinal = ? ORDER BY r.rowid"
        rows = f"SELECT ?, {columns} FROM pkg.r{b.n} r {mine}"
        c.execute(
            f"INSERT INTO main.{PREFIX}parked_row_{b.n} (poolpair_id, {b.column_list}) {rows}", (group_id, ordinal)
        )

    def _put_back(self) -> None:
        """An older version is better than none: put back what stood here of parked groups, if the store still takes it."""
        b, c = self._b, self._c
        names = ", ".join(map(quote, self._stored))
        for (ordinal,) in c.execute(f"SELECT poolpair_ordinal FROM {self._all} WHERE poolpair_refused = 1").fetchall():
            if self._one(
                f"SELECT count(*) FROM {b.table} t JOIN {self._all} a ON {b.same_key('t', 'a')} WHERE a.poolpair_ordinal = {ordinal}"
            ):
                continue
            old = ", ".join(f"o.{quote(name)}" for name in self._stored)
            try:
                with savepoint(c, "back", b.n, ordinal, ordinal):
                    c.execute(
                        f"INSERT OR ABORT INTO {b.table} ({names}) SELECT {old} FROM {self._old} o"
                        f" JOIN {self._all} a ON {b.same_key('a', 'o')} WHERE a.poolpair_ordinal = {ordinal}"
                    )
            except sqlite3.IntegrityError:
                continue  # the newer rows of another group stand where it stood; the parked version is kept

    def _unpark_named(self) -> None:
        """A newer package that names a parked group replaces what was parked."""
        b, c = self._b, self._c
        named = f"SELECT {b.key} FROM pkg.k{b.n} UNION ALL SELECT {b.key} FROM {self._gone}"
        found = c.execute(
            f"SELECT p.poolpair_id FROM main.{PREFIX}parked_key_{b.n} p JOIN ({named}) g ON {b.same_key('p', 'g')}"
        ).fetchall()
        for (group_id,) in found:
            forget_parked(c, b.n, group_id)

    def _keep_replaced(self) -> None:
        b, plan = self._b, self._plan
        named = f"SELECT {b.key} FROM pkg.k{b.n} UNION ALL SELECT {b.key} FROM {self._gone}"
        columns = ", ".join(f"t.{quote(name)}" for name in b.columns)
        self._c.execute(
            f"INSERT INTO main.{PREFIX}kept_row_{b.n} (poolpair_package, poolpair_utc, {b.column_list})"
            f" SELECT ?, ?, {columns} FROM ({named}) g CROSS JOIN {b.table} t ON {b.same_key('t', 'g')}",
            (plan.package_id, plan.now_utc),
        )

    def _one(self, query: str) -> int:
        return int(self._c.execute(query).fetchone()[0])


def describe_key(b: Bound, key: tuple[object, ...]) -> str:
    """Name a group for people."""
    return ", ".join(
        f"{name}={text(value) if value is not None else 'NULL'}" for name, value in zip(b.spec.key, key, strict=True)
    )
