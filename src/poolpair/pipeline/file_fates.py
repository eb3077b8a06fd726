"""What becomes of one file that a returned pool brings: a pure rule over what stands here."""

from __future__ import annotations

from enum import Enum, auto

from poolpair.store.values import CatalogueFile


class Fate(Enum):
    """What becomes of it."""

    EQUAL = auto()
    """The same stands here."""
    MERGE = auto()
    """It replaces what stands here, which nobody touched in this reign."""
    LEDGER = auto()
    """What stands here stays; both versions are in the ledger."""


def fate(brought: CatalogueFile, here: CatalogueFile | None, *, rests: bool, changed: bool, merge: bool) -> Fate:
    """Decide. `here` is the catalogue's entry, and `rests` whether the disk agrees with it; `changed`, whether it changed in this reign.

    `merge` is whether anything of the package may replace what stands here.
    """
    stands = here is not None and here.present
    if not rests:
        return Fate.LEDGER
    if brought.present == stands and (here is None or not stands or here.sha256 == brought.sha256):
        return Fate.EQUAL
    return Fate.MERGE if merge and not changed else Fate.LEDGER
