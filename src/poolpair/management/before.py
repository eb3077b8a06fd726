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


def refuse_before_store(config: PoolConfig, home: str, *, disaster: bool = False) -> str:
    """Raise USAGE if the users of a pool are to leave it while that pool holds the store: the deployment would have no master.

    Where that cannot be told, because the store here cannot be read, a planned move is refused with the code of that. After a disaster
    users do not wait for documents: gives then what is to be said of it, else nothing.
    """
    if config.cms is None:
        return ""
    try:
        held_by = _held_by(config, config.cms.home)
    except PoolpairError as error:
        words = "who holds the central management store cannot be told"
        if disaster:
            return f"{words} ({error}): mend that when the users are served; if {home} held it, `poolpair cms failover --disaster` then"
        hint = error.hint if home == config.pool else f"{error.hint}; if {home} is dead: --disaster"
        raise PoolpairError(error.code, f"{words}: {error.detail}", hint) from error
    if held_by == home:
        raise PoolpairError(
            Code.USAGE,
            f"pool {home} holds the central management store, which moves first",
            f"`poolpair cms failover` (with --disaster if {home} is dead), then this command again",
        )
    return ""


def _held_by(config: PoolConfig, home: str) -> str:
    site = open_site(management_of(config))
    try:
        return holder(site, home)
    finally:
        site.store.close()
