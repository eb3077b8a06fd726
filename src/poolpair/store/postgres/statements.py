"""The statements that write one table of a package from its temporary tables; they run nothing themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poolpair.store.postgres.bound import GONE, SCOPE_OF_ALL, Bound, listed
from poolpair.store.postgres.database import quote

Span = tuple[int, int]
"""First and last place in a list of groups."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Of one table."""

    b: Bound

    @property
    def r(self) -> str:
        """The package's lines."""
        return f"pg_temp.r{self.b.n}"

    @property
    def gone(self) -> str:
        """The groups to delete, numbered."""
        return f"pg_temp.gone_{self.b.n}"

    @property
    def named(self) -> str:
        """The groups that have rows, numbered."""
        return f"pg_temp.named_{self.b.n}"

    @property
    def old(self) -> str:
        """What stood here of refused groups."""
        return f"pg_temp.old_{self.b.n}"

    def take(self, keys: str, span: Span | None, more: str = "") -> list[str]:
        """Delete this entry's rows of some groups in a list, or of all."""
        b = self.b
        scoped = "" if b.scope == SCOPE_OF_ALL else f" AND {b.scoped('t')}"
        between = f" AND {_within('g', span)}" if span else ""
        return [f"DELETE FROM {b.table} t USING {keys} g WHERE {b.same_key('t', 'g')}{scoped}{between}{more}"]

    def put(self, span: Span | None) -> list[str]:
        """Write the rows of some groups, or of all: upserted where a group is one row, else replaced whole."""
        b = self.b
        if b.conflict is None:
            return [*self.take(self.named, span), self.insert(span)]
        return [self.insert(span, self.on_conflict(b.conflict))]

    def on_conflict(self, conflict: Sequence[str]) -> str:
        """What follows `INSERT INTO ... AS t` where a group is one row: the row that stands is changed in its place, if it differs."""
        b = self.b
        # The columns by which rows were found equal are left alone, unless equal values may be written in several ways.
        set_anew = [name for name in b.columns if name not in conflict or not b.type_of(name).exact]
        if not set_anew:
            return f" ON CONFLICT ({listed(conflict)}) DO NOTHING"
        fresh = ", ".join(f"{q} = excluded.{q}" for q in map(quote, set_anew))
        differs = b.differs("t", "excluded", set_anew)
        return f" ON CONFLICT ({listed(conflict)}) DO UPDATE SET {fresh} WHERE {differs}"

    def insert(self, span: Span | None, on_conflict: str = "") -> str:
        """Insert the rows of some groups, or of all, in the origin's order where that means something."""
        b = self.b
        source = f"{self.r} r"
        if span:
            source += f" JOIN {self.named} a ON {b.same_key('a', 'r')} AND {_within('a', span)}"
        order = " ORDER BY r.poolpair_place" if b.order else ""
        rows = f"SELECT {listed(b.columns, 'r')} FROM {source} WHERE NOT r.{GONE}{order}"
        return f"INSERT INTO {b.table} AS t ({b.column_list}) {rows}{on_conflict}"

    def put_again(self, span: Span) -> list[str]:
        """Insert the rows of refused groups; where the row stood here before, with the values this site assigned."""
        b = self.b
        chosen = f"a.poolpair_refused AND {_within('a', span)} AND NOT r.{GONE}"
        source = f"{self.r} r JOIN {self.named} a ON {b.same_key('a', 'r')} AND {chosen}"
        own = tuple(name for name in b.stored if name not in b.columns)
        plain = f"INSERT INTO {b.table} ({b.column_list}) SELECT {listed(b.columns, 'r')} FROM {source}"
        order = "ORDER BY r.poolpair_place"
        if b.conflict is None or not own:
            return [f"{plain} {order}"]
        stood = f"{source} JOIN {self.old} o ON o.poolpair_place = a.poolpair_place"
        again = (
            f"INSERT INTO {b.table} ({b.column_list}, {listed(own)}) OVERRIDING SYSTEM VALUE"
            f" SELECT {listed(b.columns, 'r')}, {listed(own, 'o')} FROM {stood} {order}"
        )
        fresh = f"NOT EXISTS (SELECT 1 FROM {self.old} o WHERE o.poolpair_place = a.poolpair_place)"
        return [again, f"{plain} WHERE {fresh} {order}"]


def together(deletions: Iterable[str], writes: Iterable[str]) -> str:
    """One statement that does all of this, deletions first; it answers how many rows were written.

    References to their rows, and their cascades, are looked at when it ends.
    """
    said = [f"{text} RETURNING false AS poolpair_written" for text in deletions]
    said += [f"{text} RETURNING true AS poolpair_written" for text in writes]
    parts = ", ".join(f"poolpair_{n} AS ({text})" for n, text in enumerate(said))
    rows = " UNION ALL ".join(f"SELECT poolpair_written FROM poolpair_{n}" for n in range(len(said)))
    return f"WITH {parts} SELECT count(*) FILTER (WHERE poolpair_written) FROM ({rows}) poolpair_all"


def _within(alias: str, span: Span) -> str:
    return f"{alias}.poolpair_place BETWEEN {span[0]} AND {span[1]}"
