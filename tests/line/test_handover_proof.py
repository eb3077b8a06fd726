"""A handover compares what changed since a comparison before the fence; everything again wherever that might not be enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.format.layout import data_dir, parse_package_name
from poolpair.format.package import PackageReader
from poolpair.model import Manifest
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.pipeline.site import Counts, counts_name
from poolpair.reigns import serves
from poolpair.serving.plan import advance, give_up, order
from poolpair.state import Fencing
from tests.memory_pair import USERS, MemoryPair

KEYS = [("a.example", f"user{number}") for number in range(40)]


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy of some users."""
    made = MemoryPair(tmp_path)
    for number, key in enumerate(KEYS):
        made.disks["a"].write("account", key, [(*key, number)])
    for pool, other in (("a", "b"), ("b", "a")):
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool)
    made.settle()
    return made


def write(pair: MemoryPair, number: int, value: object) -> None:
    """The application of a writes one user."""
    pair.disks["a"].write("account", KEYS[number], [(*KEYS[number], value)])


def value(pair: MemoryPair, pool: str, number: int) -> object:
    """What stands there."""
    ((*_, found),) = pair.disks[pool].group("account", KEYS[number])
    return found


def step(pair: MemoryPair) -> PlanStep:
    """Where the plan stands."""
    plan = pair.sites["a"].store.read(Plan, plan_name("a"))
    assert plan is not None
    return plan.step


def until(pair: MemoryPair, *steps: PlanStep) -> None:
    """Passes and plans until the plan stands there."""
    for _ in range(60):
        if step(pair) in steps:
            return
        pair.turn()
        for site in pair.sites.values():
            advance(site)
    raise AssertionError(f"it stands at {step(pair)}")


def compared(pair: MemoryPair) -> None:
    """A handover is ordered, everything was compared, and users of a still write."""
    order(pair.sites["a"], Move.HANDOVER, "a")
    for _ in range(60):
        pair.turn()
        if pair.outbound("a").proof is not None:
            return
        advance(pair.sites["a"])
    raise AssertionError("nothing was compared")


def final(pair: MemoryPair) -> list[Manifest]:
    """Go on until b serves; gives the packages that asked for it."""
    found: dict[str, Manifest] = {}
    for _ in range(60):
        for name in pair.packages("b"):
            manifest = _manifest(pair, name)
            if manifest.hands:
                found[name] = manifest
        if serves(pair.sites["b"].serving("a"), "b", "a"):
            return list(found.values())
        for site in (pair.sites["b"], pair.sites["a"]):
            _turn_of(pair, site.pool)
    raise AssertionError("b does not serve")


def _turn_of(pair: MemoryPair, pool: str) -> None:
    others = {name: site for name, site in pair.sites.items() if name != pool}
    mine = pair.sites[pool]
    pair.sites = {pool: mine}
    try:
        pair.turn()
        advance(mine)
    finally:
        pair.sites = dict(sorted({**others, pool: mine}.items()))


def _manifest(pair: MemoryPair, name: str) -> Manifest:
    parsed = parse_package_name(name)
    assert parsed is not None
    with pair.shares["b"].open(data_dir(USERS), name) as source:
        return PackageReader(source, pair.ring, reader_pool="b", origin="a", channel=USERS, name=parsed).manifest


def compared_rows(manifest: Manifest) -> int:
    """How many rows a package has digests of."""
    return sum(sum(each.counts) for each in manifest.digests)


def test_only_what_changed_is_compared_while_nobody_may_write(pair: MemoryPair) -> None:
    """All of it, also what was applied and acknowledged in between; the rest was compared before."""
    compared(pair)
    for number in (1, 2, 3):
        write(pair, number, "later")
        pair.settle()
    pair.disks["a"].write("account", KEYS[4], [])
    (package,) = final(pair)
    assert package.since is not None
    assert (package.groups, compared_rows(package)) == (4, 3)
    assert pair.rows("a") == pair.rows("b")
    pair.settle()
    assert pair.outbound("a").proof is None


def test_whoever_writes_into_the_copy_meanwhile_is_found(pair: MemoryPair) -> None:
    """What the partner's rows say is not known any more: everything is compared, and put right before anybody is served."""
    compared(pair)
    until(pair, PlanStep.CONFIRM)
    while not any(_manifest(pair, name).hands for name in pair.packages("b")):
        _turn_of(pair, "a")
    with pair.disks["b"].tampering() as application:
        application.write("account", KEYS[7], [(*KEYS[7], "tampered")])
    packages = final(pair)
    assert packages[-1].since is None
    assert value(pair, "b", 7) == 7
    counts = pair.sites["b"].store.read(Counts, counts_name(USERS)) or Counts()
    assert counts.foreign_writes == 0


def test_whoever_wrote_before_the_fence_is_found_as_well(pair: MemoryPair) -> None:
    """The plan waits until that was put right, as it always did."""
    compared(pair)
    with pair.disks["b"].tampering() as application:
        application.write("account", KEYS[7], [(*KEYS[7], "tampered")])
    pair.turn()
    pair.settle()
    assert pair.sites["b"].memory.proved == {}
    advance(pair.sites["a"])
    assert pair.sites["a"].serving("a").fencing is Fencing.NONE


def test_a_process_that_did_not_see_it_all_compares_everything(pair: MemoryPair) -> None:
    """The proof at the target is of one process: who comes after it may not know what happened in between."""
    compared(pair)
    write(pair, 1, "later")
    pair.crash("b")
    with pair.disks["b"].change() as draft:
        draft.put(pair.disks["b"].schema.named("account"), KEYS[9], ((*KEYS[9], "unseen"),))
    pair.start("b")
    packages = final(pair)
    assert packages[0].since is not None
    assert all(package.since is None and compared_rows(package) == len(KEYS) for package in packages[1:])
    assert pair.rows("a") == pair.rows("b")


def test_who_gives_up_lets_go_of_the_log(pair: MemoryPair) -> None:
    """It was kept for a comparison that will not come."""
    compared(pair)
    write(pair, 1, "later")
    pair.settle()
    log = pair.disks["a"].state.logs[0]
    assert KEYS[1] in log
    give_up(pair.sites["a"], "a")
    advance(pair.sites["a"])
    assert pair.outbound("a").proof is None
    assert KEYS[1] not in pair.disks["a"].state.logs[0]
