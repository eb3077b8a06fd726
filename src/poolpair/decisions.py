"""What an operator decides, as changes of what a pool remembers: one function per decision, each in one transaction.

The commands and whatever else speaks for an operator only parse and print. A decision may be taken beside a running service, or while
none runs; `request` then has the running one look at once. None of them waits for the partner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import data_dir, package_name
from poolpair.model import Channel, Fault, RefusedPackage, new_id, new_nonce
from poolpair.moves import FENCE_OFF, FenceOff
from poolpair.pipeline.fence import fence
from poolpair.pipeline.receive import REFUSED_KEPT
from poolpair.pipeline.site import Site, inbound_name, outbound_name, serving_name
from poolpair.service import REQUEST, Request
from poolpair.serving.resolving import RESOLVE, ResolveOrder, resolve_entry
from poolpair.state import Fencing, Held, Inbound, Outbound, Seed, SeedPhase, Serving, VerifyResult
from poolpair.store.ledger_files import FILES
from poolpair.store.port import Transaction
from poolpair.store.values import Choice, LedgerEntry, ParkedGroup

ORDER_LIES_S = 3600.0
"""So long an order that is over waits to be read."""


def request(site: Site, channels: tuple[Channel, ...], *, rescan: bool = False) -> str:
    """Leave a request for a running service; returns its name, which is gone once it was carried out."""
    name = f"{REQUEST}{new_nonce()}"
    with site.store.transaction() as tx:
        tx.save(name, Request(channels=channels, rescan=rescan))
    return name


def nudge(site: Site) -> None:
    """Have a running service look at once, if there is one."""
    if site.store.lease_holder() is not None:
        request(site, site.channels)


def pause(site: Site, channels: tuple[Channel, ...], reason: str) -> None:
    """Send no packages on these channels until `resume`; what is on its way piece by piece goes on then. The last reason counts."""
    if any(site.serving(home).fencing is not Fencing.NONE for home in site.served()):
        detail = "a handover is under way, and nobody is served before its last package has arrived"
        raise PoolpairError(
            Code.USAGE, detail, "wait for its end, or give it up: the command that began it, with --abort"
        )
    fault = Fault(code=Code.PAUSED, detail=f"paused by hand ({reason})", since_utc=site.clock.utc_iso())
    _set_paused(site, channels, fault)


def resume(site: Site, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Send again; returns the channels that were paused."""
    return _set_paused(site, channels, None)


def _set_paused(site: Site, channels: tuple[Channel, ...], fault: Fault | None) -> tuple[Channel, ...]:
    changed: list[Channel] = []
    with site.store.transaction() as tx:
        for channel in channels:
            out = tx.load(Outbound, outbound_name(channel))
            if out is not None and out.paused != fault:
                tx.save(outbound_name(channel), replace(out, paused=fault))
                changed.append(channel)
    nudge(site)
    return tuple(changed)


def approve_held(site: Site, channel: Channel) -> None:
    """The deletions of the held package are meant: it may be applied."""
    with site.store.transaction() as tx:
        inbound, held = _held(tx, channel)
        tx.save(inbound_name(channel), replace(inbound, held=replace(held, approved=True)))
    nudge(site)


def refuse_held(site: Site, channel: Channel) -> None:
    """The deletions are not meant: the package leaves the share, and the partner's channel stops when it hears of it."""
    with site.store.transaction() as tx:
        inbound, held = _held(tx, channel)
        entry = RefusedPackage(package_id=held.position.package_id, code=Code.HELD)
        tx.save(inbound_name(channel), replace(inbound, held=None, refused=(*inbound.refused, entry)[-REFUSED_KEPT:]))
    site.own.remove(data_dir(channel), package_name(held.position))
    nudge(site)


def _held(tx: Transaction, channel: Channel) -> tuple[Inbound, Held]:
    inbound = tx.load(Inbound, inbound_name(channel))
    if inbound is None or inbound.held is None:
        raise PoolpairError(Code.USAGE, f"nothing is held on {channel}")
    return inbound, inbound.held


def resume_refused(site: Site, channels: tuple[Channel, ...]) -> None:
    """Go on where the partner's operator refused a package: what it held is sent again, and asked about again."""
    for channel in channels:
        with site.store.transaction() as tx:
            out = tx.load(Outbound, outbound_name(channel))
            if out and out.stopped and out.stopped.code is Code.REFUSED_BY_PARTNER:
                again = replace(
                    out,
                    stopped=None,
                    in_flight=(),
                    base=out.acknowledged,
                    base_token=out.acknowledged_token,
                    one_at_a_time=True,
                )
                tx.save(outbound_name(channel), again)


