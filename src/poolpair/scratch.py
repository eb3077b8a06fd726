"""Where a pool's scratch folder lies. It holds rows in the clear, so it is ours alone."""

from __future__ import annotations

from pathlib import Path

from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.store.open import POSTGRES, sqlite_path
from poolpair.store.own_places import scratch_beside


def scratch_of(config: PoolConfig) -> Path:
    """The scratch folder: beside the store, or in the folder that is set. It holds rows in the clear, so it is ours alone (0700)."""
    return scratch_at(config.scratch, config.pool, config.store)


def scratch_at(scratch: Path | None, pool: str, store: str) -> Path:
    """The same by what the pool file says of it. Raises CONFIG."""
    if scratch is not None:
        return scratch / f"poolpair-{pool}"
    if store.startswith(POSTGRES):
        raise PoolpairError(
            Code.CONFIG, "scratch is missing: a server's database has no folder that it could lie beside"
        )
    return scratch_beside(sqlite_path(store))


def make_scratch(config: PoolConfig) -> Path:
    """Make the scratch folder if needed."""
    scratch = scratch_of(config)
    try:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.chmod(0o700)
    except OSError as error:
        raise PoolpairError(Code.SCRATCH, f"{scratch}: {error.strerror}") from error
    return scratch
