"""Whether a home can be handed over: nothing is in the way, both copies were compared, and the partner has everything."""

from __future__ import annotations

from dataclasses import replace

from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.moves import Plan
from poolpair.pipeline.adopt import keeps_reign_set
from poolpair.pipeline.capture import scan
from poolpair.pipeline.site import Counts, Site, counts_name, outbound_name
from poolpair.report import application_there
from poolpair.serving.stepping import go, next_step, stepping, wait
from poolpair.state import Outbound, Seed
from poolpair.store.port import Transaction
from poolpair.store.tree import text


def compare_first(site: Site, plan: Plan) -> bool:
    """Compare everything while users still write, so that what changed since is all there is to compare while they may not."""
    if why := hindrances(site, plan.home):
        return wait(site, plan, why)
    name = outbound_name(site.lead)
    known = site.store.read(Outbound, name)
    if known is None or known.seed is not None:
        fault = f"; {known.fault.code}: {known.fault.detail}" if known and known.fault else ""
        return wait(site, plan, f"both copies are being compared{fault}")
    with stepping(site, plan) as tx:
        out = tx.load(Outbound, name)
        if out is not None and out.proof is not None:
            go(tx, plan, next_step(site, plan))
        elif out is not None and out.seed is None:
            tx.save(name, replace(out, seed=Seed(reason="before a handover", keeps=True)))
    return True


def tampered(site: Site) -> bool:
    """Whether the partner says that somebody wrote into its copy of our files: with that it does not take over."""
    out = site.store.read(Outbound, outbound_name(Channel.CONFERENCES))
    return out is not None and out.partner is not None and out.partner.foreign_writes > 0


def mend_files(site: Site, plan: Plan) -> bool:
    """Compare the files of both pools once more, which puts them right."""
    name = outbound_name(Channel.CONFERENCES)
    known = site.store.read(Outbound, name)
    if known is None or known.seed is not None or known.stopped is not None or known.in_flight:
        return wait(site, plan, "somebody wrote into the partner's copy of the files, which is being put right")
    with stepping(site, plan) as tx:
        out = tx.load(Outbound, name)
        if out is not None and out.seed is None:
            tx.save(name, replace(out, seed=Seed(reason="handover")))
    return True


def forget_proof(site: Site, tx: Transaction) -> None:
    """The plan is over, and the log need not be kept for it."""
    out = tx.load(Outbound, outbound_name(site.lead))
    if out is not None and out.proof is not None:
        tx.save(outbound_name(site.lead), replace(out, proof=None))
        if not keeps_reign_set(site, tx, site.lead):
            tx.prune(site.lead, out.acknowledged_token)


def hindrances(site: Site, home: str) -> str:
    """The first hindrance of any channel; the partner's application, too, while nobody is kept from writing yet."""
    if why := next((why for channel in site.channels if (why := hindrance(site, channel, home))), ""):
        return why
    down = application_there(site)
    return f"the application at {site.partner} does not run: {down.detail}" if down else ""


def look_behind_fence(site: Site, plan: Plan) -> str:
    """Look at every file once when nobody is to write any more: one that was changed in place shows in no folder.

    Says what is to be waited for: a tree that is away, a file that an application still writes to.
    """
    if site.tree is None or Channel.CONFERENCES not in site.channels or plan.plan_id in site.memory.seen_behind:
        return ""
    try:
        scan(site, site.tree, rescan=True)
    except PoolpairError as error:
        if error.code is not Code.TREE:
            raise
        return f"{Channel.CONFERENCES}: {error.detail}"
    for path in sorted(site.memory.restless):
        owner = site.file_home(path)
        if owner is not None and owner.home == plan.home:
            return f"{Channel.CONFERENCES}: {text(path)} is still being written to"
    site.memory.seen_behind.add(plan.plan_id)
    return ""


def undrained(site: Site, channel: Channel, home: str) -> str:
    """Why the partner's copy of a home is not known to be whole and equal on a channel; empty if it is."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None or out.partner is None or out.acknowledged is None:
        return f"{channel}: no word from the partner yet"
    if out.stopped is not None:
        return f"{channel}: stopped, {out.stopped.detail}"
    if out.paused is not None:
        return hindrance(site, channel, home)
    if out.seed is not None or home not in out.partner.complete:
        return f"{channel}: the partner's copy is being compared"
    if out.in_flight or site.store.pending(channel, out.base_token):
        return f"{channel}: changes are on their way"
    return hindrance(site, channel, home)


def hindrance(site: Site, channel: Channel, home: str) -> str:
    """What time alone does not mend before a home can be handed over; empty if nothing stands in the way."""
    out = site.store.read(Outbound, outbound_name(channel))
    if out is None or out.partner is None:
        return f"{channel}: no word from the partner yet"
    if out.stopped is not None:
        return f"{channel}: stopped, {out.stopped.detail}"
    if out.paused is not None:
        return f"{channel}: {out.paused.detail}; `poolpair resume`"
    if home not in out.partner.complete:
        return f"{channel}: the partner's copy is not complete"
    if out.partner.parked or out.partner.held or out.partner.spooled:
        return f"{channel}: the partner has groups parked, held or not yet handed in"
    if out.partner.foreign_writes:
        return f"{channel}: somebody wrote into the partner's copy; `poolpair verify --repair` puts that right"
    counts = site.store.read(Counts, counts_name(channel)) or Counts()
    if counts.left_behind or counts.unreadable:
        return f"{channel}: {', '.join((*counts.left_behind, *counts.unreadable)[:3])} cannot be carried"
    return ""
