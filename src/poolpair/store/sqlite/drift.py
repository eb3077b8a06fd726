"""Tables that differ between the two sites: what they say to the application's migrations, and what a column makes of a value."""

from __future__ import annotations

from poolpair.changed import tracked_otherwise
from poolpair.errors import Code, PoolpairError
from poolpair.model import TableShape

_TYPES = (("INT", "NUMERIC"), ("CHAR", "TEXT"), ("CLOB", "TEXT"), ("TEXT", "TEXT"), ("BLOB", "BLOB"))
_FLOATS = ("REAL", "FLOA", "DOUB")


def kind_of(declared: str, collation: str) -> str:
    """What becomes of a value in a column, and which are the same there."""
    return _affinity(declared) + ("" if collation.upper() == "BINARY" else f" {collation.upper()}")


def _affinity(declared: str) -> str:
    """What SQLite makes of a value in a column of a declared type (https://sqlite.org/datatype3.html, 3.1).

    INTEGER stands for NUMERIC, for both keep the same values. ANY is a type of STRICT tables and keeps all.
    """
    name = declared.upper()
    for part, kind in _TYPES:
        if part in name:
            return kind
    if name in {"", "ANY"}:
        return "BLOB"
    return "REAL" if any(part in name for part in _FLOATS) else "NUMERIC"


def refuse_other_tables(theirs: tuple[TableShape, ...], ours: tuple[TableShape, ...]) -> None:
    """A package is applied where both sites have the same tables. Raises SCHEMA."""
    coming, here = [(table.name, table.key) for table in theirs], [(table.name, table.key) for table in ours]
    if coming != here:
        raise tracked_otherwise(coming, here)
    for their, our in zip(theirs, ours, strict=True):
        if found := [*_columns(their, our), *_types(their, our)]:
            raise PoolpairError(Code.SCHEMA, f"table {our.name}: {'; '.join(found)}")


def _columns(their: TableShape, our: TableShape) -> list[str]:
    sides = (("is lacking here", their, our), ("is lacking at the partner", our, their))
    missing = [(where, sorted(set(one.columns) - set(other.columns))) for where, one, other in sides]
    return [f"column {', '.join(names)} {where}" for where, names in missing if names]


def _types(their: TableShape, our: TableShape) -> list[str]:
    coming = dict(zip(their.columns, their.types, strict=False))
    return [
        f"column {name} is {coming[name]} at the partner and {kind} here"
        for name, kind in zip(our.columns, our.types, strict=False)
        if coming.get(name, kind) != kind
    ]
