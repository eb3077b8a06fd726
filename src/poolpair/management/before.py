"""What comes before a pool's users move: the management store, if their pool holds it."""

from __future__ import annotations

from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.management.holding import management_of
from poolpair.model import serving_pool
from poolpair.pipeline.site import Site
from poolpair.wiring import open_site


def holder(site: Site, home: str) -> str:
    """The pool that holds the store, by what its site knows; `home` made it."""
    site.memory.serving.clear()
    return serving_pool(site.serving(home).present, (site.pool, site.partner))


def refuse_before_store(config: PoolConfig, home: str) -> None:
    """Raise USAGE if the users of a pool are to leave it while that pool holds the store: the deployment would have no master."""
    if config.cms is None:
        return
    site = open_site(management_of(config))
    try:
        if holder(site, config.cms.home) == home:
            raise PoolpairError(
                Code.USAGE,
                f"pool {home} holds the central management store, which moves first",
                f"`poolpair cms failover` (with --disaster if {home} is dead), then this command again",
            )
    finally:
        site.store.close()
