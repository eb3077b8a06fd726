"""Chooses the share's adapter by the form of its address."""

from __future__ import annotations

from pathlib import Path

from poolpair.errors import Code, PoolpairError
from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare
from poolpair.share.port import QUARANTINE_MAX, OwnShare, PartnerShare


def own_share(url: str, quarantine_max: int = QUARANTINE_MAX) -> OwnShare:
    """Open the pool's own share. Raises CONFIG for an address that this release cannot reach."""
    return DirectoryOwnShare(_path(url), quarantine_max)


def partner_share(url: str) -> PartnerShare:
    """Open the partner's share. Raises CONFIG for an address that this release cannot reach."""
    return DirectoryPartnerShare(_path(url))


def _path(url: str) -> Path:
    if url.startswith(("\\\\", "//")) or "://" in url:
        raise PoolpairError(
            Code.CONFIG,
            f"share = {url!r} is not supported yet by this release",
            hint="mount the share and give its absolute path",
        )
    if not url.startswith("/") or "\0" in url:
        raise PoolpairError(Code.CONFIG, f"share = {url!r} is not an absolute path")
    return Path(url)
