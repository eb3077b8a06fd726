"""The end of a pair whose partner is gone for good, and the beginning of one with a new, empty partner.

A pair ends only where everybody is served: then nothing here is anybody else's word, and the fence falls with the pair. What the
partner knew and this pool did not is gone, as it was since the takeover; the ledger stays. When the store is prepared again, users whose
home the new partner is are still served here, in a reign that the new partner learns before anything else: what it may hold of them is
in doubt, and never merged.
"""

from __future__ import annotations

from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import MAX_IDENTITY_BYTES, PoolIdentity, cookie_dir, data_dir, identity_file
from poolpair.model import Channel, Position, new_id
from poolpair.moves import FENCE_OFF, GATE_WORD, FenceOff, GateWord, Plan, PlanStep, plan_name
from poolpair.pipeline.fence import load_serving
from poolpair.pipeline.site import Site, recovery_prefix, serving_name
from poolpair.reigns import begun, birth, serves, takes_writes
from poolpair.share.port import FileVanished, OwnShare, split_path
from poolpair.store.port import Transaction
from poolpair.store.prepared import UNPAIRED, Unpaired


def check_decided(site: Site) -> None:
    """Nothing waits for a decision that would have no partner any more. Raises PARKED, USAGE."""
    if site.store.parked():
        raise PoolpairError(
            Code.PARKED,
            "groups that the partner sent are parked here",
            "`poolpair parked list`; retry or drop them first",
        )
    waiting = sum(not entry.state.is_decided for entry in site.store.ledger())
    if waiting:
        raise PoolpairError(
            Code.USAGE,
            f"{waiting} groups in the ledger wait for a decision",
            "`poolpair ledger list`, `ledger resolve`",
        )


def part(site: Site, tx: Transaction, homes: tuple[str, ...]) -> Unpaired:
    """The pair ends here, if this pool serves everybody in `homes`. Raises USAGE with what is to be done first."""
    for plan in (tx.load(Plan, plan_name(home)) for home in site.homes):
        if plan is not None and plan.step is not PlanStep.DONE:
            raise PoolpairError(Code.USAGE, f"a {plan.move} of {plan.home} is under way, at the step: {plan.step}")
    for home in homes:
        mine = load_serving(tx, home)
        if not serves(mine, site.pool, site.partner):
            command = "failover" if home == site.partner else "failback"
            raise PoolpairError(
                Code.USAGE,
                f"the users of {home} are served by {site.partner}: without it nobody would serve them, and their rows here are but a copy",
                f"`poolpair {command} {home}` first, with --disaster if {site.partner} is dead",
            )
        if not takes_writes(mine, site.pool, site.partner) and tx.load(FenceOff, FENCE_OFF) is None:
            raise PoolpairError(Code.USAGE, f"the users of {home} are fenced here: `poolpair status` says why")
    if any(tx.names(recovery_prefix(channel)) for channel in site.channels):
        raise PoolpairError(
            Code.USAGE, f"what was written at both pools is still being brought together with {site.partner}"
        )
    return Unpaired(partner=site.partner, pair_id=site.pair_id or _pair_of_share(site), at_utc=site.clock.utc_iso())


def _pair_of_share(site: Site) -> str:
    """Where the key file is lost the share still tells which pair it was of: the key may turn up again, and is not to be used then."""
    found = site.own.read_small(identity_file(site.lead), MAX_IDENTITY_BYTES)
    return PoolIdentity.parse(found).pair_id if found is not None else ""


def withdraw_share(site: Site) -> tuple[str, ...]:
    """Nobody may deliver into this pool's share any more; what stands there of the partner's goes to Quarantine. Returns its names."""
    moved = []
    stamp = site.clock.utc_iso().replace(":", "").replace("+0000", "Z")
    for folder in (folder for channel in site.channels for folder in (data_dir(channel), cookie_dir(channel))):
        moved += _set_aside(site.own, folder, f"from {site.partner}, when the pair with it ended: never applied", stamp)
    site.own.remove(*split_path(identity_file(site.lead)))
    return tuple(moved)


def _set_aside(share: OwnShare, folder: str, reason: str, stamp: str) -> list[str]:
    moved = []
    for listed in share.list(folder):
        try:
            moved.append(share.quarantine(folder, listed.name, reason, stamp))
        except FileVanished:
            continue
    return moved


def begin_with_another(
    tx: Transaction,
    pool: str,
    partner: str,
    pair_id: str,
    channels: tuple[Channel, ...],
    *,
    homes_any: bool,
    now_utc: str,
) -> None:
    """Where a pair ended here before: whoever has the new partner for a home (`homes_any` does) is served here until handed over.

    Raises KEY_FILE if the key is that of the pair that ended: the old partner could take part.
    """
    before = tx.load(Unpaired, UNPAIRED)
    if before is None:
        return
    if before.pair_id == pair_id:
        raise PoolpairError(
            Code.KEY_FILE,
            f"the key file is that of the pair with {before.partner}, which ended: should that come back, it would be believed",
            "`poolpair key new PATH`, and name it in the pool file",
        )
    if homes_any:
        token = tx.advance()
        reign = begun(
            birth(partner),
            pool,
            partner,
            reign_id=new_id(),
            began="takeover",
            token=token,
            # No pool ever made this: what the new partner holds was not written after anything that is known here.
            begin={channel: Position(new_id(), 1, new_id()) for channel in channels},
            acknowledged=dict.fromkeys(channels),
            complete=True,
        )
        tx.save(serving_name(partner), reign)
    # A partner that begins with this pair has taken nothing over: a gate needs no word of it.
    tx.save(
        GATE_WORD, GateWord(reason=f"the pair with {before.partner} ended, and {partner} is new", since_utc=now_utc)
    )
    tx.delete(UNPAIRED)
