"""What an origin remembers of what it made: enough to know its own, bounded, and never more than it really sent."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from poolpair.cycle import beat, run_pass
from poolpair.errors import Code
from poolpair.pipeline import intents
from poolpair.pipeline.deliver import deliver
from poolpair.pipeline.intents import find_intent
from poolpair.pipeline.pack import pack
from poolpair.protocol import Want
from poolpair.store.memory.disk import MemoryDisk
from poolpair.store.port import Snapshot, Store
from tests.memory_pair import LIMITS, POOLS, USERS, MemoryPair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """A pair after its first copy."""
    made = MemoryPair(tmp_path)
    edit(made, 0)
    for pool in POOLS:
        made.start(pool)
    made.settle()
    return made


def edit(pair: MemoryPair, value: int) -> None:
    """A change at A."""
    pair.disks["a"].write("account", ("a.example", "user"), [("a.example", "user", value)])


def count(pair: MemoryPair) -> int:
    """How many single intents A keeps."""
    with pair.sites["a"].store.transaction() as tx:
        return len(tx.names("intent/"))


def test_a_share_that_stays_full_costs_one_intent(pair: MemoryPair) -> None:
    """What could not be delivered is delivered later as it is; it is not cut again in every pass."""
    before = count(pair)
    pair.shares["b"].capacity_bytes = 0
    for value in range(1, 50):
        edit(pair, value)
        pair.turn()
    assert count(pair) == before + 1
    pair.shares["b"].capacity_bytes = 1 << 40
    pair.settle()
    assert pair.rows("a") == pair.rows("b")


def test_old_intents_are_folded_and_still_known(pair: MemoryPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound one number stands for them; a partner set back that far is cured by a comparison."""
    monkeypatch.setattr(intents, "INTENTS_KEPT", 20)
    monkeypatch.setattr(intents, "FOLD_EVERY", 5)
    backup = pair.disks["b"].copy("backup")
    old = pair.outbound("a").acknowledged
    assert old is not None
    for value in range(1, 80):
        edit(pair, value)
        pair.settle()
    assert count(pair) <= 26
    with pair.sites["a"].store.transaction() as tx:
        assert find_intent(tx, USERS, old) is not None
        assert find_intent(tx, USERS, replace(old, stream="f" * 32)) is None
        assert find_intent(tx, USERS, replace(old, sequence=10_000)) is None
    pair.crash("b")
    pair.disks["b"].restore(backup)
    pair.start("b")
    pair.settle()
    assert pair.outbound("a").stopped is None
    assert pair.rows("a") == pair.rows("b")


def test_a_store_restored_to_between_intent_and_view_knows_that_it_was_set_back(pair: MemoryPair) -> None:
    """The old copy knows the package's number, but not what was committed before it was cut: it must not take it for its own."""
    backups: list[MemoryDisk] = []
    site = pair.sites["a"]

    class BackedUp:
        """The store; a backup is taken and the application commits, just before the view of a package is fixed."""

        def snapshot(self, rows: Path | None = None) -> AbstractContextManager[Snapshot]:
            if rows is not None and not backups:
                backups.append(pair.disks["a"].copy("backup"))
                edit(pair, 2)
            return site.store.snapshot(rows)

        def __getattr__(self, name: str) -> object:
            return getattr(site.store, name)

    one_at_a_time = replace(LIMITS, window=1)
    pair.sites["a"] = replace(site, store=cast("Store", BackedUp()), limits=one_at_a_time)
    edit(pair, 1)
    run_pass(pair.sites["a"], USERS)
    pair.crash("a")  # before it hears that this very package was applied
    run_pass(pair.sites["b"], USERS)
    assert pair.rows("b")["account"] == [("a.example", "user", 2)]
    pair.disks["a"].restore(backups[0])
    pair.start("a")
    for _ in range(5):
        pair.turn()
    stopped = pair.outbound("a").stopped
    assert stopped is not None
    assert stopped.code is Code.STORE_SET_BACK
    assert pair.rows("b")["account"] == [("a.example", "user", 2)]


def test_a_word_that_stops_the_channel_stops_the_delivery(pair: MemoryPair) -> None:
    """When the partner's word comes between packing and delivery, and shows a set back, nothing more is delivered."""
    backup = pair.disks["a"].copy("backup")
    edit(pair, 1)
    pair.settle()
    pair.crash("a")
    pair.disks["a"].restore(backup)
    edit(pair, 2)
    site = pair.start("a")
    assert not deliver(site, USERS, pack(site, USERS, Want()))
    assert pair.outbound("a").stopped is not None
    assert pair.packages("b") == []


def test_a_silent_pass_is_no_silence(pair: MemoryPair) -> None:
    """While one pool is busy for long, as in a large apply, its heartbeat alone keeps the partner's view of it fresh."""
    busy = pair.sites.pop("b")
    for _ in range(60):
        pair.turn()
        for site in (pair.sites["a"], busy):
            beat(site, USERS)
    age_s = pair.channel("a").export.word_age_s
    assert age_s is not None
    assert age_s <= 3
