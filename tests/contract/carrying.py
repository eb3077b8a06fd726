"""What a package does between two stores, without package: export to a rows file, apply it there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from poolpair.model import BucketSet, Channel, TableDigests
from poolpair.store.buckets import differing
from poolpair.store.port import Transaction
from poolpair.store.values import Applied, ApplyPlan, CatalogueFile, Cut, Exported, MassDelete, PackedFile
from tests.contract.benches import Bench

NOW = "2026-01-01T00:00:00+00:00"


def nothing(_tx: Transaction, _applied: Applied) -> None:
    """Record nothing."""


def export(
    bench: Bench,
    rows: Path,
    cut: Cut,
    *,
    files: Iterable[PackedFile] = (),
    left_behind: AbstractSet[str] = frozenset(),
) -> Exported:
    """Cut a rows file, newly."""
    rows.unlink(missing_ok=True)
    bench.store.check_capture()
    with bench.store.snapshot(rows) as view:
        view.list_files(files)
        return view.export(cut, left_behind)


def plan_for(
    cut: Cut,
    *,
    package_id: str = "package",
    guard_fraction: float = 0.2,
    guard_groups: int = 1000,
    parked_max: int = 100,
    approved: bool = False,
    left_behind: tuple[str, ...] = (),
) -> ApplyPlan:
    """How a package of this cut is applied."""
    return ApplyPlan(
        channel=cut.channel,
        package_id=package_id,
        served=cut.served,
        buckets=cut.buckets,
        guard_fraction=guard_fraction,
        guard_groups=guard_groups,
        parked_max=parked_max,
        approved=approved,
        left_behind=left_behind,
        keep_replaced=False,
        now_utc=NOW,
    )


def apply(
    bench: Bench,
    rows: Path,
    exported: Exported,
    plan: ApplyPlan,
    *,
    placed: Iterable[CatalogueFile] = (),
    record: Callable[[Transaction, Applied], None] = nothing,
) -> Applied | MassDelete:
    """Apply a rows file."""
    with bench.store.incoming(rows, plan.channel, exported.tables) as incoming:
        return incoming.apply(plan, placed, record)


def carry(
    origin: Bench,
    target: Bench,
    rows: Path,
    *,
    since: int | None = 0,
    buckets: tuple[BucketSet, ...] = (),
    served: tuple[str, ...] = ("a",),
    channel: Channel = Channel.USERS,
    package_id: str = "package",
) -> Applied:
    """Cut a package at one store and apply it at the other."""
    cut = Cut(channel=channel, served=served, since=since, buckets=buckets)
    exported = export(origin, rows, cut)
    applied = apply(target, rows, exported, plan_for(cut, package_id=package_id))
    assert isinstance(applied, Applied)
    assert applied.groups == exported.groups
    return applied


def digests(
    bench: Bench,
    homes: tuple[str, ...] = ("a",),
    channel: Channel = Channel.USERS,
    like: tuple[TableDigests, ...] | None = None,
) -> tuple[TableDigests, ...]:
    """Digest a store as it is now."""
    with bench.store.snapshot() as view:
        return view.digests(channel, homes, like, frozenset())


def differences(
    origin: Bench, target: Bench, homes: tuple[str, ...] = ("a",), channel: Channel = Channel.USERS
) -> tuple[BucketSet, ...]:
    """Buckets of the origin that the target does not equal."""
    theirs = digests(origin, homes, channel)
    return differing(theirs, digests(target, homes, channel, theirs))


def advance(bench: Bench) -> int:
    """Draw a token."""
    with bench.store.transaction() as tx:
        return tx.advance()


def settle_log(bench: Bench, served: tuple[str, ...]) -> int:
    """What every pass does first: drop what is not ours from the log."""
    with bench.store.transaction() as tx:
        return tx.drop_foreign(Channel.USERS, served).foreign
