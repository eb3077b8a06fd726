"""Who ordered what, when, from where, and how it ended: kept in the pool's own store, the newest `KEPT`.

An entry is written before anything is done, so that what killed the process is in it, too; its outcome follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from poolpair.errors import PoolpairError
from poolpair.model import new_nonce
from poolpair.pipeline.site import Site

AUDIT = "audit/"
KEPT = 500
TEXT_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One order."""

    at_utc: str
    who: str
    """The name of the token."""
    whence: str
    """The address that it came from."""
    what: str
    """The order, in words, with what it was about."""
    outcome: str = ""
    """Empty while it is carried out, or if the process died meanwhile; then `done`, or why it was refused."""


@contextmanager
def audited(site: Site, who: str, whence: str, what: str) -> Iterator[None]:
    """Enter an order, and how it ends. Raises what the order raises, and STORE_* if it cannot be entered: then nothing was done."""
    at_utc = site.clock.utc_iso()
    name = f"{AUDIT}{at_utc} {new_nonce()}"  # names sort like times
    entry = AuditEntry(at_utc=at_utc, who=who, whence=whence, what=what[:TEXT_MAX])
    with site.store.transaction() as tx:
        tx.save(name, entry)
        for old in tx.names(AUDIT)[:-KEPT]:
            tx.delete(old)
    outcome = "failed"
    try:
        yield
        outcome = "done"
    except PoolpairError as error:
        outcome = f"refused: {error}"
        raise
    finally:
        with site.store.transaction() as tx:
            tx.save(name, replace(entry, outcome=outcome[:TEXT_MAX]))


def entries(site: Site, newest: int = KEPT) -> tuple[AuditEntry, ...]:
    """The newest orders, the last one first."""
    known = site.store.read_all(AuditEntry, AUDIT)
    return tuple(known[name] for name in sorted(known, reverse=True)[:newest])
