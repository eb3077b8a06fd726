"""How packages go out: in pieces, under a cap, or not at all while an operator holds them back."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from poolpair.bandwidth import Bandwidth, parse_rules
from poolpair.cycle import run_pass
from poolpair.decisions import begin_verify, pause, resume
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import data_dir
from poolpair.model import ExportStatus
from poolpair.moves import Move, Plan, plan_name
from poolpair.serving.plan import advance, order
from poolpair.share.port import TEMP
from poolpair.status import Reason
from tests.home_moves import (
    COSETTE,
    hand_out,
    make_pair,
    send,
    serving,
    settle,
    speak,
    take_in,
    take_over,
    value,
    write,
)
from tests.memory_pair import USERS, MemoryPair

PIECE = 8_000


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy, that send in small pieces."""
    made = make_pair(tmp_path)
    for site in made.sites.values():
        site.limits = replace(site.limits, piece_min_bytes=PIECE, piece_max_bytes=PIECE)
        site.memory.flows.clear()
    return made


def large(seed: int) -> str:
    """A value of some 50 kB that stays that large."""
    return Random(seed).randbytes(25_000).hex()


def temp_bytes(pair: MemoryPair) -> int:
    """How much of a package stands at b, not whole yet."""
    return sum(len(stored.data) for stored in pair.shares["b"].tree[TEMP].values())


def test_a_large_package_goes_piece_by_piece(pair: MemoryPair) -> None:
    """One in each pass, so that the other channel has its turn; nothing is applied before the last, and nothing left in Temp after it."""
    write(pair, "a", large(1))
    seen = []
    for _ in range(20):
        run_pass(pair.sites["a"], USERS)
        seen.append(temp_bytes(pair))
        take_in(pair, "b")
        if value(pair, "b") == large(1):
            break
    rising = seen[:-1]
    assert rising == sorted(set(rising))
    assert [later - earlier for earlier, later in itertools.pairwise(rising)] == [PIECE] * (len(rising) - 1)
    assert len(rising) >= 2
    assert seen[-1] == 0


def test_a_cut_costs_one_piece(pair: MemoryPair) -> None:
    """What stands at the partner is not sent again when the line is back."""
    write(pair, "a", large(1))
    for _ in range(2):
        run_pass(pair.sites["a"], USERS)
    before = temp_bytes(pair)

    def cut(_operation: str, _folder: str) -> None:
        raise PoolpairError(Code.SHARE_FAILED, "the line is cut")

    pair.shares["b"].before = cut
    run_pass(pair.sites["a"], USERS)
    assert temp_bytes(pair) == before
    pair.shares["b"].before = lambda _operation, _folder: None
    run_pass(pair.sites["a"], USERS)
    assert temp_bytes(pair) == before + PIECE
    settle(pair)
    assert value(pair, "b") == large(1)


@pytest.mark.parametrize("every", [1, 3])
def test_where_pieces_do_not_stay_the_package_goes_as_a_whole(pair: MemoryPair, every: int) -> None:
    """Somebody sweeps Temp all the time, or every few passes, between which it goes on: after a few tries nothing is left to chance."""
    write(pair, "a", large(1))
    for number in range(60):
        if number % every == every - 1:
            pair.shares["b"].tree[TEMP].clear()
        run_pass(pair.sites["a"], USERS)
        take_in(pair, "b")
        if value(pair, "b") == large(1):
            return
    raise AssertionError("it never arrives")


def test_a_cap_is_kept_over_time(pair: MemoryPair) -> None:
    """64 kbit/s are 8,000 bytes a second: no more than that goes out in any stretch of time, but for one piece more."""
    site = pair.sites["a"]
    site.bandwidth = Bandwidth("UTC", {USERS: parse_rules(64)})
    write(pair, "a", large(1))
    write(pair, "a", large(2), COSETTE)
    begins, seen = pair.clock.monotonic_s(), []
    for _ in range(400):
        run_pass(site, USERS)
        sent = temp_bytes(pair) or sum(len(stored.data) for stored in pair.shares["b"].tree[data_dir(USERS)].values())
        seen.append((pair.clock.monotonic_s() - begins, sent))
        if pair.packages("b"):
            break
        pair.clock.advance(0.25)
    assert pair.packages("b")
    for at_s, sent in seen:
        assert sent <= 8_000 * at_s + 2 * PIECE
    at_s, sent = seen[-1]
    assert sent > 50_000
    assert at_s == pytest.approx(sent / 8_000, rel=0.3)


