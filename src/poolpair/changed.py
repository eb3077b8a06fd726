"""What a target found when it applied a package: what that changed, and the tables that it could not be applied to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from poolpair.errors import Code, PoolpairError
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


def tracked_otherwise(
    theirs: Iterable[tuple[str, tuple[str, ...]]], ours: Iterable[tuple[str, tuple[str, ...]]]
) -> PoolpairError:
    """What to say where the partner's profile carries other tables than ours, or by other keys: each is a name and its key."""
    there, here = dict(theirs), dict(ours)
    other = [name for name in here if name in there and there[name] != here[name]]
    said = [
        f"table {name} has the key ({', '.join(there[name])}) at the partner and ({', '.join(here[name])}) here"
        for name in other
    ]
    for names, where in (
        (there.keys() - here.keys(), "at the partner only"),
        (here.keys() - there.keys(), "here only"),
    ):
        if names:
            said.append(f"table {', '.join(sorted(names))} is carried {where}")
    hint = None if said else "let the same profile be named at both sites"
    if other:
        hint = "name the same `key` for it in both profiles, then `init` at both; instead of `whole`, name a profile that you drafted"
    return PoolpairError(Code.SCHEMA, "; ".join(said) or "the partner's profile has the tables in another order", hint)
