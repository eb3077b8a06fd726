"""Every error an operator can meet: one class, one stable code each, grouped by what the operator must do; see `catalogue`."""

from __future__ import annotations

from poolpair.catalogue import CATALOGUE
from poolpair.codes import Code, Entry, Remedy

__all__ = ["CATALOGUE", "Code", "Entry", "HeldBack", "PoolpairError", "Refused", "Remedy"]


class PoolpairError(Exception):
    """An expected failure with a stable code. `detail` says what happened here, in one plain sentence without a full stop."""

    def __init__(self, code: Code, detail: str, hint: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint or CATALOGUE[code].hint

    @property
    def exit_status(self) -> int:
        """The exit status of a command that ends with this error."""
        return CATALOGUE[self.code].exit_status

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class Refused(PoolpairError):
    """A file from the share that must not be read further; the caller quarantines it."""


class HeldBack(PoolpairError):
    """A package trips a guard; it waits where it stands."""