def retry_parked(site: Site, group_id: int | None = None) -> tuple[tuple[ParkedGroup, str | None], ...]:
    """Try one parked group again, or all; returns each with the reason why it was refused again, None if it was applied."""
    chosen = [group for group in site.store.parked() if group_id in (None, group.group_id)]
    if group_id is not None and not chosen:
        raise _unknown_group(group_id)
    found = tuple((group, site.store.retry_parked(group.group_id)) for group in chosen)
    nudge(site)
    return found


def drop_parked(site: Site, group_id: int) -> None:
    """Throw a parked group away. The copy lacks it from now on, so it is not complete until a repair at the partner."""
    with site.store.transaction() as tx:
        channel = tx.drop_parked(group_id)
        if channel is None:
            raise _unknown_group(group_id)
        inbound = tx.load(Inbound, inbound_name(channel)) or Inbound()
        tx.save(inbound_name(channel), replace(inbound, complete=()))
    nudge(site)


def _unknown_group(group_id: int) -> PoolpairError:
    return PoolpairError(Code.USAGE, f"no parked group has the number {group_id}")


def ledger_entry(site: Site, entry_id: str) -> LedgerEntry:
    """One entry by its id or the beginning of it. Raises USAGE."""
    found = [entry for entry in site.store.ledger() if entry.entry_id.startswith(entry_id)]
    if len(found) != 1:
        raise PoolpairError(Code.USAGE, f"{len(found)} ledger entries have an id that begins with {entry_id!r}")
    return found[0]


def resolve_ledger(
    site: Site, entry_id: str | None, choice: Choice, *, force: bool = False, state: Choice = Choice.OPEN
) -> int:
    """Decide on one undecided entry, or (None) on all of a `state` and of homes that are served here; returns how many."""
    mine = chosen_entries(site, entry_id, choice, state=state)
    for entry in mine:
        resolve_entry(site, entry, choice, force=force)
    nudge(site)
    return len(mine)


def order_resolution(site: Site, mine: Sequence[LedgerEntry], choice: Choice, *, force: bool = False) -> list[str]:
    """Have the service decide on these, with the application closed meanwhile; returns the names of the orders. Raises SERVICE_DOWN."""
    if site.store.lease_holder() is None:
        detail = "the application must let go of these users while their rows are replaced, which the service sees to"
        raise PoolpairError(Code.SERVICE_DOWN, detail)
    names: list[str] = []
    now_s = datetime.fromisoformat(site.clock.utc_iso()).timestamp()
    known = site.store.read_all(ResolveOrder, RESOLVE)
    with site.store.transaction() as tx:
        for name, order in known.items():
            if order.is_over and now_s - order.ordered_s > ORDER_LIES_S:
                tx.delete(name)
        for home in sorted({entry.home for entry in mine}):
            ids = tuple(entry.entry_id for entry in mine if entry.home == home)
            names.append(f"{RESOLVE}{new_nonce()}")
            tx.save(names[-1], ResolveOrder(entry_ids=ids, home=home, choice=choice, ordered_s=now_s, force=force))
    nudge(site)
    return names


def chosen_entries(
    site: Site, entry_id: str | None, choice: Choice, *, state: Choice = Choice.OPEN
) -> list[LedgerEntry]:
    """One undecided entry, or (None) all of a `state` and of homes that are served here. Raises USAGE."""
    if entry_id is None:
        mine = [entry for entry in site.store.ledger() if entry.state is state and entry.home in site.served()]
    else:
        mine = [ledger_entry(site, entry_id)]
        _refuse_decision(site, mine[0])
    if choice is Choice.BOTH and any(entry.table != FILES for entry in mine):
        raise PoolpairError(Code.USAGE, "only of a file both versions can stand; of a group of rows choose one")
    return mine


def _refuse_decision(site: Site, entry: LedgerEntry) -> None:
    if entry.state.is_decided:
        raise PoolpairError(Code.USAGE, f"it is decided already: {entry.state}, {entry.decided_utc}")
    if entry.home not in site.served():
        raise PoolpairError(
            Code.USAGE,
            f"users of {entry.home} are served by pool {site.partner}: it is decided there",
            hint=f"give this command at pool {site.partner}; nothing was changed here",
        )


