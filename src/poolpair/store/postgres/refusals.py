"""What the server says when it refuses something, in our words."""

from __future__ import annotations

import psycopg

from poolpair.errors import Code, PoolpairError
from poolpair.store.values import MassDelete

_LOCKED = {"55P03", "40P01", "40001"}
_CANCELLED = "57014"
_TOO_MUCH = {"54000", "54001"}
"""A value that is too long for an index, or too deep for what is computed over it."""
_GONE = {"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "08000", "08003", "08006", "08001", "08004"}


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the store refused the values of a row (or a trigger did): one group is at fault, not the store."""
    state = error.sqlstate or ""
    return state[:2] in {"21", "22", "23", "38", "44", "P0", "PP"} or state in _TOO_MUCH


def reason_of(error: psycopg.Error) -> str:
    """What the store said of a refused row, without its values."""
    return error.diag.message_primary or str(error)


def translate(error: psycopg.Error, name: str) -> PoolpairError:
    """Say in our words what the driver said."""
    state, said = error.sqlstate or "", (error.diag.message_primary or str(error)).strip().replace("\n", " ")
    if state in _LOCKED:
        return PoolpairError(Code.STORE_LOCKED, f"{name} stayed locked by another transaction: {said}")
    if state == _CANCELLED:
        hint = "somebody cancelled it, or it took longer than an hour; poolpair tries again by itself"
        return PoolpairError(Code.STORE_BROKEN, f"{name}: {said}", hint=hint)
    if state in _GONE or (not state and isinstance(error, psycopg.OperationalError)):
        hint = "see that the server runs and takes connections of this role; poolpair goes on by itself"
        return PoolpairError(Code.STORE_MISSING, f"{name} cannot be reached: {said}", hint=hint)
    if state == "3D000" or state.startswith("28"):
        return PoolpairError(Code.STORE_MISSING, f"{name} cannot be opened: {said}")
    if state.startswith("53"):
        hint = "free space or connections on its server; poolpair goes on by itself"
        return PoolpairError(Code.STORE_BROKEN, f"{name}: {said}", hint=hint)
    if state in {"42P01", "3F000", "42883"} and "poolpair" in said:
        return PoolpairError(Code.NOT_INSTALLED, f"{name} was not prepared for poolpair")
    if state == "25006":
        hint = "promote it, or name every server: postgresql://role@/db?host=one,other&target_session_attrs=read-write"
        return PoolpairError(Code.STORE_MISSING, f"{name} is a standby, which takes no writes: {said}", hint=hint)
    if state == "42501":
        hint = "`poolpair -c FILE init --print-sql` prints the privileges that its role needs"
        return PoolpairError(Code.STORE_BROKEN, f"{name}: {said}", hint=hint)
    return PoolpairError(Code.STORE_BROKEN, f"{name}: {said}")


class Tripped(Exception):
    """A guard tripped; nothing is to be written."""

    def __init__(self, found: MassDelete) -> None:
        super().__init__(found)
        self.found = found
