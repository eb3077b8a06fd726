"""Checks, before anything is read or written in a share, that it is the right one and this database owns it."""

from __future__ import annotations

from functools import lru_cache

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import MAX_IDENTITY_BYTES, PoolIdentity, identity_file
from poolpair.pipeline.site import Site
from poolpair.share.port import OwnShare, PartnerShare

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
        raise _not_the_partners(found, site.pool, site.partner, site.pair_id)


def identity_in(share: OwnShare, path: str) -> bytes | None:
    """Whose the share is; None also where the folder of the management store was not made yet."""
    try:
        return share.read_small(path, MAX_IDENTITY_BYTES)
    except PoolpairError as error:
        if error.code is Code.SHARE_MISSING and "/" in path:
            return None
        raise


def refuse_other_name(other: PartnerShare, path: str, *, pool: str, partner: str, pair_id: str) -> None:
    """Refuse to begin where the partner's share is of this very pair, but of a pool of another name: no later pass mends the pool file."""
    try:
        found = _read_identity(other.identity(path, MAX_IDENTITY_BYTES))
    except PoolpairError:
        return  # whoever takes the share says so
    if found is not None and found.pair_id == pair_id and found.pool != partner:
        raise _not_the_partners(found, pool, partner, pair_id)


def _not_the_partners(found: PoolIdentity, pool: str, partner: str, pair_id: str) -> PoolpairError:
    detail = f"the partner's share belongs to pool {found.pool!r} of pair {found.pair_id[:8]}, not to {partner!r} of {pair_id[:8]}"
    hint = None
    if found.pair_id == pair_id:
        hint = f"`[partner] pool` in the pool file names {partner!r}: is {found.pool!r} meant?"
        if found.pool == pool:
            hint = "`[partner] share` in the pool file names this pool's own share: name the partner's"
    return PoolpairError(Code.SHARE_FOREIGN, detail, hint)


@lru_cache(maxsize=16)
def _read_identity(data: bytes | None) -> PoolIdentity | None:
    return PoolIdentity.parse(data) if data is not None else None
