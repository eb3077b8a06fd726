"""One pass along the line for one channel, both roles. It only sequences the steps, and is the one place where errors are recorded.

The next pass is the retry: a step that failed left everything as it was. Returns whether something moved, which the service takes as
the sign to look again soon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.first_copy import copying, may_copy
from poolpair.model import Channel, Fault
from poolpair.pipeline.acknowledge import hear_word, listen, send_word
from poolpair.pipeline.apply import apply, look_at_waiting
from poolpair.pipeline.apply_files import finish_deletions
from poolpair.pipeline.capture import capture
from poolpair.pipeline.compare import compare
from poolpair.pipeline.deliver import deliver, let_go
from poolpair.pipeline.identity import AWAY, check_own_share, check_partner_share
from poolpair.pipeline.pack import mind_reshaped, pack
from poolpair.pipeline.pieces import is_begun, may_send, note_wait
from poolpair.pipeline.receive import receive
from poolpair.pipeline.recovery import waiting_recovery
from poolpair.pipeline.site import Counts, Site, counts_name, inbound_name, outbound_name
from poolpair.protocol import QUICK_TRIES, want
from poolpair.state import Inbound, Outbound

FATAL = frozenset({Code.LEASE, Code.STORE_REPLACED})
"""What ends a service: it works for nobody any more, or in a file that nobody sees."""
PASSING = AWAY | {Code.STORE_LOCKED, Code.STORE_MISSING, Code.SCRATCH, Code.TREE}
"""What may be over at the next pass, which then applies what stands."""
PACKAGES_PER_PASS = 16
"""Packages applied, or delivered, before the other channels get their turn."""
BYTES_PER_PASS = 64 << 20
"""Delivered before they do: the package that gets there is the last of the pass."""


def run_pass(site: Site, channel: Channel, *, force: bool = False, rescan: bool = False) -> bool:
    """Receive, hear, send on one channel. `force` does not wait for the interval; `rescan` looks at every file."""
    site.memory.serving.clear()
    site.store.refresh()
    imported, import_fault = _guarded(site, lambda: _import(site, channel))
    if import_fault is not None and import_fault.code in PASSING:
        site.memory.unfinished[channel] = f"{import_fault.code}: {import_fault.detail}"
    exported, export_fault = _guarded(site, lambda: _export(site, channel, force=force, rescan=rescan))
    if export_fault is not None:
        # Whatever keeps us from sending, the log of what waits is not to grow with every write.
        _guarded(site, lambda: _shorten(site, channel))
    spoke, word_fault = _guarded(site, lambda: send_word(site, channel, force=force))
    if spoke:
        site.memory.unheard.pop(channel, None)  # what kept the last heartbeat back is over
    unheard = site.memory.unheard.get(channel)
    _guarded(site, lambda: _note(site, channel, import_fault, export_fault or word_fault or unheard))
    return imported or exported or spoke


def due_beats(site: Site, *, every: bool) -> tuple[Channel, ...]:
    """Whose heartbeat is due: the first channel's tells that this pool lives, the others' go out less often, or until one arrives again."""
    return tuple(
        channel for channel in site.channels if every or channel is site.channels[0] or channel in site.memory.unheard
    )


def beat(site: Site, channel: Channel) -> bool:
    """Send the heartbeat: the cookie again, with a new nonce. What keeps it from the partner the next pass notes, which comes at once."""
    site.store.refresh()
    _guarded(site, lambda: listen(site, channel))
    spoke, fault = _guarded(site, lambda: send_word(site, channel, force=True, beat=True))
    if fault is None:
        site.memory.unheard.pop(channel, None)
    else:
        site.memory.unheard[channel] = fault
    return spoke


def _import(site: Site, channel: Channel) -> bool:
    site.memory.unfinished.pop(channel, None)
    check_own_share(site)
    site.memory.closing.pop(channel, None)
    moved = compare(site, channel)
    look_at_waiting(site, channel)
    left = finish_deletions(site) if channel is Channel.CONFERENCES else None
    goes_on = True
    for _ in range(PACKAGES_PER_PASS):
        received = receive(site, channel, left)
        if received is None:
            goes_on = channel in site.memory.crowded
            break
        if not apply(site, channel, received):  # others may still be
            break
        moved = True
        _guarded(site, lambda: send_word(site, channel, force=False))
    if goes_on:
        site.memory.unfinished[channel] = "more stands than one pass takes"
    return moved or channel in site.memory.crowded


def _export(site: Site, channel: Channel, *, force: bool, rescan: bool) -> bool:
    check_own_share(site)
    moved = hear_word(site, channel) is not None
    captured = capture(site, channel, rescan=rescan)
    mind_reshaped(site, channel)
    _begin_copy(site, channel)
    sent_bytes = 0
    for cuts in range(PACKAGES_PER_PASS):
        out = site.store.read(Outbound, outbound_name(channel))
        assert out is not None
        due = _is_due(site, channel, out, force=(force and not cuts) or is_begun(site, channel))
        recovery = waiting_recovery(site, channel, out)
        wanted = want(out, pending=captured.pending, due=due, window=site.limits.window, recovery=recovery)
        waits = wanted is not None and not may_send(site, channel)
        note_wait(site, channel, waits=waits)
        if wanted is None or waits:
            if not (captured.pending or out.seed or recovery):
                let_go(site, channel)
            break
        check_partner_share(site)
        moved = True
        packed = pack(site, channel, wanted)
        if not deliver(site, channel, packed):
            break
        sent_bytes += packed.intent.package_bytes
        if sent_bytes >= BYTES_PER_PASS:
            return moved
        captured = capture(site, channel)
    else:
        return moved
    if captured.pending:
        site.store.shorten(channel)
    return moved


def _shorten(site: Site, channel: Channel) -> bool:
    site.store.shorten(channel)
    return False


def _begin_copy(site: Site, channel: Channel) -> None:
    """A first copy onto nothing begins with whole tables."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None or not may_copy(out):
        return
    slices = site.store.slices(channel) if site.store.holds(channel, site.served()) else ()
    if slices:
        with site.store.transaction() as tx:
            out = tx.load(Outbound, outbound_name(channel))
            if out is not None and may_copy(out):
                tx.save(outbound_name(channel), copying(out, slices))


