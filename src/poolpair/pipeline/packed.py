"""A package between packing and delivery."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from poolpair.model import Manifest
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
