"""Everything that a reader may see of a pool, gathered at once: the status, and what a person wants beside it. Limits on every list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from poolpair.api.drills import DrillRun
from poolpair.audit import AuditEntry, entries
from poolpair.history import Moment, MoveSeen, last_day, moves
from poolpair.model import Channel
from poolpair.moves import HOOK_RUNS, HookRun
from poolpair.outlook import Level, worst
from poolpair.pipeline.site import Site, inbound_name
from poolpair.printable import shortened
from poolpair.report import gather
from poolpair.serving.progress import Progress, progress
from poolpair.share.port import Quarantined
from poolpair.state import Inbound
from poolpair.status import PairStatus
from poolpair.store.values import LedgerEntry, ParkedGroup

LISTED_MAX = 200
"""Of parked groups, refused files and the like; a list says if there is more."""
AUDIT_LISTED = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPackage:
    """A package that waits for a decision."""

    channel: Channel
    sequence: int
    table: str
    deletes: int
    of: int
    first_copy: bool
    approved: bool
    since_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the page shows."""

    status: PairStatus
    progress: tuple[Progress, ...]
    parked: tuple[ParkedGroup, ...]
    held: tuple[HeldPackage, ...]
    quarantined: tuple[Quarantined, ...]
    hooks: tuple[HookRun, ...]
    moments: tuple[Moment, ...]
    moves: tuple[MoveSeen, ...]
    audit: tuple[AuditEntry, ...]
    drill: DrillRun | None = None

    @property
    def level(self) -> Level:
        """How the pair stands as a whole."""
        by_exit = {0: Level.HEALTHY, 1: Level.ATTENTION}.get(self.status.exit_status, Level.BROKEN)
        return worst(by_exit, *(each.level for each in self.status.takeovers))


def facts_of(site: Site) -> Facts:
    """Read all of it. Raises what reading the store raises."""
    found = (progress(site, home) for home in site.homes)
    return Facts(
        status=gather(site),
        progress=tuple(each for each in found if each is not None),
        parked=parked_groups(site),
        held=held_packages(site),
        quarantined=_some(site.own.quarantined()),
        hooks=hook_runs(site),
        moments=last_day(site),
        moves=moves(site),
        audit=entries(site, AUDIT_LISTED),
    )


def parked_groups(site: Site) -> tuple[ParkedGroup, ...]:
    """Groups that this store refused; a key or reason that is very long is shortened, `poolpair parked show` has all of it."""
    found = site.store.parked()[:LISTED_MAX]
    return tuple(replace(each, key=shortened(each.key), reason=shortened(each.reason)) for each in found)


def held_packages(site: Site) -> tuple[HeldPackage, ...]:
    """Packages that would delete very much."""
    inbounds = {channel: site.store.read(Inbound, inbound_name(channel)) for channel in site.channels}
    return tuple(
        HeldPackage(
            channel=channel,
            sequence=inbound.held.position.sequence,
            table=inbound.held.table,
            deletes=inbound.held.deletes,
            of=inbound.held.of,
            first_copy=inbound.held.first,
            approved=inbound.held.approved,
            since_utc=inbound.held.since_utc,
        )
        for channel, inbound in inbounds.items()
        if inbound is not None and inbound.held is not None
    )


def hook_runs(site: Site) -> tuple[HookRun, ...]:
    """How each hook ran last, the newest first."""
    runs = site.store.read_all(HookRun, HOOK_RUNS).values()
    return tuple(sorted(runs, key=lambda run: run.began_utc, reverse=True))


def ledger_entries(site: Site, *, everything: bool = False, after: int = 0) -> tuple[LedgerEntry, ...]:
    """Entries of the ledger, undecided ones or all, `LISTED_MAX` of them from a place in the list on."""
    found = [entry for entry in site.store.ledger() if everything or not entry.state.is_decided]
    return tuple(found[after : after + LISTED_MAX])


def _some(files: Iterable[Quarantined]) -> tuple[Quarantined, ...]:
    return tuple(islice(files, LISTED_MAX))
