"""Checks, before anything is read or written in a share, that it is the right one and this database owns it."""

from __future__ import annotations

from functools import lru_cache

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import MAX_IDENTITY_BYTES, PoolIdentity, identity_file
from poolpair.pipeline.site import Site

AWAY = frozenset({Code.SHARE_MISSING, Code.SHARE_DENIED, Code.SHARE_FULL, Code.SHARE_READ_ONLY, Code.SHARE_FAILED})
"""A share that cannot be looked at, or takes nothing now: it may be back at the next look."""


def check_own_share(site: Site) -> None:
    """Refuse to work in a share that is another pool's, and to work at all as a copy of the store that owns it."""
    identity = site.store.identity()
    if identity.is_clone:
        raise PoolpairError(
            Code.CLONE, "this database was copied or moved since it was initialised; it delivers and applies nothing"
        )
    found = _read_identity(site.own.read_small(identity_file(site.lead), MAX_IDENTITY_BYTES))
    if found is None:
        raise PoolpairError(Code.SHARE_MISSING, "the own share has no pool.json", hint="run `poolpair -c FILE init`")
    if (found.pool, found.pair_id) != (site.pool, site.pair_id):
        detail = f"the own share belongs to pool {found.pool!r} of pair {found.pair_id[:8]}, not to {site.pool!r} of {site.pair_id[:8]}"
        hint = "the key file is another pair's: bring the right one back" if found.pool == site.pool else None
        raise PoolpairError(Code.SHARE_FOREIGN, detail, hint)
    if found.store_id != identity.store_id:
        raise PoolpairError(Code.CLONE, "the own share belongs to another database than this one")


def refuse_clone(site: Site) -> None:
    """`check_own_share` for whoever only begins to work, which takes no share: one that is away each pass looks for itself."""
    try:
        check_own_share(site)
    except PoolpairError as error:
        if error.code not in AWAY:
            raise


def check_partner_share(site: Site) -> None:
    """Refuse to write into a share that is not the partner's."""
    found = _read_identity(site.other.identity(identity_file(site.lead), MAX_IDENTITY_BYTES))
    if found is None:
        raise PoolpairError(
            Code.SHARE_MISSING,
            "the partner's share has no pool.json",
            hint="run `poolpair -c FILE init` at the partner, or mount its share",
        )
    if (found.pool, found.pair_id) != (site.partner, site.pair_id):
        raise PoolpairError(
            Code.SHARE_FOREIGN,
            f"the partner's share belongs to pool {found.pool!r} of pair {found.pair_id[:8]},"
            f" not to {site.partner!r} of {site.pair_id[:8]}",
        )


@lru_cache(maxsize=16)
def _read_identity(data: bytes | None) -> PoolIdentity | None:
    return PoolIdentity.parse(data) if data is not None else None