def test_a_paused_channel_sends_words_and_no_packages(pair: MemoryPair) -> None:
    """What changes waits; both sides say why, nothing is called final or steady, and what the partner sends is applied meanwhile."""
    site = pair.sites["a"]
    pause(site, (USERS,), "the line is needed")
    write(pair, "a", 1)
    write(pair, "b", 5, ("b.example", "javert"))
    settle(pair)
    assert value(pair, "b") == 0
    assert value(pair, "a", ("b.example", "javert")) == 5
    here, there = pair.channel("a"), pair.channel("b")
    assert (here.export.status, here.export.reason) == (ExportStatus.NON_STEADY, Reason.PAUSED)
    assert there.imports.partner_sending is not None
    assert there.imports.partner_sending.code is Code.PAUSED
    assert resume(site, (USERS,)) == (USERS,)
    assert resume(site, (USERS,)) == ()
    settle(pair)
    assert value(pair, "b") == 1
    assert pair.channel("a").export.status is ExportStatus.FINAL


def test_nobody_moves_while_packages_are_held_back(pair: MemoryPair) -> None:
    """A handover waits before the fence and says what for."""
    pause(pair.sites["a"], (USERS,), "the line is needed")
    order(pair.sites["a"], Move.HANDOVER, "a")
    for _ in range(5):
        pair.turn()
        advance(pair.sites["a"])
    plan = pair.sites["a"].store.read(Plan, plan_name("a"))
    assert plan is not None
    assert plan.waits_for == "users: paused by hand (the line is needed); `poolpair resume`"
    resume(pair.sites["a"], (USERS,))
    settle(pair)
    assert serving(pair, "b").present.epoch == 1


def test_a_package_that_was_begun_goes_on_after_a_pause(pair: MemoryPair) -> None:
    """Its pieces lie at the partner meanwhile."""
    write(pair, "a", large(1))
    for _ in range(2):
        send(pair, "a")
    before = temp_bytes(pair)
    assert before == 2 * PIECE
    pause(pair.sites["a"], (USERS,), "the line is needed")
    send(pair, "a")
    assert temp_bytes(pair) == before
    resume(pair.sites["a"], (USERS,))
    send(pair, "a")
    assert temp_bytes(pair) == before + PIECE


def test_what_was_cut_before_a_takeover_is_no_answer_to_its_question(pair: MemoryPair) -> None:
    """B compares its own home, in pieces, when it takes A's users over: the same question, but of less."""
    site = pair.sites["b"]
    site.limits = replace(site.limits, piece_min_bytes=1_000, piece_max_bytes=1_000)
    site.memory.flows.clear()
    begin_verify(site, USERS, repair=True)
    run_pass(site, USERS)
    assert site.memory.flows[USERS].brought == 1_000
    pair.crash("a")
    take_over(pair, "b")
    pair.start("a")
    settle(pair)
    assert pair.channel("a").imports.complete == ("a", "b")
    assert pair.channel("b").export.status is ExportStatus.FINAL


def test_a_package_that_finds_no_room_leaves_none_taken(pair: MemoryPair) -> None:
    """What was brought goes, so that words still arrive and others can write; and one that cannot fit is not begun."""
    share = pair.shares["b"]
    write(pair, "a", large(1))
    for _ in range(2):
        run_pass(pair.sites["a"], USERS)
    assert temp_bytes(pair) == 2 * PIECE
    share.capacity_bytes = (
        sum(len(file.data) for folder in share.tree.values() for file in folder.values()) + PIECE // 2
    )
    for _ in range(4):
        run_pass(pair.sites["a"], USERS)
        assert temp_bytes(pair) == 0
    fault = pair.channel("a").export.fault
    assert fault is not None
    assert (fault.code, "no space is left for a package of" in fault.detail) == (Code.SHARE_FULL, True)
    pair.sites["b"].memory.echoed_s = None
    assert pair.channel("b").imports.fault is None
    share.capacity_bytes = 1 << 40
    settle(pair)
    assert value(pair, "b") == large(1)


