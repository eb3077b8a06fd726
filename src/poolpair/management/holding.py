"""The management store as a pool file of its own would describe it: a small application that one pool of the pair serves.

All that keeps users safe keeps it, too: it is captured, packed and delivered on the channel `cms`, fenced where it is not held, handed
over, taken over, and recovered. Its term is the epoch of the pool that made it.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from poolpair.config import SHARED, HookCommands, PoolConfig
from poolpair.config_values import MANAGEMENT_PROFILE
from poolpair.errors import Code, PoolpairError
from poolpair.management.documents import Documents
from poolpair.management.sql import open_documents
from poolpair.moves import GateRules
from poolpair.scratch import make_scratch, scratch_of
from poolpair.store.open import POSTGRES
from poolpair.wiring import initialise

FILE = "cms.sqlite"


def management_of(config: PoolConfig) -> PoolConfig:
    """The pool file of the management store. Raises USAGE in a pair that does not hold it."""
    if config.cms is None:
        raise PoolpairError(
            Code.USAGE,
            "this pair does not hold the central management store",
            "give the command at a pool whose file has a section [cms]",
        )
    return replace(
        config,
        store=_store_of(config, config.cms.store),
        profile=MANAGEMENT_PROFILE,
        files=None,
        homes=((SHARED, config.cms.home),),
        hooks=HookCommands(),
        gate=GateRules(),
        scratch=config.scratch / "cms" if config.scratch is not None else None,
        prosody=None,
        cms=None,
        watched=(),
        sources=(),
    )


def _store_of(config: PoolConfig, said: str) -> str:
    if said:
        return said
    if not config.store.startswith(POSTGRES):
        return f"sqlite:///{scratch_of(config) / FILE}"
    parts = urlsplit(config.store)
    return urlunsplit(parts._replace(path=f"{parts.path}_cms"))


def prepare_management(config: PoolConfig) -> None:
    """Prepare the management store that this pair holds; idempotent. Raises as `initialise` does."""
    management = management_of(config)
    make_scratch(config)
    open_documents(management.store, make=True).close()
    initialise(management)


def documents_of(config: PoolConfig) -> Documents:
    """The documents of the management store that this pair holds. Raises USAGE, NOT_INSTALLED, STORE_*."""
    return open_documents(management_of(config).store)
