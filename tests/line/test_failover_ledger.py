"""Told stories of the ledger on the memory pair: it survives either pool, follows the server, and decides nothing blindly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.decisions import resolve_ledger
from poolpair.errors import PoolpairError
from poolpair.model import Position, Recovered, Reign
from poolpair.pipeline.acknowledge import hear_word
from poolpair.pipeline.adopt import adopt
from poolpair.pipeline.recovery import close_recoveries
from poolpair.pipeline.site import inbound_name, intent_name, recovery_name
from poolpair.state import Inbound, Intent, Recovery
from poolpair.store.values import Choice
from tests.home_moves import (
    COSETTE,
    JAVERT,
    MARIUS,
    call_complete,
    hand_out,
    hand_over,
    make_pair,
    send,
    serving,
    settle,
    speak,
    take_in,
    take_over,
    values,
    versions,
    write,
)
from tests.memory_pair import USERS, MemoryPair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """A died with a write, B took over and wrote the same group; A is back, and was not heard yet."""
    made = make_pair(tmp_path)
    made.crash("a")
    write(made, "a", 1)
    take_over(made, "b")
    write(made, "b", 2)
    send(made, "b")
    made.start("a")
    return made


def test_what_was_handed_in_is_kept_until_its_entry_came_back(pair: MemoryPair) -> None:
    """B put it into its ledger and said so, and was destroyed before the entry came: A still has it, and enters it itself."""
    take_in(pair, "a")
    send(pair, "a")
    take_in(pair, "b")
    assert versions(pair, "b") == [(1, 2)]
    speak(pair, "b")
    hear_word(pair.sites["a"], USERS)
    (recovery,) = pair.sites["a"].store.read_all(Recovery, "recovery/").values()
    assert recovery.arrived
    pair.crash("b")
    call_complete(pair, "a", "a", "b")
    take_over(pair, "a")
    assert versions(pair, "a") == [(1, 2)]


def test_an_entry_follows_who_serves(pair: MemoryPair) -> None:
    """The users go home: it is decided there, where the rows may be written, and no more at the pool that made it."""
    settle(pair)
    hand_over(pair, "b")
    (entry,) = pair.sites["b"].store.ledger()
    with pytest.raises(PoolpairError, match="it is decided there"):
        resolve_ledger(pair.sites["b"], entry.entry_id, Choice.THEIRS)
    resolve_ledger(pair.sites["a"], entry.entry_id, Choice.THEIRS)
    settle(pair)
    assert values(pair) == (1, 1)
    for pool in ("a", "b"):
        (entry,) = pair.sites[pool].store.ledger()
        assert entry.state is Choice.THEIRS


def test_nothing_is_decided_while_the_users_are_on_their_way(pair: MemoryPair) -> None:
    """What the final package does not bring would be undone by it; at the end it is decided where they arrived."""
    settle(pair)
    hand_out(pair, "b")
    with pytest.raises(PoolpairError, match="on their way to pool a"):
        resolve_ledger(pair.sites["b"], None, Choice.OURS)
    settle(pair)
    assert resolve_ledger(pair.sites["a"], None, Choice.OURS) == 1
    settle(pair)
    for pool in ("a", "b"):
        (entry,) = pair.sites[pool].store.ledger()
        assert entry.state is Choice.OURS


def test_a_group_that_was_written_since_is_not_decided_blindly(pair: MemoryPair) -> None:
    """The entry says 1 or 2, and 3 stands there: nothing is decided. Forced, 3 is what the entry keeps."""
    settle(pair)
    write(pair, "b", 3)
    with pytest.raises(PoolpairError, match="was written again since"):
        resolve_ledger(pair.sites["b"], None, Choice.THEIRS)
    assert resolve_ledger(pair.sites["b"], None, Choice.THEIRS, force=True) == 1
    settle(pair)
    assert values(pair) == (1, 1)
    assert versions(pair, "a") == versions(pair, "b") == [(1, 3)]


@pytest.mark.parametrize(("carried_by", "arrived", "closed"), [(1, False, True), (2, False, False), (4, True, False)])
def test_a_recovery_is_closed_by_what_followed_it_only(
    pair: MemoryPair, carried_by: int, arrived: bool, closed: bool
) -> None:
    """B had applied 1 and then 3, for 2 was lost on its way: what 2 carried is to be handed in again, and 4 is not merged there yet."""
    made = [Position("5" * 32, number, str(number) * 32) for number in range(5)]
    follows = {1: 0, 2: 1, 3: 1, 4: 3}
    recovery = Recovery(number=7, brings=Recovered(home="a"), position=made[carried_by], arrived=arrived)
    with pair.sites["a"].store.transaction() as tx:
        for number, before in follows.items():
            intent = Intent(position=made[number], follows=made[before], token=number, delivered=True, package_bytes=1)
            tx.save(intent_name(USERS, made[number]), intent)
        tx.save(recovery_name(USERS, 7), recovery)
        close_recoveries(tx, USERS, made[3])
        after = tx.load(Recovery, recovery_name(USERS, 7))
    assert after is not None
    assert (after.closed, after.arrived) == (closed, arrived or closed)


def test_adopting_one_home_forgets_nothing_of_what_was_changed_in_another(tmp_path: Path) -> None:
    """A serves B's users, and B has not handed in what it had written, when B takes A's users over: A still knows what it changed."""
    pair = make_pair(tmp_path)
    pair.crash("b")
    write(pair, "b", 1, JAVERT)
    take_over(pair, "a", "b")
    write(pair, "a", 2, JAVERT)
    pair.start("b")
    send(pair, "a")
    hear_word(pair.sites["b"], USERS)
    take_in(pair, "b")
    speak(pair, "b")
    hear_word(pair.sites["a"], USERS)
    call_complete(pair, "b", "a", "b")
    take_over(pair, "b", "a")
    settle(pair)
    assert values(pair, JAVERT) == (2, 2)
    assert versions(pair, "a") == versions(pair, "b") == [(1, 2)]


def test_several_reigns_that_were_missed_end_with_the_last(tmp_path: Path) -> None:
    """Two at once: whether the copy may be trusted is said by the one that counts, and the other way round by the other."""
    taken = Reign(home="a", epoch=1, reign_id="1" * 32, began="takeover", complete=True)
    handed = Reign(home="a", epoch=3, reign_id="3" * 32, began="handover", complete=True)
    later = replace(taken, epoch=5, reign_id="5" * 32)
    for number, (reigns, doubts) in enumerate((((taken, handed), True), ((handed, later), False))):
        folder = tmp_path / str(number)
        folder.mkdir()
        pair = make_pair(folder)
        assert adopt(pair.sites["a"], reigns)
        assert serving(pair, "a").present == reigns[-1]
        inbound = pair.sites["a"].store.read(Inbound, inbound_name(USERS))
        assert inbound is not None
        assert inbound.doubts is doubts


def test_a_reign_that_began_with_nothing_is_handed_in_everything(tmp_path: Path) -> None:
    """A's log tells what lacks of where the first reign began; of the second nothing is known, so the whole home goes out."""
    pair = make_pair(tmp_path)
    write(pair, "a", 1, COSETTE)
    write(pair, "a", 1, MARIUS)
    settle(pair)
    applied = pair.outbound("a").acknowledged
    write(pair, "a", 2, MARIUS)
    first = Reign(home="a", epoch=1, reign_id="1" * 32, began="takeover", begin={USERS: applied}, complete=True)
    second = Reign(home="a", epoch=3, reign_id="3" * 32, began="takeover", begin={}, complete=True)
    assert adopt(pair.sites["a"], (first, second))
    (recovery,) = pair.sites["a"].store.read_all(Recovery, "recovery/").values()
    assert recovery.groups == 3


def test_what_was_written_in_a_reign_that_was_handed_over_needs_no_beginning(tmp_path: Path) -> None:
    """Its copy was proved equal when it began: only one that was taken over stood on something that may be less."""
    pair = make_pair(tmp_path)
    hand_over(pair, "a")
    pair.crash("b")
    write(pair, "b", 1)
    call_complete(pair, "a", "a", "b")
    take_over(pair, "a")
    pair.start("b")
    send(pair, "a")
    hear_word(pair.sites["b"], USERS)
    (recovery,) = pair.sites["b"].store.read_all(Recovery, "recovery/").values()
    assert recovery.brings.written_after is None
