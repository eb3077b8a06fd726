"""Steps of told stories of failover on the memory pair: who writes what where, who serves, and what the ledgers say."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from poolpair.cycle import _export, _import, beat
from poolpair.format.layout import data_dir
from poolpair.moves import Move, Plan, PlanStep, plan_name
from poolpair.pipeline.acknowledge import send_word
from poolpair.pipeline.fence import load_serving
from poolpair.pipeline.site import inbound_name
from poolpair.serving.plan import advance, order
from poolpair.share.memory import Stored
from poolpair.state import Fencing, Inbound, Serving
from poolpair.store.memory.disk import MemoryDisk, RowRefused
from poolpair.store.memory.schema import Key
from tests.memory_pair import POOLS, USERS, MemoryPair

VALJEAN, COSETTE, MARIUS = (("a.example", name) for name in ("valjean", "cosette", "marius"))
JAVERT = ("b.example", "javert")


def make_pair(scratch: Path) -> MemoryPair:
    """Two pools after their first copy, each fenced for the users of the other."""
    made = MemoryPair(scratch)
    with made.disks["a"].transaction() as tx:
        tx.write("account", VALJEAN, [(*VALJEAN, 0)])
    for pool in POOLS:
        other = partner(pool)
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool)
    made.settle()
    return made


def partner(pool: str) -> str:
    """The other pool."""
    return POOLS[1 - POOLS.index(pool)]


def write(pair: MemoryPair, pool: str, value: object, key: Key = VALJEAN) -> None:
    """The application writes a group. Raises RowRefused where its users are not served."""
    with pair.disks[pool].transaction() as tx:
        tx.write("account", key, [(*key, value)])


def delete(pair: MemoryPair, pool: str, key: Key = VALJEAN) -> None:
    """The application deletes a group."""
    with pair.disks[pool].transaction() as tx:
        tx.delete("account", key)


def value(pair: MemoryPair, pool: str, key: Key = VALJEAN) -> object:
    """What stands there, None if nothing does."""
    rows = pair.disks[pool].group("account", key)
    return rows[0][-1] if rows else None


def values(pair: MemoryPair, key: Key = VALJEAN) -> tuple[object, object]:
    """What stands at a, and at b."""
    return value(pair, "a", key), value(pair, "b", key)


def takes_writes(pair: MemoryPair, home: str = "a") -> tuple[str, ...]:
    """The pools whose databases take a write for users of a home; nothing is written."""
    found = []
    for pool in POOLS:
        with suppress(RowRefused, _Undone), pair.disks[pool].transaction() as tx:
            tx.write("account", (f"{home}.example", "nobody"), [(f"{home}.example", "nobody", 1)])
            found.append(pool)
            raise _Undone
    return tuple(found)


class _Undone(Exception):
    """Ends a transaction that was only a question."""


def serving(pair: MemoryPair, pool: str, home: str = "a") -> Serving:
    """What a pool knows of who serves a home."""
    with pair.sites[pool].store.transaction() as tx:
        return load_serving(tx, home)


def take_over(pair: MemoryPair, pool: str, home: str = "a", *, accept_incomplete: bool = False) -> None:
    """A disaster failover, from its order to its end."""
    site = pair.sites[pool]
    order(site, Move.TAKEOVER, home, accept_incomplete=accept_incomplete)
    while advance(site):
        pass
    assert site.store.read(Plan, plan_name(home)).step is PlanStep.DONE  # type: ignore[union-attr]


def hand_over(pair: MemoryPair, pool: str, home: str = "a") -> None:
    """A planned move, until it is over at both pools."""
    order(pair.sites[pool], Move.HANDOVER, home)
    settle(pair)
    assert takes_writes(pair, home) == (partner(pool),)


def hand_out(pair: MemoryPair, pool: str) -> Stored:
    """A planned move of the users of a up to where the final package stands at the partner; returns that file."""
    site = pair.sites[pool]
    order(site, Move.HANDOVER, "a")
    for _ in range(20):
        advance(site)
        if serving(pair, pool).fencing is Fencing.HANDING:
            break
        pair.settle()
    _export(site, USERS, force=True, rescan=False)
    (stored,) = pair.shares[partner(pool)].tree[data_dir(USERS)].values()
    return stored


def settle(pair: MemoryPair) -> None:
    """Passes and plans until nothing moves."""
    for _ in range(30):
        pair.settle()
        if not any([advance(site) for site in pair.sites.values()]):
            return
    raise AssertionError("the plans do not come to an end")


def send(pair: MemoryPair, pool: str) -> None:
    """A pool sends what it has, and its word; it takes nothing in."""
    _export(pair.sites[pool], USERS, force=True, rescan=False)
    send_word(pair.sites[pool], USERS, force=True)


def take_in(pair: MemoryPair, pool: str) -> None:
    """A pool applies what stands in its share; it neither hears its partner's word nor sends packages."""
    _import(pair.sites[pool], USERS)


def speak(pair: MemoryPair, pool: str) -> None:
    """A heartbeat."""
    beat(pair.sites[pool], USERS)


def backup(pair: MemoryPair, pool: str) -> MemoryDisk:
    """What a pool's store holds now."""
    return pair.disks[pool].copy(pool)


def set_back(pair: MemoryPair, pool: str, saved: MemoryDisk) -> None:
    """A backup is put back while the service is down, and it is started again."""
    if pool in pair.sites:
        pair.crash(pool)
    pair.disks[pool].restore(saved)
    pair.start(pool)


def call_complete(pair: MemoryPair, pool: str, *homes: str) -> None:
    """The copy at a pool counts as complete for these homes, as a comparison would have found, or did not find."""
    with pair.sites[pool].store.transaction() as tx:
        inbound = tx.load(Inbound, inbound_name(USERS))
        assert inbound is not None
        tx.save(inbound_name(USERS), replace(inbound, complete=homes))


def versions(pair: MemoryPair, pool: str) -> list[tuple[object, object]]:
    """Of each entry of a pool's ledger what the other pool had, and what stood here: values, None for no row."""
    return [(_version(entry.theirs), _version(entry.ours)) for entry in pair.sites[pool].store.ledger()]


def _version(text: str) -> object:
    rows = json.loads(text)
    return rows[0][-1] if rows else None