def _is_due(site: Site, channel: Channel, out: Outbound, *, force: bool) -> bool:
    """Eager, unless something stays left behind or is sent in vain: it would else be packed without end."""
    counts = site.store.read(Counts, counts_name(channel)) or Counts()
    soon = counts.goes_on if counts.left_behind else site.limits.eager
    eager = soon and out.in_vain <= QUICK_TRIES
    last = site.memory.cut_s.get(channel, site.memory.started_s)
    return force or eager or site.clock.monotonic_s() - last >= site.limits.interval_s


def count_unhomed(site: Site, channel: Channel) -> None:
    """Count groups without a home anew: a scan of every table, so only at the start and once per interval."""
    with site.store.snapshot() as view:
        unhomed = view.unhomed(channel)
    with site.store.transaction() as tx:
        counts = tx.load(Counts, counts_name(channel)) or Counts()
        if counts.unhomed != unhomed:
            tx.save(counts_name(channel), replace(counts, unhomed=unhomed))


def _guarded(site: Site, step: Callable[[], bool]) -> tuple[bool, Fault | None]:
    """Run a step; an expected failure becomes a fault for status, and the other steps go on."""
    try:
        return step(), None
    except PoolpairError as error:
        if error.code in FATAL:
            raise
        return False, site.fault(error)


def _note(site: Site, channel: Channel, importing: Fault | None, exporting: Fault | None) -> bool:
    """Record what failed in this pass, from when it first did, and forget what works again."""
    fault = importing or exporting
    if fault is None:
        site.memory.faults.pop(channel, None)
    elif not _same(site.memory.faults.get(channel), fault):
        site.memory.faults[channel] = fault
    out = site.store.read(Outbound, outbound_name(channel))
    inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
    export_news = out is not None and not _same(out.fault, exporting)
    import_news = importing is not None and not _same(inbound.fault, importing)
    if export_news or import_news:
        with site.store.transaction() as tx:
            out = tx.load(Outbound, outbound_name(channel))
            inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
            if out is not None and export_news:
                tx.save(outbound_name(channel), replace(out, fault=exporting))
            if import_news:
                tx.save(inbound_name(channel), replace(inbound, fault=importing))
    return export_news or import_news


def _same(one: Fault | None, other: Fault | None) -> bool:
    return (one and (one.code, one.detail)) == (other and (other.code, other.detail))
