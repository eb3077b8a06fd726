"""Fence: have the database refuse what this pool does not serve. In: `Serving` of both homes. Out: what the application is told."""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import serving_pool
from poolpair.moves import FENCE_OFF, GATE, FenceOff, Gate
from poolpair.pipeline.site import Site, serving_name
from poolpair.reigns import birth, takes_writes
from poolpair.state import Fencing, Serving
from poolpair.store.port import Transaction

PERHAPS = "(perhaps)"
"""Follows the partner's name in what the application is told while the gate is closed."""


def fence(site: Site, tx: Transaction) -> None:
    """Let the database refuse what this pool does not serve, unless an operator took the fence away."""
    fence_pools(tx, site.pool, site.partner)


def fence_pools(tx: Transaction, pool: str, partner: str) -> None:
    """The same, by the names of the pools."""
    servings = {home: load_serving(tx, home) for home in (pool, partner)}
    off = tx.load(FenceOff, FENCE_OFF) is not None
    closed = tx.load(Gate, GATE) is not None
    tx.fence({} if off else refused_homes(servings, pool, partner, closed=closed))


def refused_homes(servings: dict[str, Serving], pool: str, partner: str, *, closed: bool = False) -> dict[str, str]:
    """Homes for which the application may not write here, and the pool that serves each, or will; `closed`: or may."""
    refused = {home: mine for home, mine in servings.items() if not takes_writes(mine, pool, partner)}
    servers = {home: serving_pool(mine.present, (pool, partner)) for home, mine in refused.items()}
    doubtful = {home: f"{partner} {PERHAPS}" for home in servings if closed and home not in refused}
    return {home: partner if server == pool else server for home, server in servers.items()} | doubtful


def fence_first(site: Site, home: str) -> None:
    """A tree is looked at for hours, or cannot be read at all: until then nobody writes rows here beside the new server."""
    if site.serving(home).fencing is not Fencing.NONE:
        return
    with site.store.transaction(fencing=True) as tx:
        mine = load_serving(tx, home)
        if mine.fencing is Fencing.NONE:
            tx.save(serving_name(home), replace(mine, fencing=Fencing.FENCED))
            fence(site, tx)
    site.memory.serving.clear()


def load_serving(tx: Transaction, home: str) -> Serving:
    """What the store knows of who serves a home."""
    return tx.load(Serving, serving_name(home)) or birth(home)
