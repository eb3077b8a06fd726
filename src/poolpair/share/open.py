"""Chooses the adapter of a share by the form of its address."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from poolpair.config import PoolConfig
from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare
from poolpair.share.port import OwnShare, PartnerShare
from poolpair.smb_address import is_smb, parse_smb

if TYPE_CHECKING:
    from poolpair.share.smb.line import Line


def own_share(config: PoolConfig) -> OwnShare:
    """Open the pool's own share; a file server is spoken to when the first thing is asked of it."""
    if not is_smb(config.share):
        return DirectoryOwnShare(Path(config.share), config.limits.quarantine_files)
    from poolpair.share.smb.own import SmbOwnShare

    return SmbOwnShare(_line(config.share, config.share_credentials, "own"), config.limits.quarantine_files)


def partner_share(config: PoolConfig) -> PartnerShare:
    """Open the partner's share, as `own_share` does."""
    if not is_smb(config.partner.share):
        return DirectoryPartnerShare(Path(config.partner.share))
    from poolpair.share.smb.partner import SmbPartnerShare

    return SmbPartnerShare(_line(config.partner.share, config.partner.share_credentials, "partner's"))


def _line(address: str, credentials: Path | None, whose: str) -> Line:
    # Not at the top: who has no file server need not wait for the library.
    from poolpair.share.smb.line import Line
    from poolpair.share.smb.login import read_login

    return Line(parse_smb(address), partial(read_login, credentials), whose)
