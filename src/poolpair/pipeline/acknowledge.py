"""Acknowledge: the target drops its word (a cookie) into the origin's share; the origin takes it in.

`send_word` writes what the store has committed, never more. `hear_word` reads the partner's cookie from the own share and lets
`protocol.hear` decide; what is acknowledged may be pruned. The nonce in each cookie, echoed by the partner's next, bounds the age
of its word without comparing clocks.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

from poolpair.asks import MADE, TAKEN, AskMade, AskTaken, answers_to_tell, asks_to_tell
from poolpair.errors import Code, PoolpairError, Refused
from poolpair.format.cookie import open_cookie, seal_cookie
from poolpair.format.layout import COOKIE_NAME, PackageName, cookie_dir, data_dir, parse_package_name
from poolpair.model import FORMAT_VERSION, Ask, Channel, Cookie, Fault, ImportStatus, Position, new_nonce
from poolpair.pipeline.adopt import adopt, keeps_reign_set
from poolpair.pipeline.identity import check_own_share, check_partner_share
from poolpair.pipeline.intents import find_intent, settle_intents
from poolpair.pipeline.reach import note_claims, notice, sent
from poolpair.pipeline.recovery import confirm, settle_recoveries
from poolpair.pipeline.site import (
    NONCES_KEPT,
    Counts,
    Site,
    counts_name,
    inbound_name,
    outbound_name,
    recovery_prefix,
    serving_name,
)
from poolpair.protocol import Freshness, hear, still_to_come
from poolpair.reigns import birth, was_ever_moved
from poolpair.share.port import FileVanished
from poolpair.state import Inbound, Intent, Outbound, Recovery, Serving
from poolpair.store.buckets import are_sound

COOKIE_MAX_BYTES = 1 << 20
STANDING_MAX = 1000
"""Sequences named in a cookie; more cannot stand while the origin keeps its window."""


def hear_word(site: Site, channel: Channel) -> Outbound | None:
    """Take in the partner's cookie, if there is a new one; returns the origin's state after it."""
    path = f"{cookie_dir(channel)}/{COOKIE_NAME}"
    try:
        data = site.own.read_small(path, COOKIE_MAX_BYTES)
        digest = sha256(data).hexdigest() if data is not None else ""
        if data is None or site.memory.heard.get(channel) == digest:
            return None
        cookie = open_cookie(data, site.ring, reader_pool=site.pool, channel=channel)
        if cookie.origin != site.partner:
            raise Refused(Code.FOREIGN_PACKAGE, f"the cookie comes from pool {cookie.origin}, which is not the partner")
        if cookie.answer is not None and not are_sound(site.homes, (), cookie.answer.differs):
            raise Refused(Code.DAMAGED, "the cookie names buckets that cannot be")
    except Refused as refused:
        if site.memory.refused.get(channel) == str(
            refused
        ):  # one is kept: a partner with another key says it every few seconds
            site.own.remove(cookie_dir(channel), COOKIE_NAME)
        else:
            _quarantine(site, channel, cookie_dir(channel), COOKIE_NAME, refused)
            site.memory.refused[channel] = str(refused)
        raise
    site.memory.refused.pop(channel, None)
    adopt(site, cookie.homes, site.memory.written.get(cookie.echo))
    out = _take_in(site, channel, cookie)
    site.memory.heard[channel] = digest
    return out


def listen(site: Site, channel: Channel) -> bool:
    """Take the nonce of the partner's newest cookie to be echoed, and nothing else: while a long apply goes on nobody else does.

    What the cookie says is left to `hear_word`, and so is a refusal.
    """
    data = site.own.read_small(f"{cookie_dir(channel)}/{COOKIE_NAME}", COOKIE_MAX_BYTES)
    if data is not None:
        with suppress(Refused):
            cookie = open_cookie(data, site.ring, reader_pool=site.pool, channel=channel)
            if cookie.origin == site.partner:
                notice(site, cookie.nonce)
    return data is not None


def _take_in(site: Site, channel: Channel, cookie: Cookie) -> Outbound:
    memory = site.memory
    written = memory.written.get(cookie.echo)
    # Echoed even if it is a replay: two stores set back at once would else never believe each other again. And before the store
    # is asked: while that is locked, the partner must not take us for dead.
    notice(site, cookie.nonce)
    with site.store.transaction(lazily=True) as tx:  # lost, the partner's next word says it again
        before = tx.load(Outbound, outbound_name(channel))
        assert before is not None
        fresh = _freshness(site, channel, before, written)

        def lookup(position: Position) -> Intent | None:
            return find_intent(tx, channel, position)

        out = hear(before, cookie, lookup, fresh, site.clock.utc_iso())
        if out.rewinds != before.rewinds and before.in_flight:
            _keep_age(site, channel, lookup(before.in_flight[0]))
        if out != before:
            tx.save(outbound_name(channel), out)
            if was_ever_moved(site.serving(home) for home in site.homes):
                settle_recoveries(tx, channel, before, out)
            settle_intents(tx, channel, before, out)
        note_claims(site, tx, cookie)
        settled = confirm(site, tx, cookie)
        if (settled or out.prunable_token > before.prunable_token) and not keeps_reign_set(site, tx, channel):
            tx.prune(channel, out.prunable_token)
    if out.acknowledged != before.acknowledged:
        memory.acknowledged_s[channel] = site.clock.monotonic_s()
    if out.replays == before.replays and written is not None:
        memory.word_s[channel] = max(written, memory.word_s.get(channel, written))
        memory.echoed_s = max(written, memory.echoed_s if memory.echoed_s is not None else written)
    return out


def _keep_age(site: Site, channel: Channel, first: Intent | None) -> None:
    """What was in flight is to be sent once more, and is as old as it was."""
    if first is not None and first.boot_id == site.clock.boot_id():
        ages = site.memory.captured_s
        ages[channel] = min(first.captured_s, ages.get(channel, first.captured_s))


def _freshness(site: Site, channel: Channel, out: Outbound, written: float | None) -> Freshness:
    """What the cookie knows of that echoes a nonce of ours, written then."""
    memory = site.memory
    if memory.streams.setdefault(channel, out.stream) != out.stream:
        # An operator let this store begin a new stream: an older word does not know of that.
        memory.streams[channel] = out.stream
        memory.acknowledged_s[channel] = site.clock.monotonic_s()
    return Freshness(
        after_acknowledgement=_written_after(written, memory.acknowledged_s.get(channel, memory.started_s)),
        after_delivery=_written_after(written, memory.delivered_s.get(channel, memory.started_s)),
    )


def _written_after(written: float | None, act: float) -> bool:
    return written is not None and written >= act


def send_word(site: Site, channel: Channel, *, force: bool, beat: bool = False) -> bool:
    """Drop a cookie into the partner's share if its content changed, or `force`d; a heartbeat (`beat`) says what is sent, too.

    Returns whether it did.
    """
    with site.memory.speaking:
        return _speak(site, channel, force=force, beat=beat)


def _speak(site: Site, channel: Channel, *, force: bool, beat: bool) -> bool:
    check_own_share(site)
    # Taken before the state is read: what echoes a nonce must have been looked at after it came.
    echo = site.memory.echo
    content = _content(site, channel, anew=force)
    content_digest = sha256(repr(content).encode()).hexdigest()
    if not force and site.memory.sent.get(channel) == content_digest:
        return False
    check_partner_share(site)
    memory, now = site.memory, site.clock.monotonic_s()
    memory.serial += 1
    nonce = new_nonce()
    said = sent(site, echo) if beat and channel is site.lead else ()  # while packages come, they tell as much
    cookie = replace(content, serial=memory.serial, nonce=nonce, echo=echo, sent=said)
    data = seal_cookie(cookie, site.ring, target=site.partner)
    memory.written[nonce] = now
    while len(memory.written) > NONCES_KEPT:
        memory.written.popitem(last=False)
    site.other.replace(cookie_dir(channel), COOKIE_NAME, data, f"{site.pool}-{nonce}.part")
    memory.sent[channel] = content_digest
    memory.beat_s[channel] = now
    return True


def _content(site: Site, channel: Channel, *, anew: bool) -> Cookie:
    """What there is to say now, without what makes each cookie another: serial, nonce and echo. `anew` beside others who work."""
    # Listed before the state is read: a package applied in between then counts as standing and applied, never as neither.
    names = [name for listed in site.own.list(data_dir(channel)) if (name := parse_package_name(listed.name))]
    if anew:
        site.store.refresh()
    inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
    counts = site.store.read(Counts, counts_name(channel)) or Counts()
    inbound = replace(inbound, fault=inbound.fault or _unwritten_fault(site, channel))
    applied = inbound.applied
    servings = [site.store.read(Serving, serving_name(home)) or birth(home) for home in site.homes]
    recoveries = site.store.read_all(Recovery, recovery_prefix(channel)).values() if was_ever_moved(servings) else ()
    standing = _standing(site, applied, names)
    parked = len(site.store.parked(channel))
    held = 1 if inbound.held and not inbound.held.approved else 0
    return Cookie(
        channel=channel,
        origin=site.pool,
        serial=0,
        store_id=site.store.identity().store_id,
        nonce="",
        applied=applied,
        standing=standing[:STANDING_MAX],
        answer=inbound.answer,
        refused=inbound.refused,
        parked=parked,
        held=held,
        unhomed=counts.unhomed,
        quarantined=counts.quarantined,
        foreign_writes=counts.foreign_writes,
        status=import_status(inbound, parked=parked, held=held, counts=counts),
        fault=inbound.fault,
        doubts=inbound.doubts,
        waiting=tuple(map(str, inbound.waiting)),
        vacant=inbound.applied is None and _is_vacant(site, channel),
        sending=_sending_fault(site, channel, counts),
        homes=tuple(reign for serving in servings for reign in serving.reigns),
        spooled=tuple(sorted({each.brings.home for each in recoveries if not each.arrived})),
        complete=inbound.complete,
        settings=site.settings,
        asks=_asks(site) if channel is site.lead else (),
        answers=_answers(site) if channel is site.lead else (),
        down=site.hooks.down() if channel is site.lead else "",
        reads_format=FORMAT_VERSION,
    )


def _is_vacant(site: Site, channel: Channel) -> bool:
    """Looked at once: what comes later is found when both copies are compared."""
    if channel not in site.memory.vacant:
        theirs = tuple(home for home in site.homes if home not in site.served())
        site.memory.vacant[channel] = not site.store.holds(channel, theirs)
    return site.memory.vacant[channel]


def _asks(site: Site) -> tuple[Ask, ...]:
    return asks_to_tell(site.store.read_all(AskMade, MADE).values())


def _answers(site: Site) -> tuple[Ask, ...]:
    taken = site.store.read_all(AskTaken, TAKEN)
    out = site.store.read(Outbound, outbound_name(site.lead)) if taken else None
    return answers_to_tell(taken.values(), out.partner if out else None)


def _sending_fault(site: Site, channel: Channel, counts: Counts) -> Fault | None:
    """What the partner must know of our sending, since its copy depends on it."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is not None and (fault := out.stopped or out.fault or out.paused):
        return fault
    waiting = len(counts.left_behind) + len(counts.unreadable)
    return Fault(code=Code.TOO_LARGE, detail=f"{waiting} conferences or files wait there") if waiting else None


