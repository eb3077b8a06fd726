"""How the pool that holds the store reaches all shares: its own and its partner's as its pool file says, the others' by the topology."""

from __future__ import annotations

from dataclasses import replace

from poolpair.config import PoolConfig
from poolpair.management.topology import TopologyPool
from poolpair.share.open import partner_share
from poolpair.share.port import PartnerShare


def share_of(config: PoolConfig, pool: TopologyPool) -> PartnerShare:
    """Open the share of a pool to be written into."""
    if pool.name == config.pool:
        address, account = config.share, config.share_credentials
    elif pool.name == config.partner.pool:
        address, account = config.partner.share, config.partner.share_credentials
    else:
        address, account = pool.share, config.cms.share_credentials if config.cms else None
    partner = replace(config.partner, pool=pool.name, share=address, share_credentials=account)
    return partner_share(replace(config, partner=partner))
