"""Gathers `PairStatus` from the store's documents, the own share, and the running service's last pulse."""

from __future__ import annotations

from dataclasses import replace

from poolpair.asks import AskMade, made_name, words_of
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import data_dir, lync_module, parse_package_name
from poolpair.model import Channel, Fault, ImportStatus, serving_pool
from poolpair.moves import (
    DRILLS,
    FENCE_OFF,
    GATE,
    GATE_WORD,
    DrillResult,
    FenceOff,
    Gate,
    GateWhy,
    GateWord,
    HookRun,
    Plan,
    PlanStep,
    gate_run_name,
    hook_fault,
    plan_name,
)
from poolpair.pipeline.acknowledge import import_status
from poolpair.pipeline.identity import check_own_share
from poolpair.pipeline.reach import reach_age_s
from poolpair.pipeline.site import (
    Counts,
    Site,
    counts_name,
    inbound_name,
    intent_name,
    outbound_name,
    recovery_prefix,
)
from poolpair.pulse import PULSE, Pulse, hanging_s, lag_of, pulse, read_pulse, waited_s
from poolpair.readiness import takeovers
from poolpair.reigns import takes_writes
from poolpair.state import Inbound, Intent, Outbound, Recovery
from poolpair.status import (
    ChannelStatus,
    ExportView,
    HomeStatus,
    ImportView,
    PairStatus,
    export_status,
    inbound_applied,
    watermarks,
)
from poolpair.store.values import Choice
from poolpair.stretches import between

__all__ = ["PULSE", "Pulse", "application_here", "application_there", "gather", "pulse"]


def gather(site: Site) -> PairStatus:
    """Read everything and say how the pair stands, from this side."""
    site.memory.serving.clear()
    holder = site.store.lease_holder()
    known, site = read_pulse(site, holder)
    now = site.clock.monotonic_s()
    word_age_s = now - known.echoed_s if known and known.echoed_s is not None else None
    gate, ledger = site.store.read(Gate, GATE), site.store.ledger()
    found = PairStatus(
        pool=site.pool,
        partner=site.partner,
        at_utc=site.clock.utc_iso(),
        service_running=holder is not None,
        hanging_s=hanging_s(site, known, holder),
        front_end=holder.front_end if holder else "",
        standing_by=holder.standing_by if holder else (),
        homes_served=site.served(),
        word_age_s=word_age_s,
        homes=tuple(_home(site, home, closed=gate is not None) for home in site.homes),
        ledger_open=sum(entry.state is Choice.OPEN for entry in ledger),
        ledger_standing=sum(entry.state is Choice.STANDING for entry in ledger),
        gate=_gate(gate, site.partner),
        gate_word=_why(site.store.read(GateWord, GATE_WORD)),
        application=application_here(site),
        partner_application=application_there(site),
        drills=tuple(site.store.read_all(DrillResult, DRILLS).values()),
        share=_foreign(site),
        stuck=site.store.stuck(),
        fence_off=_why(site.store.read(FenceOff, FENCE_OFF)),
        channels=tuple(_channel(site, channel, known, now, word_age_s) for channel in site.channels),
    )
    return replace(found, takeovers=takeovers(found))


def _why(said: FenceOff | GateWord | None) -> str:
    """The reason that was given; never empty for what is so."""
    return "" if said is None else said.reason or "no reason given"


def _foreign(site: Site) -> Fault | None:
    """That the own share is another pool's or pair's than pool file and key file say; what else is wrong with it a channel tells."""
    try:
        check_own_share(site)
    except PoolpairError as error:
        return site.fault(error) if error.code is Code.SHARE_FOREIGN else None
    return None


def _gate(gate: Gate | None, partner: str) -> Fault | None:
    if gate is None:
        return None
    code = Code.SELF_FENCED if gate.why is GateWhy.SILENT else Code.GATE_CLOSED
    return Fault(code=code, detail=f"closed ({gate.why}) until {partner} is heard", since_utc=gate.since_utc)


def application_here(site: Site) -> Fault | None:
    """That the application of this pool does not run; None if it does, or if nothing tells."""
    down = site.hooks.down()
    return Fault(code=Code.APPLICATION_DOWN, detail=down) if down else None


def application_there(site: Site) -> Fault | None:
    """That the partner's does not, by its last word."""
    out = site.store.read(Outbound, outbound_name(site.lead))
    down = out.partner.down if out is not None and out.partner is not None else ""
    return Fault(code=Code.APPLICATION_DOWN, detail=down) if down else None


def _gate_hook_fault(site: Site, home: str) -> Fault | None:
    run = site.store.read(HookRun, gate_run_name(home))
    return hook_fault(run) if run is not None and run.failure and run.step in site.hooks.commands else None


def _home(site: Site, home: str, *, closed: bool) -> HomeStatus:
    serving, plan = site.serving(home), site.store.read(Plan, plan_name(home))
    waiting = [
        recovery
        for channel in site.channels
        for recovery in site.store.read_all(Recovery, recovery_prefix(channel)).values()
        if recovery.brings.home == home and not recovery.arrived
    ]
    return HomeStatus(
        home=home,
        served_by=serving_pool(serving.present, (site.pool, site.partner)),
        epoch=serving.present.epoch,
        takes_writes=takes_writes(serving, site.pool, site.partner) and not closed,
        plan=_plan(plan) or _asked(site, home),
        fault=(plan.fault if plan is not None else None) or _gate_hook_fault(site, home),
        recovering=bool(serving.open or waiting),
        stopped=serving.stopped,
    )


