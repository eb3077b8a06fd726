"""What `init` did to a store, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolpair.store.port import Transaction

SETTINGS = "store/settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSettings:
    """With which pair settings the database was prepared."""

    settings: str
    profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What `init` did: `fresh` if the store was new to poolpair, `repaired` triggers that had gone or differed."""

    store_id: str
    fresh: bool
    repaired: tuple[str, ...]
    changed: bool
    """Homes or profile differ from those of the last `init`."""


UNPAIRED = "store/unpaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaired:
    """Left in a store whose pair was ended: it serves everybody. The next `init` begins the pair with another partner."""

    partner: str
    pair_id: str
    at_utc: str


Farewell = Callable[[Transaction], Unpaired]
"""Looks, in the transaction that ends a pair, whether it may end now: what it raises leaves everything as it was."""

Record = Callable[[Transaction, Installed], None]
"""What else is written in the transaction of `install`: a trigger put back and the comparison that follows belong together."""
