"""What a target found when it applied a package: what that changed, and the tables that it could not be applied to."""

from __future__ import annotations

from dataclasses import dataclass

from poolpair.model import TableDigests


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The groups that a package named, digested in the transaction that applied it."""

    digests: tuple[TableDigests, ...]
    definition: str
    """The tables as they were then: another text after any change of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTable:
    """A table that is not the same at both pools: nothing of it is applied until it is, and a comparison makes up for that."""

    number: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"table {self.name} waits: {self.reason}"
