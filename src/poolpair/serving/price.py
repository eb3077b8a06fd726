"""What a failover would do and cost, in figures of now: printed before anything is done, and asked for with --what-if."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import PackageName, data_dir, parse_package_name
from poolpair.format.package import PackageReader
from poolpair.model import Channel
from poolpair.moves import STEPS_OF, Move, Plan, PlanStep, plan_name
from poolpair.pipeline.identity import AWAY
from poolpair.pipeline.reach import reach_age_s
from poolpair.pipeline.site import Site, inbound_name, outbound_name
from poolpair.pulse import read_pulse
from poolpair.report import application_here, application_there
from poolpair.serving.ready import undrained
from poolpair.serving.stepping import hook_of
from poolpair.serving.words import whose
from poolpair.share.port import FileVanished
from poolpair.state import Inbound, Outbound
from poolpair.status import SILENT_AFTER_S
from poolpair.store.values import Choice
from poolpair.units import show_age


def steps_of(site: Site, move: Move, home: str) -> Iterator[str]:
    """The steps, in the order in which they will be taken, each hook with the command that it runs."""
    if move is Move.HANDOVER and home not in site.served():
        yield f"0. ask: pool {site.partner} serves them and carries out the steps; nothing happens before it answers"
        yield "1. compare: this pool compares its whole copy; users go on writing"
        yield f"2. fence: writes for {whose(site, home)} are refused at {site.partner} from then on"
        yield "3. drain: everything written there until then is applied here"
        yield "4. hand over: this pool compares what changed since and, only if its copy is equal, serves"
        return
    words = {
        PlanStep.COMPARE: f"{site.partner} compares its whole copy; users go on writing",
        PlanStep.FENCE: f"writes for {whose(site, home)} are refused here from now on",
        PlanStep.DRAIN: f"everything written until then is applied and acknowledged at {site.partner}",
        PlanStep.CONFIRM: f"{site.partner} compares what changed since and, only if that is equal, serves; its after-serve hook runs",
        PlanStep.APPLY: "every valid package that stands in the own share",
        PlanStep.SERVE: f"writes for {whose(site, home)} are taken here, whatever {site.partner} does",
    }
    called = {PlanStep.CONFIRM: "hand over", PlanStep.APPLY: "apply"}
    number = 0
    for step in STEPS_OF[move]:
        hook = hook_of(step)
        command = site.hooks.commands.get(hook) if hook else None
        said = f"runs {shlex.join(command)}" if command else words.get(step)
        if said is not None:
            number += 1
            yield f"{number}. {called.get(step, step)}: {said}"
    if move is Move.TAKEOVER:
        yield f"   when {site.partner} returns it is fenced; what never came from it is merged, or listed in the ledger"


def price(site: Site, move: Move, home: str) -> Iterator[str]:
    """What it costs, as far as can be known from here."""
    asked = move is Move.HANDOVER and home not in site.served()
    cost = _asked if asked else _handover if move is Move.HANDOVER else _takeover
    for channel in site.channels:
        yield from cost(site, channel, home)
    if move is Move.TAKEOVER:
        yield from _quarantined(site)
        yield from _alive(site)
    comes_here = asked or move is Move.TAKEOVER
    down = application_here(site) if comes_here else application_there(site)
    if down:
        pool, then = (site.pool if comes_here else site.partner), "is served" if move is Move.TAKEOVER else "moves"
        yield f"the application at {pool} does not run ({down.detail}): nobody {then} before it is started"


def _alive(site: Site) -> Iterator[str]:
    """That the partner may well be alive."""
    age_s = _reach_age_s(site, site.store.read(Inbound, inbound_name(site.lead)) or Inbound())
    if age_s is not None and age_s < SILENT_AFTER_S:
        yield f"{site.partner} was heard {show_age(age_s)} ago: if it is alive, a failover without --disaster loses nothing"


def _asked(site: Site, channel: Channel, home: str) -> Iterator[str]:
    """The copy here is what the partner will ask about; what it has not sent yet is known to it alone."""
    out = site.store.read(Outbound, outbound_name(channel)) or Outbound(stream="")
    parked = len(site.store.parked(channel))
    yield f"{channel}: nothing is lost if {site.partner} answers: it hands over to an equal copy; here is {_until(site, channel, home)}"
    sending = out.partner.sending if out.partner else None
    if sending:
        yield f"{channel}: {site.partner} says of its sending: {sending.code}: {sending.detail}"
    if parked:
        yield f"{channel}: {parked} groups are parked here; a handover waits until none is"


def _handover(site: Site, channel: Channel, home: str) -> Iterator[str]:
    out = site.store.read(Outbound, outbound_name(channel)) or Outbound(stream="")
    pending = site.store.pending(channel, out.base_token)
    words = f"{pending} changed groups not packed, {len(out.in_flight)} packages not acknowledged"
    why = undrained(site, channel, home)
    yield f"{channel}: nothing is lost, since only an equal copy is handed to; {words}{f'; now: {why}' if why else ''}"


def _takeover(site: Site, channel: Channel, home: str) -> Iterator[str]:
    parked = len(site.store.parked(channel))
    yield f"{channel}: here is {_until(site, channel, home)}"
    try:
        standing = [found for each in site.own.list(data_dir(channel)) if (found := parse_package_name(each.name))]
    except (
        PoolpairError
    ) as error:  # whoever takes over because a site is gone is not kept from it by a share that is gone
        if error.code not in AWAY:
            raise
        yield f"{channel}: what stands cannot be read: {error}"
    else:
        yield f"{channel}: {len(standing)} packages stand; what cannot be applied of them goes to the ledger, as do {parked} parked groups"
        for name in standing:
            if why := _unreadable(site, channel, name):
                yield f"{channel}: {name.name} cannot be read: nobody will know what is in it; {why}"
    yield f"{channel}: what {site.partner} accepted after that is not here, and will be accounted for when it returns"


def _unreadable(site: Site, channel: Channel, name: PackageName) -> str:
    """Why a package that stands can neither be applied nor listed; empty if it can."""
    try:
        with site.own.open(data_dir(channel), name.name) as source:
            PackageReader(source, site.ring, reader_pool=site.pool, origin=site.partner, channel=channel, name=name)
    except FileVanished:
        return ""
    except PoolpairError as error:
        return str(error)
    return ""


def _quarantined(site: Site) -> Iterator[str]:
    """Packages that were turned away and are in no ledger, unless what came after them was applied: that stands on what was sent again."""
    found = (site.store.read(Inbound, inbound_name(channel)) for channel in site.channels)
    applied = {inbound.applied.stream: inbound.applied.sequence for inbound in found if inbound and inbound.applied}
    try:
        refused = site.own.quarantined()
    except PoolpairError as error:
        if error.code not in AWAY:
            raise
        yield f"what is in Quarantine cannot be read: {error}"
        return
    for each in refused:
        name = parse_package_name(each.name[max(0, each.name.find("backup-")) :])
        is_made_up_for = name is not None and applied.get(name.stream, 0) > name.sequence
        if "backup-" in each.name and Code.STALE not in each.reason and not is_made_up_for:
            yield f"in Quarantine, neither applied nor in the ledger: {each.name}: {each.reason}"


def _until(site: Site, channel: Channel, home: str) -> str:
    """How far the copy of a home here reaches, and whether it is whole."""
    inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
    whole = "complete" if inbound.applied and home in inbound.complete else "NOT complete"
    return f"{_reaches(site, inbound)}; the copy is {whole}"


def _reaches(site: Site, inbound: Inbound) -> str:
    if inbound.applied is None:
        return "nothing"
    until = f"everything up to package {inbound.applied.sequence}, applied {inbound.applied_utc[:19]} UTC"
    age_s = _reach_age_s(site, inbound)
    since = "" if age_s is None else f", and with it whatever {site.partner} had accepted until {show_age(age_s)} ago"
    return f"{until}{since}"


def _reach_age_s(site: Site, inbound: Inbound) -> float | None:
    """By the clock of the service, which may work on another machine."""
    _, there = read_pulse(site, site.store.lease_holder())
    return reach_age_s(there, inbound)


def paid(site: Site, home: str) -> Iterator[str]:
    """What a takeover that is over came to."""
    for channel in site.channels:
        inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
        yield f"{channel}: served is {_reaches(site, inbound)}"
    plan = site.store.read(Plan, plan_name(home))
    if plan is not None and plan.not_read:
        yield f"what stood and could not be read is not in it: {plan.not_read}"
    entries = [entry for entry in site.store.ledger() if entry.home == home]
    standing = sum(entry.state is Choice.STANDING for entry in entries)
    undecided = sum(entry.state is Choice.OPEN for entry in entries)
    if standing or undecided:
        yield f"in the ledger: {standing} of packages that could not be applied, {undecided} to be decided"
