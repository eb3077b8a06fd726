"""Chooses the share's adapter by the form of its address."""

from __future__ import annotations

from pathlib import Path

from poolpair.errors import Code, PoolpairError
from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare


def own_share(address: str) -> DirectoryOwnShare:
    """Open the pool's own share."""
    return DirectoryOwnShare(_path(address))


def partner_share(address: str) -> DirectoryPartnerShare:
    """Open the partner's share."""
    return DirectoryPartnerShare(_path(address))


def _path(address: str) -> Path:
    if not address.startswith("/"):
        raise PoolpairError(
            Code.CONFIG, f"share = {address!r}: this release reaches shares only as mounted or local directories"
        )
    return Path(address)
