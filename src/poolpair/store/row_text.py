"""Rows as JSON text that keeps every value as it is: for the rows files of the memory store and for both versions in the ledger.

None, int and str are themselves; `{"f": hex}` is a float, `{"b": hex}` a blob and `{"t": hex}` a text that is not UTF-8. Reading
raises ValueError, TypeError, KeyError or OverflowError for anything else.
"""

from __future__ import annotations

import json

from poolpair.store.buckets import Text

Row = tuple[object, ...]
INTEGER_MAX = (1 << 63) - 1


def rows_to_text(rows: tuple[Row, ...]) -> str:
    """Several rows, or a key as one row."""
    return json.dumps([row_to_json(row) for row in rows], separators=(",", ":"))


def rows_from_text(text: str) -> tuple[Row, ...]:
    """What `rows_to_text` was given. Of rows that name their columns, as PostgreSQL writes them, the values."""
    return tuple(row_from_json(list(row.values()) if isinstance(row, dict) else row) for row in json.loads(text))


def row_to_json(values: Row) -> list[object]:
    """One row, for JSON."""
    return [value if value is None or type(value) in {int, str} else _tagged(value) for value in values]


def _tagged(value: object) -> dict[str, str]:
    if isinstance(value, Text):
        return {"t": value.hex()}
    if isinstance(value, bytes):
        return {"b": value.hex()}
    if isinstance(value, float):
        return {"f": value.hex()}
    message = f"not a stored value: {type(value).__name__}"
    raise TypeError(message)


def row_from_json(values: list[object]) -> Row:
    """One row, from JSON."""
    return tuple(_untagged(value) if isinstance(value, dict) else _plain(value) for value in values)


def _plain(value: object) -> object:
    """A value that stands for itself. Raises ValueError for one that no store holds."""
    if isinstance(value, str):
        return text_of(value)
    return None if value is None else number_of(value, -INTEGER_MAX - 1)


def number_of(value: object, low: int, high: int = INTEGER_MAX) -> int:
    """An integer within bounds, else ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(value)
    return value


def text_of(value: object) -> str:
    """A text that can be written as UTF-8, else ValueError or TypeError."""
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # a lone surrogate is no text
    return value


def _untagged(tagged: dict[str, str]) -> object:
    ((kind, body),) = tagged.items()
    match kind:
        case "t":
            return Text(bytes.fromhex(body))
        case "b":
            return bytes.fromhex(body)
        case "f":
            return float.fromhex(body)
        case _:
            raise ValueError(kind)
