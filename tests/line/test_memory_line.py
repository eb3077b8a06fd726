"""The line over stores and shares in memory: the production steps, unmodified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.cycle import run_pass
from poolpair.format.layout import data_dir
from poolpair.model import ExportStatus, Position
from poolpair.pipeline.site import outbound_name
from poolpair.store.memory.disk import MemoryDisk
from tests.memory_pair import LIMITS, POOLS, USERS, MemoryPair


class ProcessEnd(Exception):
    """The process ends here."""


def dying(operation: str) -> Callable[[str, str], None]:
    """Die at the first such operation on a share."""

    def before(now: str, folder: str) -> None:
        if now == operation and folder == data_dir(USERS):
            raise ProcessEnd

    return before


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """A pair with some rows of each pool, after its first copy."""
    made = MemoryPair(tmp_path)
    for pool, host in (("a", "a.example"), ("b", "b.example")):
        for number in range(20):
            made.disks[pool].write("account", (host, f"user{number}"), [(host, f"user{number}", number)])
        made.disks[pool].write("roster", (host, "user1"), [(host, "user1", each) for each in ("x", b"y", None, "x")])
    made.disks["a"].write("notice", ("motd",), [("motd", "hello")])
    for pool in POOLS:
        made.start(pool)
    made.settle()
    return made


def assert_final(pair: MemoryPair) -> None:
    """Both pools hold the same rows and say so; nothing stands in a share, nothing is left to send."""
    assert pair.rows("a") == pair.rows("b")
    for pool in POOLS:
        assert pair.channel(pool).export.status is ExportStatus.FINAL
        assert pair.channel(pool).imports.foreign_writes == 0
        assert pair.packages(pool) == []


def test_first_copy_makes_both_pools_equal(pair: MemoryPair) -> None:
    """After the first copy both pools hold all rows and say FinalState."""
    assert_final(pair)
    assert len(pair.rows("b")["account"]) == 40
    assert pair.rows("b")["notice"] == [("motd", "hello")]


def test_edits_and_deletions_travel_both_ways(pair: MemoryPair) -> None:
    """A change, a deletion and a replaced group arrive, and nothing comes back as an echo."""
    pair.disks["a"].write("account", ("a.example", "user1"), [("a.example", "user1", "changed")])
    pair.disks["a"].write("account", ("a.example", "user2"), [])
    pair.disks["b"].write("roster", ("b.example", "user1"), [("b.example", "user1", "only")])
    pair.settle()
    assert_final(pair)
    assert ("a.example", "user1", "changed") in pair.rows("b")["account"]
    assert ("b.example", "user1", "only") in pair.rows("a")["roster"]
    sent = {pool: pair.outbound(pool).next_sequence for pool in POOLS}
    pair.settle()
    assert {pool: pair.outbound(pool).next_sequence for pool in POOLS} == sent


def test_a_partner_that_was_away_catches_up(pair: MemoryPair) -> None:
    """While the partner is away at most a window of packages stands in its share; when it returns it has everything."""
    pair.crash("b")
    for number in range(30):
        pair.disks["a"].write("account", ("a.example", f"new{number}"), [("a.example", f"new{number}", number)])
        pair.turn()
    assert 0 < len(pair.packages("b")) <= 8
    pair.start("b")
    pair.settle()
    assert_final(pair)
    assert len(pair.rows("b")["account"]) == 70


def test_a_lost_package_is_cured_by_a_rewind(pair: MemoryPair) -> None:
    """Packages that vanish from the share are sent again from what the partner has; the cure is one rewind."""
    away = pair.sites.pop("b")
    for number in range(3):
        pair.disks["a"].write("account", ("a.example", "user1"), [("a.example", "user1", f"change {number}")])
        pair.turn()
    lost = pair.packages("b")
    assert lost
    pair.shares["b"].remove(data_dir(USERS), lost[0])
    pair.sites["b"] = away
    pair.settle()
    assert_final(pair)
    assert pair.outbound("a").rewinds == 1
    assert pair.rows("b")["account"][1] == ("a.example", "user1", "change 2")


@pytest.mark.parametrize(("dies", "share", "operation"), [("a", "b", "enter"), ("a", "b", "put"), ("b", "b", "remove")])
def test_a_crash_loses_and_doubles_nothing(pair: MemoryPair, dies: str, share: str, operation: str) -> None:
    """A process that dies before or within a delivery, or after an apply but before the package is removed, goes on afterwards."""
    pair.disks["a"].write("account", ("a.example", "user1"), [("a.example", "user1", "changed")])
    pair.disks["a"].write("roster", ("a.example", "user1"), [])
    pair.shares[share].before = dying(operation)
    with pytest.raises(ProcessEnd):
        pair.settle()
    pair.shares[share].before = lambda _operation, _folder: None
    pair.crash(dies)
    pair.start(dies)
    pair.settle()
    assert_final(pair)
    assert ("a.example", "user1", "changed") in pair.rows("b")["account"]


def test_a_target_that_was_set_back_is_made_equal_again(pair: MemoryPair) -> None:
    """A backup of the target's store is put back: a comparison brings what it lacks, and takes what was deleted since."""
    backup = pair.disks["b"].copy("backup")
    pair.disks["a"].write("account", ("a.example", "user1"), [("a.example", "user1", "changed")])
    pair.disks["a"].write("account", ("a.example", "user2"), [])
    pair.settle()
    pair.crash("b")
    pair.disks["b"].restore(backup)
    assert pair.rows("a") != pair.rows("b")
    pair.start("b")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.channel("a").export.status is ExportStatus.FINAL


