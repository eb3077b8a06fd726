"""A decision on the ledger that the service carries out for an operator, because the application has to let go of the home meanwhile.

The command leaves an order and waits; whoever holds the lease has the application closed, decides, notes how it ended, and has it opened.
Killed in between, the next service does the same: an entry that is decided already is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from poolpair.cycle import FATAL
from poolpair.errors import Code, PoolpairError
from poolpair.model import Fault
from poolpair.pipeline.resolve_file import refuse_on_its_way, resolve_file
from poolpair.pipeline.site import Site, serving_name
from poolpair.state import Serving
from poolpair.store.ledger_files import FILES
from poolpair.store.values import Choice, LedgerEntry

RESOLVE = "resolve/"
_WHAT = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveOrder:
    """One order; deleted by the command once it has read how it ended. One whose command was killed goes with a later order."""

    entry_ids: tuple[str, ...]
    home: str
    choice: Choice
    ordered_s: float = 0.0
    """Seconds since 1970."""
    force: bool = False
    done: int = 0
    """Entries of the list that were decided."""
    is_over: bool = False
    fault: Fault | None = None
    """Why the next one could not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedDecision:
    """Why an ordered decision about an entry was not carried out."""

    entry_id: str
    fault: Fault


def refused_decisions(site: Site) -> tuple[RefusedDecision, ...]:
    """Of undecided entries whose last order is over and could not be carried out, as long as the order lies."""
    last: dict[str, ResolveOrder] = {}
    for order in sorted(site.store.read_all(ResolveOrder, RESOLVE).values(), key=lambda each: each.ordered_s):
        last |= dict.fromkeys(order.entry_ids, order)
    undecided = (entry.entry_id for entry in site.store.ledger() if not entry.state.is_decided) if last else ()
    found = ((entry_id, last[entry_id]) for entry_id in undecided if entry_id in last)
    return tuple(
        RefusedDecision(entry_id=entry_id, fault=order.fault)
        for entry_id, order in found
        if order.fault is not None and order.entry_ids[order.done] == entry_id
    )


def resolve_entry(site: Site, entry: LedgerEntry, choice: Choice, *, force: bool = False) -> None:
    """Decide on an open entry of a home that is served here."""
    if entry.table == FILES:
        resolve_file(site, entry, choice, force=force)
        return
    with site.store.transaction() as tx:
        refuse_on_its_way(tx.load(Serving, serving_name(entry.home)), site.partner)
        tx.resolve(entry, choice, site.clock.utc_iso(), force=force)


def carry_out(site: Site) -> bool:
    """Carry out the orders that wait, of one home at a time. Returns whether something was decided. Raises STORE_LOCKED, LEASE."""
    site.memory.closing.pop(_WHAT, None)
    waiting = {name: order for name, order in site.store.read_all(ResolveOrder, RESOLVE).items() if not order.is_over}
    homes = {order.home for order in waiting.values()}
    home = min(homes, default=None)
    if home is None or not site.lets_go(home, _WHAT):
        return False
    for name, order in waiting.items():
        if order.home == home:
            after = _carried_out(site, order)
            with site.store.transaction() as tx:
                tx.save(name, after)
    return True


def _carried_out(site: Site, order: ResolveOrder) -> ResolveOrder:
    entries = {entry.entry_id: entry for entry in site.store.ledger()}
    for done, entry_id in enumerate(order.entry_ids):
        entry = entries.get(entry_id)
        if entry is None or entry.state.is_decided:
            continue
        try:
            if entry.home not in site.served():
                raise PoolpairError(Code.USAGE, f"users of {entry.home} are served by pool {site.partner} now")
            resolve_entry(site, entry, order.choice, force=order.force)
        except PoolpairError as error:
            if error.code in FATAL or error.code is Code.STORE_LOCKED:
                raise
            return replace(order, is_over=True, done=done, fault=site.fault(error))
    return replace(order, is_over=True, done=len(order.entry_ids))
