"""What is kept for people: a day of lag and traffic, the moves of homes, and orders; each bounded, and none of it in the line's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair import audit, history
from poolpair.audit import audited, enter_refused, entries
from poolpair.errors import Code, PoolpairError
from poolpair.history import EVERY_S, MOVES_KEPT, Hour, Recorder, last_day, moves
from poolpair.model import Channel
from poolpair.moves import Move
from poolpair.serving.plan import advance, order
from tests.memory_pair import MemoryPair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    made = MemoryPair(tmp_path)
    for pool, other in (("a", "b"), ("b", "a")):
        with made.disks[pool].change() as draft:
            draft.fence.edit[other] = other
        made.start(pool)
    made.settle()
    return made


def test_a_day_is_kept_and_no_more(pair: MemoryPair) -> None:
    """Two days of heartbeats leave the last 24 hours in 25 small documents."""
    site, recorder = pair.sites["a"], Recorder()
    for _ in range(2 * 24 * 60):
        recorder.note(site)
        pair.clock.advance(60)
    day = last_day(site)
    assert 24 * 12 - 2 <= len(day) <= 24 * 12
    assert [each.at_s for each in day] == sorted({each.at_s for each in day})
    hours = site.store.read_all(Hour, history.SAMPLES)
    assert len(hours) == 25
    assert max(len(hour.moments) for hour in hours.values()) == 12


def test_the_worst_lag_and_all_traffic_are_kept(pair: MemoryPair) -> None:
    """A lag between two looks of five minutes counts; bytes are those of the five minutes, not of all time."""
    site, recorder = pair.sites["a"], Recorder()
    recorder.note(site)
    site.memory.traffic.sent_bytes[Channel.USERS] = 1000
    site.memory.captured_s[Channel.USERS] = site.clock.monotonic_s() - 50
    pair.disks["a"].write("account", ("a.example", "u"), [("a.example", "u", 1)])
    pair.clock.advance(61)
    recorder.note(site)
    pair.settle()
    for _ in range(12):
        pair.clock.advance(EVERY_S / 4)
        recorder.note(site)
    day = [each.channels[Channel.USERS] for each in last_day(site)]
    assert max(each.lag_s for each in day) >= 100
    assert day[-1].lag_s == 0
    assert sum(each.sent_bytes for each in day) == site.memory.traffic.sent_bytes[Channel.USERS]
    assert site.memory.traffic.sent_bytes[Channel.USERS] > 1000


def test_moves_are_noted_once_each(pair: MemoryPair) -> None:
    """Who served whom since when; after a takeover the newest stands first, and the list does not grow without end."""
    b = pair.sites["b"]
    recorder = Recorder()
    recorder.note(b)
    recorder.note(b)
    assert [(each.home, each.began) for each in moves(b)] == [("b", "birth"), ("a", "birth")]
    order(b, Move.TAKEOVER, "a")
    while advance(b):
        pass
    recorder.note(b)
    newest = moves(b)[0]
    assert (newest.home, newest.served_by, newest.began, newest.epoch) == ("a", "b", "takeover", 1)
    with b.store.transaction() as tx:
        many = tuple(newest for _ in range(MOVES_KEPT + 5))
        tx.save(history.MOVES, history.Moves(seen=many))
    recorder.note(b)
    assert len(moves(b)) == MOVES_KEPT


def test_orders_are_entered_before_they_are_done_and_bounded(pair: MemoryPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ended it: done, refused with its reason, or cut off; the oldest go."""
    site = pair.sites["a"]
    monkeypatch.setattr(audit, "KEPT", 3)
    with audited(site, "me", "127.0.0.1", "first"):
        assert entries(site)[0].outcome == ""
    assert entries(site)[0].outcome == "done"
    pair.clock.advance(1)
    with pytest.raises(PoolpairError), audited(site, "me", "127.0.0.1", "second"):
        raise PoolpairError(Code.USAGE, "no")
    assert entries(site)[0].outcome == "refused: P105: no"
    for number in range(4):
        pair.clock.advance(1)
        with audited(site, "me", "here", f"more {number}"):
            pass
    assert [each.what for each in entries(site)] == ["more 3", "more 2", "more 1"]


def test_what_was_refused_and_what_a_timer_orders_push_nothing_out(
    pair: MemoryPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind is counted by itself; a repair is no routine, on whichever channel."""
    site = pair.sites["a"]
    for kept in ("KEPT", "ROUTINE_KEPT", "REFUSED_KEPT"):
        monkeypatch.setattr(audit, kept, 2)
    with audited(site, "me", "here", "failover a"):
        pass
    for number in range(4):
        pair.clock.advance(1)
        enter_refused(site, "you", "there", f"POST {number}", "P123: no")
        for what in ("sync", "verify users"):
            with audited(site, "cron", "here", what):
                pass
    with audited(site, "me", "here", "verify --repair users"):
        pass
    found = [each.what for each in entries(site)]
    assert sorted(found) == sorted(["verify --repair users", "failover a", "POST 3", "POST 2", *found_routine(found)])
    assert len(found_routine(found)) == 2
    assert {each.outcome for each in entries(site) if each.who == "you"} == {"refused: P123: no"}


def found_routine(found: list[str]) -> list[str]:
    """What a timer ordered."""
    return [what for what in found if what in {"sync", "verify users"}]
