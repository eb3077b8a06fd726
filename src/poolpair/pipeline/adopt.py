"""Adopt: learn who serves a home now, before anything else that a cookie or a package says. In: reigns. Out: `Serving`, spooled groups.

Adopting fences first, before the tree of files is looked at. Then, in one transaction, which begins when no writer is left that could
have passed the old fence, every group that was accepted here and may be unknown to the new server is spooled: from the log where the
taker's position is one of our packages and the log still reaches back to it, else the whole home. Only then is anything of the new
reign applied here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from poolpair.errors import Code
from poolpair.model import Channel, Fault, Position, Recovered, Reign, new_id
from poolpair.pipeline.capture import scan
from poolpair.pipeline.fence import fence, fence_first, load_serving
from poolpair.pipeline.intents import find_intent
from poolpair.pipeline.site import (
    Counts,
    Late,
    Site,
    counts_name,
    inbound_name,
    late_name,
    outbound_name,
    recovery_name,
    recovery_prefix,
    serving_name,
)
from poolpair.pipeline.spooled_files import reclaim_files, spool_files
from poolpair.protocol import compare_anew, rewound
from poolpair.reigns import News, adopted, begun, is_present, news, serves, was_ever_moved
from poolpair.state import Inbound, Outbound, Recovery, Seed, Serving
from poolpair.store.port import Transaction
from poolpair.store.values import LedgerNote

SEQUENCE_GAP = 1000
"""Steps by which a sequence goes on above the last number that is known of the other pool: it may have given some that never left it."""
LATE = late_name("")
SET_BACK = "this store was set back and serves again"


def adopt(site: Site, theirs: Iterable[Reign], heard_s: float | None = None) -> bool:
    """Take in the partner's reigns; returns whether something was adopted. Raises STORE_LOCKED while a writer stays.

    At `heard_s` we wrote what the partner's word echoes, by the monotonic clock; a package says nothing of the kind.
    """
    reigns = tuple(theirs)
    changed = False
    _look_once_more(site)
    for home in site.homes:
        listed = tuple(reign for reign in reigns if reign.home == home)
        mine = site.serving(home)
        found = news(mine, listed, site.pool, site.partner)
        if _is_from_before_the_decision(site, mine, heard_s):
            continue
        if found and (mine.stopped is None or mine.accepts or not found.own):
            stops = found.own and not mine.accepts
            if site.tree is not None and home in site.served() and not stops:
                if not found.own:
                    fence_first(site, home)
                scan(site, site.tree, rescan=True)  # what changed until now is ours, and not somebody's tampering
            _adopt(site, home, listed)
            _look_once_more(site)
            changed = True
        elif mine.accepts and is_present(mine, listed):
            _go_on(site, home)
            changed = True
    return changed


def _look_once_more(site: Site) -> None:
    """What was written into the tree between the look before adopting and the fence is spooled, too, before anything else happens."""
    moved = was_ever_moved(site.serving(home) for home in site.homes)
    if site.tree is None or not moved or not site.store.read_all(Late, LATE):
        return
    scan(site, site.tree, rescan=True)
    with site.store.transaction() as tx:
        for name in tx.names(LATE):
            tx.delete(name)


def _is_from_before_the_decision(site: Site, mine: Serving, heard_s: float | None) -> bool:
    """What the partner said before the operator decided about a forgotten reign: by now it may know of another, as it learnt from us."""
    home = mine.present.home
    if not mine.accepts:
        site.memory.accepted_s.pop(home, None)
        return False
    seen_s = site.memory.accepted_s.setdefault(home, site.clock.monotonic_s())
    return heard_s is None or heard_s < seen_s


def _go_on(site: Site, home: str) -> None:
    """The operator lets this store serve, and the partner, set back itself since, knows of no other reign of ours any more."""
    with site.store.transaction(fencing=True) as tx:
        mine = load_serving(tx, home)
        known = tuple(dict.fromkeys((*mine.known, *mine.forgot)))  # an older package may still tell of them
        tx.save(serving_name(home), replace(mine, stopped=None, accepts=False, known=known, forgot=()))
        fence(site, tx)
    site.memory.serving.clear()
    site.memory.ready.clear()
    site.memory.proved.clear()


def _adopt(site: Site, home: str, listed: tuple[Reign, ...]) -> None:
    with site.store.transaction(fencing=True) as tx:
        mine = load_serving(tx, home)
        found = news(mine, listed, site.pool, site.partner)
        assert found is not None, "only this process changes who serves"
        if found.own and mine.accepts:
            tx.save(serving_name(home), adopted(mine, found))
            note = LedgerNote(reign_id=found.unknown[-1].reign_id, why=SET_BACK, now_utc=site.clock.utc_iso())
            _take_hold(site, tx, home, note)
        elif found.own:
            _stop(site, tx, mine, found)
        else:
            fresh = adopted(mine, found)
            tx.save(serving_name(home), fresh)
            for channel in site.channels:
                spooled = _spool(site, tx, channel, mine, found)
                if foreign := tx.forget_log(channel, home):
                    counts = tx.load(Counts, counts_name(channel)) or Counts()
                    tx.save(counts_name(channel), replace(counts, foreign_writes=counts.foreign_writes + foreign))
                _begin_as_target(site, tx, channel, found.unknown[-1], spooled)
        fence(site, tx)
    site.memory.serving.clear()
    site.memory.ready.clear()
    site.memory.proved.clear()


def _stop(site: Site, tx: Transaction, mine: Serving, found: News) -> None:
    """Somebody knows of a reign of ours that we do not: this store is older than that. It is fenced until its operator decides."""
    detail = f"the partner knows that this pool serves {mine.present.home} at epoch {found.unknown[-1].epoch}, which this store forgot"
    fault = Fault(code=Code.STORE_SET_BACK, detail=detail, since_utc=site.clock.utc_iso())
    forgot = tuple(dict.fromkeys((*mine.forgot, *(reign.reign_id for reign in found.unknown))))
    tx.save(serving_name(mine.present.home), replace(mine, stopped=fault, forgot=forgot))
    for channel in site.channels:
        out = tx.load(Outbound, outbound_name(channel))
        if out is not None and out.stopped is None:
            tx.save(outbound_name(channel), replace(out, stopped=fault))


def _spool(site: Site, tx: Transaction, channel: Channel, mine: Serving, found: News) -> int:
    """Keep what the new server may not know; returns how many groups and files."""
    home = mine.present.home
    since, merge = _since(tx, channel, found, was_server=serves(mine, site.pool, site.partner))
    taken = mine.present if mine.present.began == "takeover" and serves(mine, site.pool, site.partner) else None
    for recovery in recoveries(tx, channel):
        if recovery.brings.home == home and recovery.closed:
            _forget(tx, channel, recovery)
    number = 1 + max((recovery.number for recovery in recoveries(tx, channel)), default=0)
    brings = Recovered(home=home, merge=merge, written_after=taken.begin.get(channel) if taken else None)
    files: tuple[int, ...] = ()
    if channel is Channel.CONFERENCES:  # files have the lower numbers: no row arrives before its file
        files = spool_files(site, tx, number, brings, since)
        number += len(files)
        if serves(mine, site.pool, site.partner):
            tx.save(late_name(home), Late(brings=brings))
    groups = tx.spool(number, channel, home, since)
    if groups:
        tx.save(recovery_name(channel, number), Recovery(number=number, brings=brings, groups=groups))
    return groups + sum(files)


def _since(tx: Transaction, channel: Channel, found: News, *, was_server: bool) -> tuple[int | None, bool]:
    """From which token on the log tells everything, None if it does not; and whether what is found may be merged."""
    out = tx.load(Outbound, outbound_name(channel))
    begins = [begin for reign in found.unknown if (begin := reign.begin.get(channel)) is not None]
    tokens = [intent.token for begin in begins if (intent := find_intent(tx, channel, begin)) is not None]
    # Else this store never made what the partner had applied: it was set back. Or it was, and its operator lets it win, which is not over.
    merge = len(tokens) == len(begins) and not (out is not None and out.seed is not None and out.seed.overrule)
    told = merge and len(begins) == len(found.unknown) and all(reign.complete for reign in found.unknown)
    if out is None or not told or not was_server or min(tokens) < out.acknowledged_token:
        return None, merge
    return min(tokens), True


def _begin_as_target(site: Site, tx: Transaction, channel: Channel, reign: Reign, spooled: int) -> None:
    """Export goes on from what is acknowledged; the copy of the home is complete only if a handover proved it equal."""
    home = reign.home
    out = tx.load(Outbound, outbound_name(channel))
    if out is not None:
        seed = (
            replace(out.seed, phase=type(out.seed.phase).ASK, asked=None, to_send=(), slices=()) if out.seed else None
        )
        found = find_intent(tx, channel, out.acknowledged) if out.acknowledged else None
        fresh = rewound(out, out.acknowledged or out.root, found)
        if reign.began == "handover":  # its answer is in the partner's word; what is compared of another home goes on
            seed = out.seed if out.initialised else Seed()
        tx.save(outbound_name(channel), replace(fresh, seed=seed, proof=None))
        if not keeps_reign_set(site, tx, channel):
            tx.prune(channel, out.acknowledged_token)
    inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
    proved = reign.began == "handover" and reign.complete and not spooled
    complete = set(inbound.complete) - {home} | ({home} if proved else set())
    # Whoever takes over compares of itself; whoever was handed a home believes our copy equal, and must hear that it is not.
    doubts = inbound.doubts or (reign.began == "handover" and not proved)
    heard = replace(inbound, complete=tuple(sorted(complete)), doubts=doubts)
    if inbound.settled is not None or inbound.applied is None:  # what the new server lacks of it is spooled here
        heard = replace(heard, settled=tuple(sorted({*(inbound.settled or ()), home})))
    tx.save(inbound_name(channel), heard)


def begin_reign(site: Site, tx: Transaction, home: str, began: str, *, complete: bool) -> Serving:
    """Serve a home from this commit on. What lies spooled here of it is logged again; where it differs, both versions go to the ledger."""
    mine = load_serving(tx, home)
    token, reign_id = tx.advance(), new_id()
    site.memory.proved.clear()
    site.memory.ready.clear()  # cut for fewer homes, and perhaps the same question: its answer would not be one to ours
    note = LedgerNote(reign_id=reign_id, why="written here before the partner served", now_utc=site.clock.utc_iso())
    begin: dict[Channel, Position | None] = {}
    acknowledged: dict[Channel, Position | None] = {}
    _take_hold(site, tx, home, note)
    for channel in site.channels:
        inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
        begin[channel] = inbound.applied
        tx.raise_sequences(inbound.sequences, 0 if began == "handover" else SEQUENCE_GAP)
        out = tx.load(Outbound, outbound_name(channel))
        if out is not None:
            acknowledged[channel] = out.acknowledged
            found = find_intent(tx, channel, out.acknowledged) if out.acknowledged else None
            again = rewound(out, out.acknowledged or out.root, found)
            again = again if began == "handover" else compare_anew(out, f"{began} of {home}")
            tx.save(outbound_name(channel), replace(again, proof=None))
    fresh = begun(
        mine,
        site.pool,
        site.partner,
        reign_id=reign_id,
        began=began,
        token=token,
        begin=begin,
        acknowledged=acknowledged,
        complete=complete,
    )
    tx.save(serving_name(home), fresh)
    fence(site, tx)
    return fresh


def _take_hold(site: Site, tx: Transaction, home: str, note: LedgerNote) -> None:
    """What lies here of a home that is served here now: spooled and parked groups are settled, files are its own."""
    for channel in site.channels:
        for recovery in recoveries(tx, channel):
            if recovery.brings.home == home:
                if not recovery.closed:
                    tx.reclaim_spool(recovery.number, channel, note)
                    if channel is Channel.CONFERENCES:
                        reclaim_files(tx, recovery.number, note)
                _forget(tx, channel, recovery)
        tx.reclaim_parked(channel, home, replace(note, why="refused by this store when the partner sent it"))
        inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
        keep = tuple(name for name in inbound.complete if name != home)
        tx.save(inbound_name(channel), replace(inbound, complete=keep))
    tx.claim_files(home)


def keeps_reign_set(site: Site, tx: Transaction, channel: Channel) -> bool:
    """Whether the log must be kept whole: it tells what was changed in a reign that the partner has not answered for yet."""
    return any(channel in load_serving(tx, home).open for home in site.homes)


def recoveries(tx: Transaction, channel: Channel) -> tuple[Recovery, ...]:
    """What is spooled on a channel, oldest first."""
    found = (tx.load(Recovery, name) for name in tx.names(recovery_prefix(channel)))
    return tuple(recovery for recovery in found if recovery is not None)


def _forget(tx: Transaction, channel: Channel, recovery: Recovery) -> None:
    tx.forget_spool(recovery.number, channel)
    if channel is Channel.CONFERENCES:
        tx.file_spool.forget(recovery.number)
    tx.delete(recovery_name(channel, recovery.number))