def _plan(plan: Plan | None) -> str:
    if plan is None or plan.step is PlanStep.DONE:
        return ""
    state = ", FAILED" if plan.fault else f", waits: {plan.waits_for}" if plan.waits_for else ""
    return f"{plan.move}: {plan.step}{state}"


def _asked(site: Site, home: str) -> str:
    made = site.store.read(AskMade, made_name(home))
    return words_of(made.ask, site.partner) if made is not None else ""


def _channel(site: Site, channel: Channel, known: Pulse | None, now: float, word_age_s: float | None) -> ChannelStatus:
    counts = site.store.read(Counts, counts_name(channel)) or Counts()
    return ChannelStatus(
        channel=channel,
        module=lync_module(channel),
        export=_export(site, channel, counts, known, now, word_age_s),
        imports=_import(site, channel, counts),
    )


def _export(
    site: Site, channel: Channel, counts: Counts, known: Pulse | None, now: float, word_age_s: float | None
) -> ExportView:
    out = site.store.read(Outbound, outbound_name(channel)) or Outbound(stream="")
    pending = site.store.pending(channel, out.base_token) + len(counts.unreadable)
    age_s = lag_of(site, channel, out, known, now, pending)
    limits = site.limits
    status, reason = export_status(
        out,
        served=site.served(),
        pending=pending,
        unhomed=counts.unhomed,
        lag_s=age_s,
        interval_s=limits.interval_s,
        heartbeat_s=limits.heartbeat_s,
        word_age_s=word_age_s,
    )
    cookie = out.partner
    read = (site.store.read(Intent, intent_name(channel, position)) for position in out.in_flight)
    intents = [intent for intent in read if intent is not None]
    applied = cookie.applied.sequence if cookie and cookie.applied and cookie.applied.stream == out.stream else 0
    channel_word = known.word_s.get(channel) if known else None
    return ExportView(
        status=status,
        reason=reason,
        watermarks=watermarks(out, pending=pending, applied=applied),
        lag_s=round(age_s, 3),
        pending_groups=pending,
        in_flight=len(out.in_flight),
        in_flight_bytes=sum(intent.package_bytes for intent in intents),
        word_age_s=round(now - channel_word, 3) if channel_word is not None else None,
        pieces=known.pieces.get(channel, ()) if known else (),
        left_behind=(*counts.left_behind, *counts.unreadable),
        rewinds=out.rewinds,
        replays=out.replays,
        last_verify=out.last_verify,
        fault=out.stopped or out.fault or out.paused,
        partner_import=cookie.status if cookie else None,
        partner_parked=cookie.parked if cookie else 0,
        partner_held=cookie.held if cookie else 0,
        partner_unhomed=cookie.unhomed if cookie else 0,
        partner_quarantined=cookie.quarantined if cookie else 0,
        partner_foreign_writes=cookie.foreign_writes if cookie else 0,
        partner_waiting=cookie.waiting if cookie else (),
        partner_fault=cookie.fault if cookie else None,
        partner_complete=cookie.complete if cookie else (),
        between=between(
            site, channel, out, intents, applied=applied, pending=pending, age_s=waited_s(channel, known, now)
        ),
    )


def _import(site: Site, channel: Channel, counts: Counts) -> ImportView:
    inbound = site.store.read(Inbound, inbound_name(channel)) or Inbound()
    out = site.store.read(Outbound, outbound_name(channel))
    fault = inbound.fault
    try:
        standing = [listed for listed in site.own.list(data_dir(channel)) if parse_package_name(listed.name)]
    except PoolpairError as error:
        standing, fault = [], fault or site.fault(error)
    parked = len(site.store.parked(channel))
    held = 1 if inbound.held and not inbound.held.approved else 0
    expected, age_s = tuple(home for home in site.homes if home not in site.served()), reach_age_s(site, inbound)
    return ImportView(
        status=ImportStatus.ERROR if fault else import_status(inbound, parked=parked, held=held, counts=counts),
        applied=inbound_applied(inbound),
        packages=inbound.applied_packages,
        groups=inbound.applied_groups,
        rows=inbound.applied_rows,
        applied_utc=inbound.applied_utc,
        reach_age_s=round(age_s, 3) if age_s is not None and set(expected) <= set(inbound.complete) else None,
        standing=len(standing),
        standing_bytes=sum(listed.size_bytes for listed in standing),
        complete=inbound.complete,
        expected=expected,
        parked=parked,
        held=held,
        unhomed=counts.unhomed,
        foreign_writes=counts.foreign_writes,
        quarantined=counts.quarantined,
        superseded=inbound.superseded,
        waiting=tuple(map(str, inbound.waiting)),
        fault=fault,
        partner_sending=out.partner.sending if out and out.partner else None,
    )
