"""Who ordered what, when, from where, and how it ended: kept in the pool's own store, the newest `KEPT`.

An entry is written before anything is done, so that what killed the process is in it, too; its outcome follows. What a timer may order all
day is counted by itself, so that it does not push out what a person did.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from poolpair.errors import PoolpairError
from poolpair.model import new_nonce
from poolpair.pipeline.site import Site

AUDIT = "audit/"
ROUTINE_AUDIT = "audit-routine/"
REFUSED_AUDIT = "audit-refused/"
"""Attempts that never became an order; by themselves, so that no flood of them pushes an order out."""
ROUTINE = frozenset({"sync", "verify"})
"""Orders that change nobody's rows, and that a timer may give."""
KEPT = 500
ROUTINE_KEPT = 100
REFUSED_KEPT = 100
TEXT_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One order."""

    at_utc: str
    who: str
    """The name of the token, or the account that gave the command."""
    whence: str
    """The address that it came from, or the terminal and host."""
    what: str
    """The order, in words, with what it was about."""
    outcome: str = ""
    """Empty while it is carried out, or if the process died meanwhile; then `done`, or why it was refused."""


@dataclass(slots=True)
class Outcome:
    """How an order ended, if it is to be said otherwise."""

    words: str = "done"


def is_routine(what: str) -> bool:
    """Whether an order changes nobody's rows: `sync` and `verify`, on whichever channels, but not with `--repair`."""
    words = what.split()
    return words[:1] != [] and words[0] in ROUTINE and "--repair" not in words


def enter_refused(site: Site, who: str, whence: str, what: str, why: str) -> None:
    """Enter an attempt that was refused before it became an order. Raises STORE_*."""
    at_utc = site.clock.utc_iso()
    entry = AuditEntry(
        at_utc=at_utc,
        who=who[:TEXT_MAX],
        whence=whence[:TEXT_MAX],
        what=what[:TEXT_MAX],
        outcome=f"refused: {why}"[:TEXT_MAX],
    )
    with site.store.transaction() as tx:
        tx.save(f"{REFUSED_AUDIT}{at_utc} {new_nonce()}", entry)
        for old in tx.names(REFUSED_AUDIT)[:-REFUSED_KEPT]:
            tx.delete(old)


@contextmanager
def audited(site: Site, who: str, whence: str, what: str) -> Iterator[Outcome]:
    """Enter an order, and how it ends. Raises what the order raises, and STORE_* if it cannot be entered: then nothing was done."""
    at_utc = site.clock.utc_iso()
    prefix, kept = (ROUTINE_AUDIT, ROUTINE_KEPT) if is_routine(what) else (AUDIT, KEPT)
    name = f"{prefix}{at_utc} {new_nonce()}"  # names sort like times
    entry = AuditEntry(at_utc=at_utc, who=who[:TEXT_MAX], whence=whence[:TEXT_MAX], what=what[:TEXT_MAX])
    with site.store.transaction() as tx:
        tx.save(name, entry)
        for old in tx.names(prefix)[:-kept]:
            tx.delete(old)
    outcome, ended = Outcome(), "failed"
    try:
        yield outcome
        ended = outcome.words
    except PoolpairError as error:
        ended = f"refused: {error}"
        raise
    except KeyboardInterrupt:
        ended = "interrupted; what was begun may go on"
        raise
    finally:
        # What was done is told as it was, also where that cannot be entered any more; the entry then says that it was cut off.
        with suppress(PoolpairError), site.store.transaction() as tx:
            tx.save(name, replace(entry, outcome=ended[:TEXT_MAX]))


def entries(site: Site, newest: int = KEPT) -> tuple[AuditEntry, ...]:
    """The newest orders, the last one first."""
    prefixes = (AUDIT, ROUTINE_AUDIT, REFUSED_AUDIT)
    known = [each for prefix in prefixes for each in site.store.read_all(AuditEntry, prefix).items()]
    by_time = sorted(known, key=lambda each: each[0].partition("/")[2], reverse=True)
    return tuple(entry for _, entry in by_time[:newest])
