"""The groups that a cut carries, named in temporary tables: by the log, and by whole buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from poolpair.model import BucketSet
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.database import Database, literal, texts
from poolpair.store.postgres.documents import EVERYTHING
from poolpair.store.postgres.logged import SEEN
from poolpair.store.values import Cut

FEW_KEYS = 1000
"""So few groups are looked up one by one, whatever the planner makes of tables that it has no figures of."""


class Names:
    """The names of one view. `seen` gives what a token saw."""

    def __init__(self, database: Database, seen: Callable[[int], str]) -> None:
        self._db = database
        self._seen = seen
        self.tables: dict[str, int] = {}
        """Temporary tables of keys, and how many each holds."""
        self._plans_for_many = True

    def name_changed(self, bound: Iterable[Bound], cut: Cut, left: list[str]) -> None:
        """Name what changed in every table of which nothing else is sent, and plan for so many: one round trip."""
        whole = {buckets.table for buckets in cut.buckets}
        tables = [b for b in bound if f"k{b.n}" not in self.tables and b.n not in whole]
        if not tables or cut.since is None:
            return
        naming = [self._naming(b, cut.since, cut.served, left) for b in tables]
        counts = ", ".join(
            f"(SELECT count(*) FROM (SELECT FROM pg_temp.k{b.n} LIMIT {FEW_KEYS + 1}) k)" for b in tables
        )
        planned = f"greatest({counts}) > {FEW_KEYS}"
        cursor = self._db.run(f"{'; '.join(naming)}; SELECT {planned}, {_planning(f'({planned})::text')}")
        for b in tables:
            self._note(b, cursor.rowcount)
            cursor.nextset()
        row = cursor.fetchone()
        self._plans_for_many = row is not None and bool(row[0])

    def _naming(self, b: Bound, since: int, served: tuple[str, ...], left: list[str]) -> str:
        """Names what changed since a token, in a temporary table that is empty."""
        seen = self._seen(since)
        later = "true" if seen == EVERYTHING else "NOT " + SEEN.format(literal(seen))
        mine = f"{b.scope} AND {b.home} = ANY ({texts(served)}) AND {b.carried(texts(left))}"
        keys = self._db.scratch.make(f"k{b.n}", b.key_types)
        return f"INSERT INTO {keys} SELECT DISTINCT {b.key} FROM {b.log} WHERE {later} AND {mine}"

    def of(self, b: Bound, cut: Cut, left: list[str]) -> int:
        """Name the groups of a cut in a temporary table, once; gives how many."""
        known = self.tables.get(f"k{b.n}")
        if known is not None:
            return known
        named = 0
        if cut.since is not None:
            named = self._db.changed(self._naming(b, cut.since, cut.served, left))
        else:
            self._db.scratch.make(f"k{b.n}", b.key_types)
        for buckets in cut.buckets:
            if buckets.table == b.n and buckets.home in cut.served:
                named += self._add_buckets(b, buckets, left)
        return self._note(b, named)

    def _note(self, b: Bound, named: int) -> int:
        self.tables[f"k{b.n}"] = named
        if named > FEW_KEYS:
            self._db.run(f"ANALYZE pg_temp.k{b.n}")
        return named

    def plan_for(self, named: int) -> None:
        """Few groups are looked up one by one."""
        many = named > FEW_KEYS
        if many != self._plans_for_many:
            self._db.run(f"SELECT {_planning(literal(str(many)))}")
            self._plans_for_many = many

    def _add_buckets(self, b: Bound, buckets: BucketSet, left: list[str]) -> int:
        """Name the groups of whole buckets that the delta does not name already."""
        mine = f"{b.scope} AND {b.home} = {literal(buckets.home)} AND {b.carried(texts(left))}"
        condition = f"{mine} AND {b.bucket(str(buckets.of))} = ANY ($1::bigint[])"
        keys = f"SELECT DISTINCT {b.key} FROM {b.table} WHERE {condition}"
        fresh = f"NOT EXISTS (SELECT 1 FROM pg_temp.k{b.n} have WHERE {b.same_key('have', 'n')})"
        return self._db.changed(
            f"INSERT INTO pg_temp.k{b.n} SELECT {b.key} FROM ({keys}) n WHERE {fresh}", list(buckets.buckets)
        )


def _planning(many: str) -> str:
    """Let the planner join whole tables, or not."""
    return ", ".join(f"set_config('{setting}', {many}, true)" for setting in ("enable_hashjoin", "enable_mergejoin"))
