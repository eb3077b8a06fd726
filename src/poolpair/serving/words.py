"""How what moves from pool to pool is called: the users of a pool, or the management store."""

from __future__ import annotations

from poolpair.model import Channel
from poolpair.pipeline.site import Site


def whose(site: Site, home: str) -> str:
    """After a preposition: writes for these."""
    return "the management store" if site.lead is Channel.CMS else f"users of {home}"


def them(site: Site, home: str) -> str:
    """As an object: who serves them."""
    return "the management store" if site.lead is Channel.CMS else f"the users of {home}"


def served_by(site: Site, home: str, where: str) -> str:
    """As a sentence; `where` is here, there, or by a pool."""
    return f"{them(site, home)} {'is held' if site.lead is Channel.CMS else 'are served'} {where}"