def test_a_refused_row_parks_one_group_and_the_rest_goes_on(pair: MemoryPair) -> None:
    """What the partner's tables refuse is parked there; once they take it a retry makes both pools equal."""
    pair.disks["b"].refuses = lambda _table, row: "too long" if row[-1] == "long" else None
    pair.disks["a"].write("account", ("a.example", "user1"), [("a.example", "user1", "long")])
    pair.disks["a"].write("account", ("a.example", "user2"), [("a.example", "user2", "short")])
    pair.settle()
    store = pair.sites["b"].store
    (parked,) = store.parked(USERS)
    assert (parked.reason, parked.key) == ("too long", "host=a.example, user=user1")
    assert ("a.example", "user2", "short") in pair.rows("b")["account"]
    assert pair.channel("a").export.status is not ExportStatus.FINAL
    pair.disks["b"].refuses = lambda _table, _row: None
    assert store.retry_parked(parked.group_id) is None
    pair.settle()
    assert_final(pair)


def test_a_backlog_larger_than_package_max_comes_in_parts(pair: MemoryPair) -> None:
    """It is not sent whole: the copy is said to be incomplete, a comparison names what differs, and the parts make both equal."""
    pair.crash("b")
    for number in range(3000):
        pair.disks["a"].write("account", ("a.example", f"new{number}"), [("a.example", f"new{number}", "x" * 100)])
    pair.sites["a"] = replace(pair.sites["a"], limits=replace(LIMITS, package_max_bytes=100_000))
    pair.turn()
    (standing,) = pair.packages("b")
    assert len(pair.shares["b"].tree[data_dir(USERS)][standing].data) < 20_000
    pair.start("b")
    pair.turn()
    pair.turn()
    assert pair.channel("a").export.status is ExportStatus.NON_STEADY
    assert pair.channel("b").imports.complete == ()
    pair.settle()
    assert_final(pair)
    assert pair.channel("b").imports.complete == ("a",)


def test_a_skipped_delta_is_known_to_be_a_gap_at_once(pair: MemoryPair) -> None:
    """The commit that moves the position over the gap also says that the copy is incomplete: a crash right after it hides nothing."""
    pair.disks["a"].write("account", ("a.example", "large"), [("a.example", "large", "x" * 1000)])
    pair.sites["a"] = replace(pair.sites["a"], limits=replace(LIMITS, package_max_bytes=100))
    pair.shares["b"].before = dying("remove")
    with pytest.raises(ProcessEnd):
        pair.settle()
    pair.shares["b"].before = lambda _operation, _folder: None
    assert pair.channel("b").imports.complete == ()


def lose(pair: MemoryPair, pool: str, name: str) -> None:
    """A package vanishes from a pool's share."""
    assert pair.shares[pool].remove(data_dir(USERS), name)


def edit(pair: MemoryPair, value: object) -> list[str]:
    """A change at A, and one pass there; returns the packages that it delivered."""
    before = pair.packages("b")
    pair.disks["a"].write("account", ("a.example", "user1"), [("a.example", "user1", value)])
    run_pass(pair.sites["a"], USERS)
    return [name for name in pair.packages("b") if name not in before]


def test_a_package_of_a_lost_future_does_not_hide_that_another_is_lost(pair: MemoryPair) -> None:
    """A's store was set back while B was away: what it sent before stands under a number that is used again, and leads nowhere."""
    backup = pair.disks["a"].copy("backup")
    pair.crash("b")
    (first,) = edit(pair, "lost future 1")
    (second,) = edit(pair, "lost future 2")
    lose(pair, "b", first)
    pair.crash("a")
    pair.disks["a"].restore(backup)
    pair.start("a")
    edit(pair, "again 1")
    pair.start("b")
    pair.turn()
    pair.turn()
    assert pair.packages("b") == [second]
    (lost,) = edit(pair, "again 2")
    lose(pair, "b", lost)
    pair.settle()
    assert_final(pair)
    assert ("a.example", "user1", "again 2") in pair.rows("b")["account"]


def test_a_package_of_a_lost_stream_does_not_stand_for_ever(pair: MemoryPair) -> None:
    """A overruled B in a new stream, and was set back to before that: what the new stream sent is deleted, not kept for ever."""
    before_stream = pair.disks["a"].copy("before")
    (stray,) = _overruled_and_set_back(pair, before_stream)
    assert stray in pair.packages("b")
    pair.start("b")
    pair.start("a")
    pair.settle()
    pair.clock.advance(60)
    pair.settle()
    assert stray in pair.packages("b"), "nothing came since: it may be all that is left"
    edit(pair, "since")
    pair.settle()
    assert stray not in pair.packages("b")
    assert pair.rows("a") == pair.rows("b")


def _overruled_and_set_back(pair: MemoryPair, backup: MemoryDisk) -> list[str]:
    pair.crash("b")
    with pair.sites["a"].store.transaction() as tx:
        out = pair.outbound("a")
        tx.save(
            outbound_name(USERS), replace(out, stream="7" * 32, next_sequence=1, base=Position("8" * 32, 1, "9" * 32))
        )
    names = edit(pair, "in the lost stream")
    pair.crash("a")
    pair.disks["a"].restore(backup)
    return names


def test_of_several_that_follow_the_newest_is_applied(pair: MemoryPair) -> None:
    """A died between a delivery and its record, and cut again onto the same position: the newer package holds all of the older one."""
    pair.crash("b")
    before = pair.outbound("a")
    edit(pair, "older")
    with pair.sites["a"].store.transaction() as tx:
        tx.save(outbound_name(USERS), replace(before, next_sequence=before.next_sequence + 1))
    edit(pair, "newer")
    assert len(pair.packages("b")) == 2
    pair.start("b")
    pair.settle()
    assert_final(pair)
    assert ("a.example", "user1", "newer") in pair.rows("b")["account"]
    assert (pair.channel("b").imports.superseded, pair.outbound("a").rewinds) == (1, 0)