def test_what_was_forced_goes_to_its_end(pair: MemoryPair) -> None:
    """Without `eager` a change waits for the interval; a package that was begun does not wait for the next one between its pieces."""
    site = pair.sites["a"]
    site.limits = replace(site.limits, eager=False)
    write(pair, "a", large(1))
    for _ in range(3):
        run_pass(site, USERS)
    assert temp_bytes(pair) == 0
    run_pass(site, USERS, force=True)
    for _ in range(20):
        run_pass(site, USERS)
    assert pair.packages("b")


def test_a_cap_counts_small_packages_too(pair: MemoryPair) -> None:
    """Many that go as a whole are together as slow as one that does not."""
    site = pair.sites["a"]
    site.bandwidth = Bandwidth("UTC", {USERS: parse_rules(8)})
    begins, seen = pair.clock.monotonic_s(), []
    for number in range(120):
        write(pair, "a", number, ("a.example", f"user-{number}"))
        run_pass(site, USERS)
        take_in(pair, "b")
        speak(pair, "b")
        seen.append((pair.clock.monotonic_s() - begins, pair.shares["b"].bytes_written[data_dir(USERS)]))
        pair.clock.advance(0.25)
    first = seen[0][1]
    assert seen[-1][1] > first
    for at_s, sent in seen:
        assert sent - first <= 1_000 * at_s + 3_000


def test_a_package_that_became_shorter_is_cut_anew(pair: MemoryPair) -> None:
    """The local disk lost its end: it is said, and what is sent then is whole."""
    write(pair, "a", large(1))
    run_pass(pair.sites["a"], USERS)
    packed = pair.sites["a"].memory.ready[USERS]
    with packed.path.open("r+b") as file:
        file.truncate(PIECE + 100)
    run_pass(pair.sites["a"], USERS)
    fault = pair.channel("a").export.fault
    assert fault is not None
    assert fault.code is Code.SCRATCH
    settle(pair)
    assert value(pair, "b") == large(1)
    assert pair.channel("a").export.fault is None


def test_a_package_that_is_given_up_takes_its_pieces_along(pair: MemoryPair) -> None:
    """The operator compares while it is under way: another package is cut, and only its pieces lie there."""
    write(pair, "a", large(1))
    for number in range(4):
        run_pass(pair.sites["a"], USERS)
        begin_verify(pair.sites["a"], USERS, repair=bool(number % 2))
        assert len(pair.shares["b"].tree[TEMP]) <= 1
    settle(pair)
    assert value(pair, "b") == large(1)
    assert pair.shares["b"].tree[TEMP] == {}


def test_nobody_pauses_while_users_are_on_their_way(pair: MemoryPair) -> None:
    """They are served nowhere until the last package has arrived."""
    hand_out(pair, "a")
    with pytest.raises(PoolpairError, match="a handover is under way"):
        pause(pair.sites["a"], (USERS,), "the line is needed")
    settle(pair)
    assert serving(pair, "b").present.epoch == 1


def test_what_was_undone_meanwhile_is_not_sent(pair: MemoryPair) -> None:
    """Pieces of it were brought, then the partner said that nothing lacks: neither they nor the package stay behind."""
    site = pair.sites["a"]
    write(pair, "a", large(1))
    run_pass(site, USERS)
    packed = site.memory.ready[USERS]
    with pair.disks["a"].change() as draft:
        draft.logs[0].edit.clear()
    run_pass(site, USERS)
    assert temp_bytes(pair) == 0
    assert not packed.path.exists()
    assert USERS not in site.memory.ready