def _standing(site: Site, applied: Position | None, names: list[PackageName]) -> tuple[int, ...]:
    """Sequences of what may still be applied. One that was opened and leads nowhere must not hide that another of its number is lost."""
    manifests = {name.name: site.memory.manifests.get(name.name) for name in names}
    coming = still_to_come(applied, (manifest for manifest in manifests.values() if manifest))

    def may_come(name: PackageName) -> bool:
        manifest = manifests[name.name]
        if manifest is None:  # not opened yet
            return applied is None or name.stream != applied.stream or name.sequence > applied.sequence
        return manifest.position in coming

    return tuple(sorted({name.sequence for name in names if may_come(name)}))


def _unwritten_fault(site: Site, channel: Channel) -> Fault | None:
    """A locked store cannot take down that it is locked; the partner hears it all the same."""
    fault = site.memory.faults.get(channel)
    return fault if fault is not None and fault.code is Code.STORE_LOCKED else None


def import_status(inbound: Inbound, *, parked: int, held: int, counts: Counts) -> ImportStatus:
    """The import side's state, in the original's words."""
    if inbound.fault is not None:
        return ImportStatus.ERROR
    return ImportStatus.DEGRADED if parked or held or inbound.waiting or counts.unhomed else ImportStatus.NORMAL


def _stamp(site: Site) -> str:
    """A file-name-safe time for names in Quarantine."""
    return site.clock.utc_iso().replace(":", "").replace("+0000", "Z")


def quarantine_package(site: Site, channel: Channel, name: str, error: PoolpairError) -> None:
    """Take a refused package out of Data at once."""
    _quarantine(site, channel, data_dir(channel), name, error)
    site.memory.manifests.pop(name, None)


def _quarantine(site: Site, channel: Channel, folder: str, name: str, error: PoolpairError) -> None:
    """Move a refused file away and count it, unless somebody took it meanwhile."""
    try:
        site.own.quarantine(folder, name, str(error), _stamp(site))
    except FileVanished:
        return
    with site.store.transaction() as tx:
        counts = tx.load(Counts, counts_name(channel)) or Counts()
        tx.save(counts_name(channel), replace(counts, quarantined=counts.quarantined + 1))
