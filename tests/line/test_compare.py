"""What a comparison at the target may conclude, by itself: who is served from it, which copies are complete, what is forgiven."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.changed import Changed, WaitingTable
from poolpair.moves import Move
from poolpair.pipeline.compare import compare
from poolpair.pipeline.site import Counts, Site, counts_name, inbound_name, owed_name
from poolpair.reigns import serves
from poolpair.serving.plan import advance, order
from poolpair.state import Inbound, Owed
from poolpair.store.memory.snapshot import MemorySnapshot
from poolpair.store.memory.store import MemoryStore
from tests.home_moves import COSETTE, call_complete, make_pair, serving, take_over
from tests.memory_pair import USERS, MemoryPair

HOMES = ("a", "b")


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """A handover of a's users was ordered, and everything was found equal while they still write."""
    made = make_pair(tmp_path)
    order(made.sites["a"], Move.HANDOVER, "a")
    for _ in range(60):
        made.turn()
        if made.outbound("a").proof is not None:
            return made
        advance(made.sites["a"])
    raise AssertionError("nothing was compared")


def owe(
    pair: MemoryPair,
    *,
    everything: bool = False,
    differs: bool = False,
    left_behind: tuple[str, ...] = (),
    hands: bool = True,
    definition: str = "",
) -> None:
    """A package was applied at b: it brings digests of `everything`, or of what changed since the proof, which is nothing."""
    site = pair.sites["b"]
    proof = site.memory.proved[USERS]
    with site.store.snapshot() as view:
        digests = view.digests(USERS, ("a",), None, frozenset())
    owed = Owed(
        package_id="f" * 32,
        digests=digests if everything or differs else (),
        left_behind=left_behind,
        hands=(serving(pair, "a").present,) if hands else (),
        since=None if everything else proof.position,
        changed=None if everything else Changed(digests=(), definition=definition or proof.definition),
    )
    with site.store.transaction() as tx:
        tx.save(owed_name(USERS), owed)


def inbound(site: Site) -> Inbound:
    """What b remembers of what it applied."""
    found = site.store.read(Inbound, inbound_name(USERS))
    assert found is not None
    return found


def taken(pair: MemoryPair) -> bool:
    """Compare at b, and say whether it serves a's users since."""
    assert compare(pair.sites["b"], USERS)
    return serves(serving(pair, "b"), "b", "a")


@pytest.mark.parametrize("everything", [True, False])
def test_an_equal_copy_is_served(pair: MemoryPair, everything: bool) -> None:
    """Without this the refusals below would say nothing."""
    owe(pair, everything=everything)
    assert taken(pair)


@pytest.mark.parametrize(
    "state",
    [
        {"doubts": True},
        {"waiting": (WaitingTable(number=1, name="account", reason="it has another column here"),)},
    ],
)
def test_what_changed_since_is_not_enough_for_a_copy_in_doubt(pair: MemoryPair, state: dict[str, object]) -> None:
    """Whatever the reason: then everything is compared, and the answer asks for that."""
    owe(pair)
    site = pair.sites["b"]
    with site.store.transaction() as tx:
        tx.save(inbound_name(USERS), replace(inbound(site), **state))  # type: ignore[arg-type]
    assert not taken(pair)
    answer = inbound(site).answer
    assert answer is not None
    assert answer.unproved


def test_tables_that_changed_since_prove_nothing(pair: MemoryPair) -> None:
    """Another table is another comparison, though both sides say the same of the rows that changed."""
    owe(pair, definition="altered since")
    assert not taken(pair)


def test_a_proof_ends_with_the_reign(pair: MemoryPair) -> None:
    """It was of the partner's rows, which are this pool's from now on."""
    assert pair.sites["b"].memory.proved
    take_over(pair, "b")
    assert pair.sites["b"].memory.proved == {}


def test_a_copy_that_differs_in_what_changed_is_not_complete(pair: MemoryPair) -> None:
    """Nobody would have to say that he takes over less than there was, until everything is compared; which may never be."""
    owe(pair, differs=True)
    call_complete(pair, "b", *HOMES)
    assert not taken(pair)
    assert inbound(pair.sites["b"]).complete == ("b",)


def test_whoever_writes_while_everything_is_compared_is_seen(pair: MemoryPair) -> None:
    """The view was equal; what was written after it is in the log when the home would be taken, and it is not."""
    owe(pair, everything=True)
    site = pair.sites["b"]
    disk = pair.disks["b"]

    class Slow(MemoryStore):
        """Somebody writes as soon as the view is given back."""

        @contextmanager
        def snapshot(self, rows: Path | None = None) -> Iterator[MemorySnapshot]:
            with super().snapshot(rows) as view:
                yield view
            with disk.tampering() as application:
                application.write("account", COSETTE, [(*COSETTE, 666)])

    pair.sites["b"] = replace(site, store=Slow(disk, pair.clock))
    assert not taken(pair)
    assert site.memory.proved == {}


@pytest.mark.parametrize(("left_behind", "forgiven"), [((), True), (("meeting",), False)])
def test_what_leaves_something_out_forgives_nothing(
    pair: MemoryPair, left_behind: tuple[str, ...], forgiven: bool
) -> None:
    """Somebody wrote into the copy, perhaps into what was left behind: only a comparison of everything proves that undone."""
    owe(pair, everything=True, left_behind=left_behind, hands=False)
    site = pair.sites["b"]
    with site.store.transaction() as tx:
        tx.save(counts_name(USERS), Counts(foreign_writes=1))
    assert not taken(pair)
    counts = site.store.read(Counts, counts_name(USERS))
    assert counts is not None
    assert (counts.foreign_writes, USERS in site.memory.proved) == ((0, True) if forgiven else (1, False))
