"""How far a copy reaches, by the word of the pool that has it: never further than what is applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.cycle import beat
from poolpair.model import Channel, Manifest, PackageKind
from poolpair.moves import Move
from poolpair.pipeline.capture import capture, scan
from poolpair.pipeline.pack import pack
from poolpair.pipeline.reach import look_at_tree, mark_of, reaching, sent
from poolpair.pipeline.site import Claim, inbound_name, outbound_name
from poolpair.protocol import Want
from poolpair.serving.price import price
from poolpair.state import Inbound
from poolpair.store.tree_memory import MemoryTree
from poolpair.testing.clock import VirtualClock
from poolpair.units import show_age
from tests.memory_pair import POOLS, USERS, MemoryPair


class Rebooted(VirtualClock):
    """The machines were restarted: their monotonic clocks begin again."""

    def boot_id(self) -> str:
        """The next boot."""
        return "next"


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools at rest."""
    made = MemoryPair(tmp_path)
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    return made


def age_s(pair: MemoryPair, pool: str) -> float:
    """What status says at a pool."""
    age = pair.channel(pool).imports.reach_age_s
    assert age is not None
    return age


def write(pair: MemoryPair, number: int) -> None:
    """The application of a writes."""
    pair.disks["a"].write("account", ("a.example", "valjean"), [("a.example", "valjean", number)])


def test_what_is_written_and_not_applied_stops_the_reach(pair: MemoryPair) -> None:
    """From the first write that does not come on the copy is as old as that, and no word of the partner's makes it younger."""
    at_rest_s = age_s(pair, "b")
    write(pair, 1)
    for _ in range(6):
        pair.clock.advance(10)
        for pool in ("a", "b", "a"):
            beat(pair.sites[pool], USERS)
    assert age_s(pair, "b") >= 60 + at_rest_s
    pair.settle()
    assert age_s(pair, "b") < 60


def test_a_partner_that_rests_makes_the_copy_no_older(pair: MemoryPair) -> None:
    """Nothing was written for an hour: the copy reaches to the partner's last word, not to its last package."""
    for _ in range(360):
        pair.clock.advance(10)
        pair.turn()
        for pool in ("a", "b", "a"):
            beat(pair.sites[pool], USERS)
    pair.turn()
    assert age_s(pair, "b") <= 20


@pytest.mark.parametrize(("kind", "reaches"), [(PackageKind.DELTA, True), (PackageKind.RECOVERED, False)])
def test_after_a_rewind_only_a_delta_holds_what_an_earlier_package_held(
    pair: MemoryPair, kind: PackageKind, *, reaches: bool
) -> None:
    """The partner said that package 9 is all; that was lost, and the one that comes in its place recovers something, or is a delta."""
    site = pair.sites["b"]
    manifests: list[Manifest] = []
    pair.shares["b"].before = lambda _operation, _folder: manifests.extend(site.memory.manifests.values())
    write(pair, 1)
    pair.settle()
    inbound = site.store.read(Inbound, inbound_name(USERS))
    assert inbound is not None
    assert inbound.applied is not None
    later = replace(inbound.applied, sequence=10)
    site.memory.claims[USERS] = Claim(mark_of(replace(later, sequence=9)), written_s=5000.0)
    manifest = replace(manifests[-1], kind=kind, echo="")
    after = reaching(site, replace(inbound, applied=later), manifest)
    assert (after.reached is not None and after.reached.at_s == 5000.0) is reaches


def test_a_package_vouches_for_what_was_looked_for_only(pair: MemoryPair) -> None:
    """A nonce that comes while it is cut was perhaps written after a change that is not in it."""
    site = pair.sites["a"]
    capture(site, USERS)
    looked = site.memory.echo
    site.memory.echo = "f" * 16
    assert looked
    assert pack(site, USERS, Want(digests=True)).manifest.echo == looked


def test_the_price_of_a_disaster_says_it(pair: MemoryPair) -> None:
    """What --what-if prints is what status says."""
    pair.clock.advance(40)
    told = " ".join(price(pair.sites["b"], Move.TAKEOVER, "a"))
    assert f"whatever a had accepted until {show_age(age_s(pair, 'b'))} ago" in told
    assert age_s(pair, "b") >= 40


def test_after_a_restart_of_the_machine_it_is_not_known_until_the_partner_is_heard(pair: MemoryPair) -> None:
    """A moment of an earlier boot says nothing, whichever of the two clocks is ahead."""
    pair.clock.advance(3600)
    pair.settle()
    assert age_s(pair, "b") < 60
    for pool in POOLS:
        pair.crash(pool)
    pair.clock = Rebooted(0.0)
    for pool in POOLS:
        pair.start(pool)
    assert pair.channel("b").imports.reach_age_s is None
    pair.settle()
    assert age_s(pair, "b") < 60


def test_a_tree_that_was_not_looked_at_since_it_changed_is_not_said_to_be_sent(pair: MemoryPair) -> None:
    """A file is in no package and in no log as long as the service did not find it."""
    site, tree = pair.sites["a"], MemoryTree()
    site.tree, site.channels = tree, (Channel.USERS, Channel.CONFERENCES)
    with site.store.transaction() as tx:
        tx.save(outbound_name(Channel.CONFERENCES), pair.outbound("a"))
    echo, site.memory.tree_hint = site.memory.echo, look_at_tree(site, tree)
    assert all(sent(site, echo))
    tree.write(b"a/report.pdf", b"written")
    users, files = sent(site, "f" * 16)
    assert (users != 0, files) == (True, 0), "the partner wrote again, and the tree was not looked at since"
    assert all(sent(site, echo)), "what it had accepted when the partner wrote the other is sent"
    look_at_tree(site, tree)
    users, files = sent(site, echo)
    assert (users != 0, files) == (True, 0)


def test_files_that_cannot_be_read_or_do_not_rest_are_not_said_to_be_sent(pair: MemoryPair) -> None:
    """They are in no log, so that nothing seems to wait; one that went away is not waited for."""
    site, tree = pair.sites["a"], MemoryTree()
    site.tree, site.channels = tree, (Channel.USERS, Channel.CONFERENCES)
    with site.store.transaction() as tx:
        tx.save(outbound_name(Channel.CONFERENCES), pair.outbound("a"))
    scan(site, tree, rescan=True)
    assert all(sent(site, site.memory.echo))
    site.memory.unreadable = frozenset({"standup"})
    assert not all(sent(site, site.memory.echo))
    site.memory.unreadable = frozenset()
    site.memory.restless[b"a/gone.pdf"] = 0.0
    assert not all(sent(site, site.memory.echo))
    scan(site, tree, rescan=True)
    assert all(sent(site, site.memory.echo))


def test_a_tree_that_hangs_keeps_no_heartbeat(pair: MemoryPair) -> None:
    """Whoever touched it would wait without end, and hold the word back: the heartbeat touches none, and B goes on hearing A."""
    site = pair.sites["a"]
    site.tree, site.channels = _Hanging(), (Channel.USERS, Channel.CONFERENCES)
    with site.store.transaction() as tx:
        tx.save(outbound_name(Channel.CONFERENCES), pair.outbound("a"))
    before = pair.sites["b"].memory.echo
    assert beat(site, USERS)
    beat(pair.sites["b"], USERS)
    assert pair.sites["b"].memory.echo != before


class _Hanging(MemoryTree):
    """Its mount does not answer: a thread that asks is lost, which here is said."""

    def hint(self) -> object:
        """Hang."""
        raise AssertionError("a heartbeat waits for the tree")
