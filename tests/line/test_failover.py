"""Told stories of failover on the memory pair: ways in which simpler protocols lose what was accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.cycle import _import, run_pass
from poolpair.errors import Code
from poolpair.moves import Move
from poolpair.pipeline.adopt import load_serving
from poolpair.pipeline.site import inbound_name
from poolpair.reigns import serves
from poolpair.serving.plan import advance, order
from poolpair.state import Inbound, Serving
from poolpair.store.memory.disk import RowRefused
from tests.memory_pair import USERS, MemoryPair

GROUP = ("a.example", "valjean")


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    made = MemoryPair(tmp_path)
    with made.disks["a"].transaction() as tx:
        tx.write("account", GROUP, [(*GROUP, 0)])
    for pool in ("a", "b"):
        with made.disks[pool].change() as draft:
            draft.fence.edit["b" if pool == "a" else "a"] = "b" if pool == "a" else "a"
        made.start(pool)
    made.settle()
    return made


def write(pair: MemoryPair, pool: str, value: int) -> None:
    """The application writes the group."""
    with pair.disks[pool].transaction() as tx:
        tx.write("account", GROUP, [(*GROUP, value)])


def value(pair: MemoryPair, pool: str) -> object:
    """What stands there."""
    ((*_, found),) = pair.disks[pool].group("account", GROUP)
    return found


def serving(pair: MemoryPair, pool: str) -> Serving:
    """What a pool knows of who serves a."""
    with pair.sites[pool].store.transaction() as tx:
        return load_serving(tx, "a")


def take_over(pair: MemoryPair, pool: str) -> None:
    """A disaster failover."""
    site = pair.sites[pool]
    order(site, Move.TAKEOVER, "a")
    while advance(site):
        pass


def settle(pair: MemoryPair) -> None:
    """Passes and plans until nothing moves."""
    for _ in range(30):
        pair.settle()
        if not any([advance(site) for site in pair.sites.values()]):
            return


def test_what_the_server_wrote_survives_its_own_acknowledgement(pair: MemoryPair) -> None:
    """The returned pool applies and acknowledges before it hands in: the server still knows what it changed in its reign."""
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    write(pair, "b", 2)
    run_pass(pair.sites["b"], USERS)
    _import(pair.start("a"), USERS)
    assert value(pair, "a") == 2
    run_pass(pair.sites["b"], USERS)
    settle(pair)
    assert (value(pair, "a"), value(pair, "b")) == (2, 2)
    (entry,) = pair.sites["b"].store.ledger()
    assert "1" in entry.theirs
    assert entry == pair.sites["a"].store.ledger()[0]
    assert serving(pair, "b").open == ()


def test_nobody_becomes_the_server_by_hearsay(pair: MemoryPair) -> None:
    """A taker that was set back hears of its own reign: it is fenced and stops, until its operator decides."""
    backup = pair.disks["b"].copy("b")
    take_over(pair, "b")
    write(pair, "b", 2)
    settle(pair)
    assert value(pair, "a") == 2
    pair.crash("b")
    pair.disks["b"].restore(backup)
    pair.start("b")
    settle(pair)
    mine = serving(pair, "b")
    assert mine.stopped is not None
    assert mine.stopped.code is Code.STORE_SET_BACK
    assert not serves(mine, "b", "a")
    with pytest.raises(RowRefused):
        write(pair, "b", 3)


def test_a_home_is_handed_over_only_to_an_equal_copy(pair: MemoryPair) -> None:
    """A row that differs unseen is repaired first; at the moment at which the partner serves its copy is equal."""
    with pair.disks["b"].change() as draft:
        draft.put(pair.disks["b"].schema.named("account"), GROUP, ((*GROUP, 666),))
    order(pair.sites["a"], Move.HANDOVER, "a")
    for _ in range(60):
        pair.turn(force=True)
        for site in pair.sites.values():
            advance(site)
        if serves(serving(pair, "b"), "b", "a"):
            break
    assert value(pair, "b") == 0
    with pytest.raises(RowRefused):
        write(pair, "a", 1)
    write(pair, "b", 1)
    settle(pair)
    assert value(pair, "a") == 1


def test_a_second_takeover_settles_the_first_returns_spool(pair: MemoryPair) -> None:
    """Before its spool arrived the returned pool takes over again: what it had and what came meanwhile are both kept."""
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    write(pair, "b", 2)
    run_pass(pair.sites["b"], USERS)
    _import(pair.start("a"), USERS)
    pair.crash("b")
    with pair.sites["a"].store.transaction() as tx:
        tx.save("inbound/users", _complete(pair))
    take_over(pair, "a")
    assert value(pair, "a") == 2
    (entry,) = pair.sites["a"].store.ledger()
    assert "1" in entry.theirs
    pair.start("b")
    settle(pair)
    assert (value(pair, "a"), value(pair, "b")) == (2, 2)
    assert serves(serving(pair, "a"), "a", "b")
    assert serving(pair, "a").present == serving(pair, "b").present


def _complete(pair: MemoryPair) -> object:
    """The copy counts as complete, as a comparison would have found."""
    from dataclasses import replace

    from poolpair.state import Inbound

    inbound = pair.sites["a"].store.read(Inbound, "inbound/users")
    assert inbound is not None
    return replace(inbound, complete=("a", "b"))


def test_an_incomplete_copy_is_not_taken_for_the_whole(pair: MemoryPair) -> None:
    """What the taker knew it lacked is offered by the pool that returns, all of it, before any comparison deletes it there."""
    with pair.disks["b"].change() as draft:
        draft.put(pair.disks["b"].schema.named("account"), GROUP, ())
    with pair.sites["b"].store.transaction() as tx:
        inbound = tx.load(Inbound, inbound_name(USERS))
        assert inbound is not None
        tx.save(inbound_name(USERS), replace(inbound, complete=()))
    pair.crash("a")
    site = pair.sites["b"]
    order(site, Move.TAKEOVER, "a", accept_incomplete=True)
    while advance(site):
        pass
    assert not serving(pair, "b").present.complete
    pair.start("a")
    settle(pair)
    assert (value(pair, "a"), value(pair, "b")) == (0, 0)
