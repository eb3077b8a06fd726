"""Recovery, from the side of the pool that returned: what it spooled goes out, arrives, and comes back as what became of it.

From the side of the server: what it must keep until then. A recovery is handed in again until the package that carries it was applied;
it is closed when a package of the server's, cut after that, was applied here: then merged rows and ledger entries stand in both stores.
"""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import Channel, Cookie, Manifest, Position, Recovered
from poolpair.pipeline.adopt import recoveries
from poolpair.pipeline.fence import load_serving
from poolpair.pipeline.intents import find_intent
from poolpair.pipeline.site import Site, inbound_name, recovery_name, recovery_prefix, serving_name
from poolpair.reigns import confirmed, was_ever_moved
from poolpair.state import Inbound, Outbound, Recovery
from poolpair.store.port import Transaction


def waiting_recovery(site: Site, channel: Channel, out: Outbound) -> int:
    """The number of the recovery to hand in next, 0 if there is none."""
    if not was_ever_moved(site.serving(home) for home in site.homes):
        return 0
    for recovery in site.store.read_all(Recovery, recovery_prefix(channel)).values():
        if not recovery.arrived and recovery.position not in out.in_flight:
            return recovery.number
    return 0


def keep_ledger(site: Site, manifest: Manifest) -> None:
    """Before a partner whose store was set back overrules what is here: hand in the ledger, which has entries that it may not know.

    Its operator decided about rows. What was written at both pools, and what was decided of that, is undone by nobody.
    """
    name, stream = inbound_name(site.lead), manifest.position.stream
    with site.store.transaction() as tx:
        inbound = tx.load(Inbound, name) or Inbound()
        if inbound.ledger_kept == stream:
            return
        for home in manifest.served:
            number = 1 + max((recovery.number for recovery in recoveries(tx, site.lead)), default=0)
            if entries := tx.spool_ledger(number, home):
                brings = Recovery(number=number, brings=Recovered(home=home), groups=entries)
                tx.save(recovery_name(site.lead, number), brings)
        tx.save(name, replace(inbound, ledger_kept=stream))


def settle_recoveries(tx: Transaction, channel: Channel, before: Outbound, after: Outbound) -> None:
    """Note which recoveries the acknowledged positions carried; one that the partner's store forgot is handed in again."""
    waiting = [recovery for recovery in recoveries(tx, channel) if recovery.position is not None]
    if not waiting:
        return
    applied = _applied_since(tx, channel, before, after)
    for recovery in waiting:
        assert recovery.position is not None
        if not recovery.arrived and recovery.position in applied:
            tx.save(recovery_name(channel, recovery.number), replace(recovery, arrived=True))
        elif recovery.arrived and after.curing and not before.curing and _is_forgotten(recovery.position, after.root):
            again = replace(recovery, arrived=False, closed=False, position=None)
            tx.save(recovery_name(channel, recovery.number), again)


def _applied_since(tx: Transaction, channel: Channel, before: Outbound, after: Outbound) -> set[Position]:
    """What was applied since the last acknowledgement: each package followed the one before."""
    found: set[Position] = set()
    at = after.acknowledged
    while at is not None and at != before.acknowledged and at not in found:
        found.add(at)
        intent = find_intent(tx, channel, at)
        at = intent.follows if intent else None
    return found


def _is_forgotten(position: Position, root: Position | None) -> bool:
    return root is None or root.stream != position.stream or root.sequence < position.sequence


def close_recoveries(tx: Transaction, channel: Channel, heard: Position) -> None:
    """The partner had applied this much of ours when it cut what was just applied here; its cookie may say so only later."""
    for recovery in recoveries(tx, channel):
        position = recovery.position
        if recovery.closed or position is None or _is_forgotten(position, heard):
            continue
        if recovery.arrived or _leads_to(tx, channel, heard, position):
            tx.save(recovery_name(channel, recovery.number), replace(recovery, arrived=True, closed=True))


def _leads_to(tx: Transaction, channel: Channel, applied: Position, position: Position) -> bool:
    """Whether whoever applied the one package had applied the other before."""
    at: Position | None = applied
    while at is not None and at != position and not _is_forgotten(position, at):
        intent = find_intent(tx, channel, at)
        at = intent.follows if intent else None
    return at == position


def confirm(site: Site, tx: Transaction, cookie: Cookie) -> bool:
    """Take in which of our reigns the partner knows, and whether it still has groups for us; returns whether that is news."""
    changed = False
    for home in site.homes:
        mine = load_serving(tx, home)
        fresh = confirmed(mine, cookie, site.pool, site.partner)
        if fresh != mine:
            tx.save(serving_name(home), fresh)
            site.memory.serving.pop(home, None)
            changed = True
    return changed
