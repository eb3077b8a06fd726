"""Finds the groups that the store refuses: by halves, and then once more one by one, when others gave up what was in their way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg

from poolpair.store.postgres.refusals import is_refusal, reason_of
from poolpair.store.postgres.statements import Span

Act = Callable[[Span], None]
"""Does something with a range of groups: all of it, or raises and has done nothing."""


def refused_of(span: Span, act: Act) -> dict[int, str]:
    """Act on a range of groups; where it is refused, on its halves. Gives each group that is refused alone, with the reason."""
    try:
        act(span)
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
        low, high = span
        if low == high:
            return {low: reason_of(error)}
        middle = (low + high) // 2
        return refused_of((low, middle), act) | refused_of((middle + 1, high), act)
    return {}


def still_refused(refused: Mapping[int, str], act: Act) -> dict[int, str]:
    """Act once more on each of these groups alone, in the other order: what is handed on along a row of them arrives in either."""
    return {place: reason for one in reversed(list(refused)) for place, reason in refused_of((one, one), act).items()}


@dataclass(slots=True)
class Refusals:
    """What a table has refused so far: the places of groups, and why."""

    deletions: dict[int, str] = field(default_factory=dict)
    writes: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many groups."""
        return len(self.deletions) + len(self.writes)

    def again(self, take: Act, put: Act) -> bool:
        """Try each once more: what stood in its way may have gone. Says whether any of it was taken."""
        before = len(self)
        self.deletions, self.writes = still_refused(self.deletions, take), still_refused(self.writes, put)
        return len(self) < before
