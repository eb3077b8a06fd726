"""What `init` did to a store, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolpair.errors import Code, PoolpairError
from poolpair.store.port import Transaction
from poolpair.store.profile import Profile

SETTINGS = "store/settings"
LAYOUT = 2
"""How poolpair's own tables are made. It grows with every change that `init` has to make to a database prepared before; 2: the ledger
carries files too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTable:
    """A table of a whole application, as `init` found it: until the next one it has this number and this key, whatever indexes come."""

    number: int
    name: str
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSettings:
    """With which pair settings the database was prepared, and by its layout how long ago."""

    settings: str
    profile: str
    layout: int = 1
    """1: from before it was noted."""
    tables: tuple[PreparedTable, ...] = ()
    """Of a whole application, those that its profile does not name itself."""


def is_settled(known: InstalledSettings | None, settings: str, profile: str) -> bool:
    """Whether `init` with these settings only puts back what is missing, or prepares a database that is new to poolpair."""
    return known is None or (known.settings, known.profile, known.layout) == (settings, profile, LAYOUT)


def settled_with(settings: str, profile: Profile) -> InstalledSettings:
    """What `init` notes of the settings and the profile with which it prepares a database."""
    found = (table for table in profile.tables if table.indexing)
    tables = tuple(PreparedTable(number=table.number, name=table.name, key=table.key) for table in found)
    return InstalledSettings(settings=settings, profile=profile.digest, layout=LAYOUT, tables=tables)


def refuse_newer(known: InstalledSettings | None, name: str) -> None:
    """Raise NOT_INSTALLED if a later release than this one prepared the database called `name`."""
    if known is not None and known.layout > LAYOUT:
        detail = f"{name} was prepared by a newer poolpair (layout {known.layout}, this one knows {LAYOUT})"
        raise PoolpairError(Code.NOT_INSTALLED, detail, hint="upgrade poolpair at this pool; nothing was changed")


def refuse_layout(known: InstalledSettings | None, name: str) -> None:
    """Raise NOT_INSTALLED if an earlier or later release than this one prepared the database called `name`."""
    refuse_newer(known, name)
    if known is not None and known.layout < LAYOUT:
        detail = f"{name} was prepared by an older poolpair (layout {known.layout}, this one needs {LAYOUT})"
        hint = "stop the service and run `poolpair -c FILE init`: it brings poolpair's own tables up to date, and changes nothing else"
        raise PoolpairError(Code.NOT_INSTALLED, detail, hint=hint)


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