def refuse_elsewhere(site: Site, state: Choice) -> None:
    """Raises USAGE if entries of a `state` wait, and all are of users who are served at the partner."""
    waiting = sum(entry.state is state for entry in site.store.ledger())
    if waiting:
        detail = f"nothing to decide here: {waiting} entries are of users whom pool {site.partner} serves"
        raise PoolpairError(Code.USAGE, detail, f"give this command at pool {site.partner}")


def take_fence_away(site: Site, reason: str) -> None:
    """From now on nothing that the application writes is refused."""
    with site.store.transaction(fencing=True) as tx:
        tx.save(FENCE_OFF, FenceOff(reason=reason, since_utc=site.clock.utc_iso()))
        fence(site, tx)


def put_fence_back(site: Site) -> None:
    """Refuse again what is not served here."""
    with site.store.transaction(fencing=True) as tx:
        tx.delete(FENCE_OFF)
        fence(site, tx)


def begin_verify(site: Site, channel: Channel, *, repair: bool) -> VerifyResult | None:
    """Begin a comparison with the partner, unless one runs; returns the last result, from which the next one will differ."""
    with site.store.transaction() as tx:
        out = tx.load(Outbound, outbound_name(channel))
        assert out is not None
        if channel is Channel.CONFERENCES:
            tx.doubt_files(site.served())
        if out.seed is None:
            tx.save(outbound_name(channel), replace(out, seed=Seed(reason="verify", repair=repair, reread=True)))
        elif out.seed.phase is SeedPhase.WAIT:  # what does not wait is compared once more, and a first copy stays one
            again = replace(out.seed, phase=SeedPhase.ASK, rounds=0, reread=True)
            tx.save(outbound_name(channel), replace(out, seed=again))
        elif repair and not out.seed.repair:  # a plain comparison that runs already shall now repair, too
            tx.save(outbound_name(channel), replace(out, seed=replace(out.seed, repair=True)))
    return out.last_verify


OVERRULED_KEPT = 16
"""Streams; a word that is older than so many decisions asks for another one."""


def overrule_partner(site: Site) -> tuple[Channel, ...]:
    """Let this store, which was set back, win: a new stream on top of whatever the partner applied last. Returns the channels."""
    with site.store.transaction() as tx:
        for home in site.homes:
            serving = tx.load(Serving, serving_name(home))
            if serving is not None and serving.stopped is not None:
                tx.save(serving_name(home), replace(serving, accepts=True))
    return _go_on(site, Seed(reason="this store was set back and wins", overrule=True))


def yield_to_partner(site: Site) -> tuple[Channel, ...]:
    """Go on although this store was set back: nobody is served here, so no row of the partner's is overruled. Returns the channels.

    What was spooled when the partner took over goes to the ledger there. Raises USAGE before that.
    """
    if homes := not_yielded(site):
        raise PoolpairError(Code.USAGE, f"{site.partner} does not serve the users of {', '.join(homes)} yet")
    return _go_on(site, Seed(reason="this store was set back and yields"))


def not_yielded(site: Site) -> tuple[str, ...]:
    """Homes that are served here, by what this store or the partner knows: the partner is to take them over first."""
    return tuple(home for home in site.homes if home in site.served() or site.serving(home).stopped is not None)


def _go_on(site: Site, seed: Seed) -> tuple[Channel, ...]:
    found: list[Channel] = []
    for channel in site.channels:
        with site.store.transaction() as tx:
            out = tx.load(Outbound, outbound_name(channel))
            if out and out.stopped and out.stopped.code is Code.STORE_SET_BACK:
                tx.save(outbound_name(channel), _begun_anew(out, seed))
                found.append(channel)
    nudge(site)
    return tuple(found)


def _begun_anew(found: Outbound, seed: Seed) -> Outbound:
    applied = found.partner.applied if found.partner else None
    lost = (*found.overruled, found.stream, *([applied.stream] if applied else []))
    return replace(
        Outbound(stream=new_id(), seed=seed),
        overruled=tuple(dict.fromkeys(lost))[-OVERRULED_KEPT:],
        base=applied,
        root=applied,
        heard=True,
        paused=found.paused,
        base_token=found.acknowledged_token,
        acknowledged_token=found.acknowledged_token,
    )
