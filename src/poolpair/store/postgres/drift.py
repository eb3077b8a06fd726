"""Tables that are not the same at both pools: those wait, with the tables that foreign keys tie to them; the others go on.

What waits is neither written nor deleted from, so its copy stands as it is, and the caller no longer holds the copy for complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from poolpair.changed import WaitingTable, tracked_otherwise
from poolpair.errors import Code, Refused
from poolpair.model import TableShape
from poolpair.store.postgres.bound import Bound
from poolpair.store.postgres.rowsfile import Section
from poolpair.store.profile import ProfileTable

REASON_MAX = 400
"""Characters: a cookie carries the reasons, and columns may be many."""


def layout_of(bound: Iterable[Bound]) -> str:
    """A digest of tables, with the types of their columns."""
    told = [(b.n, b.shape(), [b.type_of(name).told for name in b.columns]) for b in bound]
    return sha256(repr(told).encode()).hexdigest()[:16]


def check_types(section: Section, told: dict[str, str], b: Bound | None) -> None:
    """Rows of another type made their table wait; that keys or files are of another is no migration."""
    if any(told[column] != theirs for column, theirs in zip(section.columns, section.types, strict=True)):
        table = b.spec.name if b else "of files"
        raise Refused(Code.DAMAGED, f"table {table} of the rows file has columns of other types than its rows")


def carried(specs: Iterable[ProfileTable], tables: tuple[TableShape, ...]) -> dict[int, TableShape]:
    """The partner's tables by their number in the profile, which both pools share; one that it lacks is not among them."""
    found, coming = {}, list(tables)
    for spec in specs:
        if coming and (coming[0].name, coming[0].key) == (spec.name, spec.key):
            found[spec.number] = coming.pop(0)
    if coming:
        raise tracked_otherwise(
            [(shape.name, shape.key) for shape in tables],
            [(spec.name, spec.key) for spec in specs if spec.name in {shape.name for shape in tables}],
        )
    return found


def waiting(
    specs: tuple[ProfileTable, ...],
    bound: Mapping[int, Bound],
    theirs: Mapping[int, TableShape],
    sections: Mapping[str, Section],
) -> tuple[WaitingTable, ...]:
    """Every table that waits, and why."""
    why = {
        spec.number: reason
        for spec in specs
        if (reason := _difference(bound.get(spec.number), theirs.get(spec.number), sections.get(f"r{spec.number}")))
    }
    names = {spec.number: spec.name for spec in specs}
    while tied := dict(_tied(bound, why, names)):
        why |= tied
    return tuple(WaitingTable(number=n, name=names[n], reason=reason[:REASON_MAX]) for n, reason in sorted(why.items()))


def _difference(b: Bound | None, shape: TableShape | None, section: Section | None) -> str:
    if b is None:
        return "it is not here" if shape else ""
    if shape is None:
        return "it is lacking at the partner"
    lacking, more = sorted(set(shape.columns) - set(b.columns)), sorted(set(b.columns) - set(shape.columns))
    if lacking or more:
        return (_columns("is lacking here", lacking) + _columns("is lacking at the partner", more)).rstrip("; ")
    told = dict(zip(section.columns, section.types, strict=False)) if section else {}
    if section and len(told) != len(section.columns):
        return ""  # no origin writes that: what reads the section refuses it
    other = [(name, told[name]) for name in b.columns if name in told and told[name] != b.type_of(name).told]
    return "; ".join(
        f"column {name} is {theirs} at the partner and {b.type_of(name).told} here" for name, theirs in other
    )


def _columns(what: str, names: list[str]) -> str:
    return f"column {', '.join(names)} {what}; " if names else ""


def _tied(bound: Mapping[int, Bound], why: Mapping[int, str], names: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """Tables that refer to one that waits, or that one refers to."""
    for n, b in bound.items():
        for other in (bound[w] for w in why if w in bound and n not in why):
            if other.on.place.oid in b.on.refers_to | {b.on.place.oid} or b.on.place.oid in other.on.refers_to:
                yield n, f"a foreign key ties it to {names[other.n]}"
