"""A package between packing and delivery, and how those of a channel go out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from poolpair.model import Channel, Manifest
from poolpair.protocol import Want
from poolpair.state import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A package that lies in the scratch folder, ready to be delivered."""

    path: Path
    intent: Intent
    manifest: Manifest
    wanted: Want
    """What it carries."""
    asked: Want
    """What it was to carry; it differs if the delta was too large."""

    def temp_name(self, pool: str) -> str:
        """Its name in the partner's Temp while it is not whole there: the same at each try."""
        return f"{pool}-{self.intent.position.package_id}.part"


@dataclass(slots=True)
class Flow:
    """How the packages of one channel go out. Forgotten with the process: a package that it had begun is cut anew."""

    piece_bytes: int
    temp_name: str = ""
    """Of the package that goes out in pieces."""
    brought: int = 0
    """Bytes of it in the partner's Temp."""
    whole: int = 0
    """Bytes of all of it."""
    anew: int = 0
    """How often it was begun anew since it last went on."""
    balance_bytes: float = inf
    """What may go out now under the cap; below 0 what went out too early has to be waited for."""
    at_s: float = 0.0
    waits: bool = False
    """For the clock alone."""


@dataclass(slots=True)
class Traffic:
    """What went over the line since the start."""

    sent_bytes: Counter[Channel] = field(default_factory=Counter)
    """Of packages that were delivered; `received_bytes`: of those that were applied."""
    received_bytes: Counter[Channel] = field(default_factory=Counter)
