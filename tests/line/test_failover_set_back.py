"""Told stories of stores that are set back around a failover, on the memory pair: backups put back, standbys that lag behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from poolpair.decisions import overrule_partner, resolve_ledger, yield_to_partner
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import cookie_dir, data_dir
from poolpair.model import ExportStatus, Reign
from poolpair.pipeline.acknowledge import hear_word
from poolpair.pipeline.adopt import adopt
from poolpair.pipeline.site import inbound_name, recovery_prefix, serving_name
from poolpair.serving.plan import advance, give_up
from poolpair.state import Inbound, Recovery
from poolpair.store.values import Choice
from tests.home_moves import (
    COSETTE,
    VALJEAN,
    backup,
    hand_out,
    hand_over,
    make_pair,
    send,
    serving,
    set_back,
    settle,
    speak,
    take_in,
    take_over,
    takes_writes,
    value,
    values,
    versions,
    write,
)
from tests.memory_pair import USERS, MemoryPair


@pytest.fixture
def pair(tmp_path: Path) -> MemoryPair:
    """Two pools after their first copy."""
    return make_pair(tmp_path)


def test_a_taker_that_was_set_back_gets_what_it_had_acknowledged(pair: MemoryPair) -> None:
    """A's log was pruned up to what B had; B serves from before that: A offers its home whole, for its log does not tell."""
    saved = backup(pair, "b")
    write(pair, "a", 1)
    settle(pair)
    pair.crash("a")
    set_back(pair, "b", saved)
    take_over(pair, "b")
    write(pair, "b", 5, COSETTE)
    pair.start("a")
    settle(pair)
    assert values(pair) == (1, 1)
    assert values(pair, COSETTE) == (5, 5)
    assert versions(pair, "b") == []


def test_a_number_that_is_used_twice_is_another_reign(pair: MemoryPair) -> None:
    """B took over and A adopted that; set back to before it, B takes over again under the same number, from less than it had.

    A adopts that one, too. B hears of the one that it forgot, and asks its operator whether it may go on.
    """
    saved = backup(pair, "b")
    write(pair, "a", 1)
    settle(pair)
    take_over(pair, "b")
    settle(pair)
    pair.crash("a")
    set_back(pair, "b", saved)
    take_over(pair, "b")
    assert serving(pair, "b").present.epoch == 1
    pair.start("a")
    settle(pair)
    assert serving(pair, "a").present == serving(pair, "b").present
    assert takes_writes(pair) == ()
    overrule_partner(pair.sites["b"])
    settle(pair)
    assert takes_writes(pair) == ("b",)
    assert values(pair) == (1, 1)


def test_a_reign_that_was_decided_about_is_no_news_again(pair: MemoryPair) -> None:
    """B forgot a reign of its own and was decided about. A, set back since, knows it no more; a package of A's from before tells of it."""
    saved = {pool: backup(pair, pool) for pool in ("a", "b")}
    take_over(pair, "b")
    settle(pair)
    told = serving(pair, "a").reigns
    pair.crash("a")
    set_back(pair, "b", saved["b"])
    take_over(pair, "b")
    pair.start("a")
    settle(pair)
    assert serving(pair, "b").forgot == (told[-1].reign_id,)
    pair.crash("a")
    set_back(pair, "a", saved["a"])
    overrule_partner(pair.sites["b"])
    settle(pair)
    assert takes_writes(pair) == ("b",)
    adopt(pair.sites["b"], told)
    assert serving(pair, "b").stopped is None
    assert takes_writes(pair) == ("b",)


def test_what_was_not_handed_in_outlives_another_reign(pair: MemoryPair) -> None:
    """A came back with a write that B's had replaced; before it could hand that in, B was set back and took over once more."""
    pair.crash("a")
    write(pair, "a", 1)
    saved = backup(pair, "b")
    take_over(pair, "b")
    write(pair, "b", 2)
    pair.start("a")
    send(pair, "b")
    hear_word(pair.sites["a"], USERS)
    take_in(pair, "a")
    assert values(pair) == (2, 2)
    set_back(pair, "b", saved)
    take_over(pair, "b")
    speak(pair, "b")
    hear_word(pair.sites["a"], USERS)
    settle(pair)
    overrule_partner(pair.sites["b"])
    settle(pair)
    assert values(pair) == (1, 1)
    assert versions(pair, "a") == versions(pair, "b") == [(2, 1)]


def test_a_site_rebuilt_from_a_backup_reverts_nothing(pair: MemoryPair) -> None:
    """Its rows are old, not stranded. It is fenced first of all; what differs goes to the ledger, and the server's flows back."""
    saved = backup(pair, "a")
    write(pair, "a", 1)
    settle(pair)
    pair.crash("a")
    take_over(pair, "b")
    set_back(pair, "a", saved)
    write(pair, "a", 7, COSETTE)
    settle(pair)
    assert takes_writes(pair) == ("b",)
    stopped = pair.outbound("a").stopped
    assert stopped is not None
    assert stopped.code is Code.STORE_SET_BACK
    assert yield_to_partner(pair.sites["a"]) == (USERS,)
    settle(pair)
    assert values(pair) == (1, 1)
    assert values(pair, COSETTE) == (None, None)
    assert sorted(map(str, versions(pair, "b"))) == ["(0, 1)", "(7, None)"]
    assert versions(pair, "a") == versions(pair, "b")


def test_nothing_is_merged_from_who_wrote_on_an_older_copy(pair: MemoryPair) -> None:
    """While A hands over B is set back, takes over at less than it had acknowledged, and writes; A takes its users back and wrote nothing.

    So nothing of A's is in the reign set; but what B wrote knew nothing of A's last write.
    """
    saved = backup(pair, "b")
    write(pair, "a", 1)
    hand_out(pair, "a")
    set_back(pair, "b", saved)
    take_over(pair, "b")
    write(pair, "b", 2)
    give_up(pair.sites["a"], "a")
    while advance(pair.sites["a"]):
        pass
    settle(pair)
    assert takes_writes(pair) == ("a",)
    assert values(pair) == (1, 1)
    assert versions(pair, "a") == versions(pair, "b") == [(2, 1)]


def test_what_was_merged_into_a_store_that_forgot_it_is_handed_in_again(pair: MemoryPair) -> None:
    """The server was set back to before the merge: the returned pool has the only copy, and hands it in before a comparison takes it.

    It had said before that it had handed in everything: what the server changed since is not known any more, so nothing is merged.
    """
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    saved = backup(pair, "b")
    pair.start("a")
    settle(pair)
    assert values(pair) == (1, 1)
    set_back(pair, "b", saved)
    assert value(pair, "b") == 0
    settle(pair)
    overrule_partner(pair.sites["b"])
    settle(pair)
    assert values(pair) == (0, 0)
    assert versions(pair, "a") == versions(pair, "b") == [(1, 0)]
    assert takes_writes(pair) == ("b",)


def test_a_word_from_before_a_decision_asks_for_none_again(pair: MemoryPair) -> None:
    """A was set back, and its service heard two words of that before its operator let it go on. The first of them comes once more."""
    saved, standing = backup(pair, "a"), pair.shares["b"].tree[data_dir(USERS)]
    for number in (1, 2):
        write(pair, "a", number)
        send(pair, "a")
    held_back = dict([standing.popitem()])
    set_back(pair, "a", saved)
    speak(pair, "a")
    words = []
    for late in ({}, held_back):
        standing.update(late)
        hear_word(pair.sites["b"], USERS)
        take_in(pair, "b")
        speak(pair, "b")
        out = hear_word(pair.sites["a"], USERS)
        assert out is not None
        assert out.stopped is not None
        words.append(dict(pair.shares["a"].tree[cookie_dir(USERS)]))
    pair.clock.advance(1)
    assert overrule_partner(pair.sites["a"]) == (USERS,)
    pair.shares["a"].tree[cookie_dir(USERS)].update(words[0])
    out = hear_word(pair.sites["a"], USERS)
    assert out is not None
    assert (out.stopped, out.replays) == (None, 1)
    settle(pair)
    assert values(pair) == (0, 0)


def test_a_new_stream_begins_a_copy(pair: MemoryPair) -> None:
    """Whatever it carries, and of whom: until its first comparison no copy is called complete, those of other homes neither."""
    saved = backup(pair, "a")
    write(pair, "a", 1)
    settle(pair)
    assert pair.channel("b").imports.complete == ("a",)
    set_back(pair, "a", saved)
    settle(pair)
    overrule_partner(pair.sites["a"])
    site, stream = pair.sites["b"], pair.outbound("a").stream
    with site.store.transaction() as tx:
        before = tx.load(Inbound, inbound_name(USERS))
        assert before is not None
        tx.save(inbound_name(USERS), replace(before, complete=("a", "b")))
    inbound = before
    for _ in range(10):
        send(pair, "a")
        take_in(pair, "b")
        inbound = site.store.read(Inbound, inbound_name(USERS)) or before
        if inbound.applied is not None and inbound.applied.stream == stream:
            break
        speak(pair, "b")
        hear_word(pair.sites["a"], USERS)
    assert inbound != before
    assert inbound.complete == ()
    settle(pair)
    assert pair.channel("b").imports.complete == ("a",)


def test_an_old_word_is_no_set_back(pair: MemoryPair) -> None:
    """A cookie of yesterday is put back into A's share: it lowers nothing, begins no comparison, and the next word is believed."""
    folder = pair.shares["a"].tree[cookie_dir(USERS)]
    old = dict(folder)
    for number in (1, 2):
        write(pair, "a", number)
        settle(pair)
    before = pair.outbound("a")
    folder.clear()
    folder.update(old)
    hear_word(pair.sites["a"], USERS)
    after = pair.outbound("a")
    assert (after.replays, after.acknowledged, after.seed) == (before.replays + 1, before.acknowledged, None)
    write(pair, "a", 3)
    settle(pair)
    assert values(pair, VALJEAN) == (3, 3)
    assert pair.outbound("a").stopped is None


def test_the_partners_copy_wins_by_being_served(pair: MemoryPair) -> None:
    """A is set back and writes on before anybody notices; its operator wants what B has. Nothing is lost, and A serves in the end."""
    saved = backup(pair, "a")
    write(pair, "a", 1)
    settle(pair)
    set_back(pair, "a", saved)
    write(pair, "a", 7, COSETTE)
    settle(pair)
    assert pair.outbound("a").stopped is not None
    with pytest.raises(PoolpairError, match="does not serve the users of a yet"):
        yield_to_partner(pair.sites["a"])
    assert values(pair) == (0, 1)
    take_over(pair, "b")
    settle(pair)
    assert takes_writes(pair) == ("b",)
    yield_to_partner(pair.sites["a"])
    settle(pair)
    assert values(pair) == (1, 1)
    assert sorted(map(str, versions(pair, "b"))) == ["(0, 1)", "(7, None)"]
    for entry in pair.sites["b"].store.ledger():
        choice = Choice.THEIRS if "cosette" in entry.key else Choice.OURS
        resolve_ledger(pair.sites["b"], entry.entry_id, choice)
    hand_over(pair, "b")
    assert (values(pair), values(pair, COSETTE)) == ((1, 1), (7, 7))
    assert pair.outbound("a").stopped is None
    assert pair.channel("a").export.status is ExportStatus.FINAL


def test_the_partners_copy_wins_over_a_store_that_forgot_that_it_serves(pair: MemoryPair) -> None:
    """A was set back to when its users were away. It is fenced, and does not go on before B took them over from the reign that A forgot."""
    hand_over(pair, "a")
    saved = backup(pair, "a")
    hand_over(pair, "b")
    write(pair, "a", 2)
    settle(pair)
    set_back(pair, "a", saved)
    settle(pair)
    assert takes_writes(pair) == ()
    with pytest.raises(PoolpairError, match="does not serve the users of a yet"):
        yield_to_partner(pair.sites["a"])
    take_over(pair, "b")
    settle(pair)
    yield_to_partner(pair.sites["a"])
    settle(pair)
    hand_over(pair, "b")
    assert values(pair) == (2, 2)


def test_the_ledger_is_handed_in_once_to_a_store_that_overrules(pair: MemoryPair) -> None:
    """A was set back and wins with many packages; B's ledger goes out before the first of them, and not with each."""
    pair.crash("a")
    write(pair, "a", 1)
    take_over(pair, "b")
    write(pair, "b", 2)
    pair.start("a")
    settle(pair)
    hand_over(pair, "b")
    saved = backup(pair, "a")
    write(pair, "a", 3)
    settle(pair)
    assert versions(pair, "b") == [(1, 2)]
    set_back(pair, "a", saved)
    settle(pair)
    overrule_partner(pair.sites["a"])
    settle(pair)
    assert values(pair) == (2, 2)
    assert versions(pair, "a") == versions(pair, "b") == [(1, 2)]
    handed_in = pair.sites["b"].store.read_all(Recovery, recovery_prefix(USERS))
    assert len(handed_in) == 1


def test_each_decision_waits_for_a_word_that_was_spoken_after_it(pair: MemoryPair) -> None:
    """B's operator decided, it was settled, and must decide again: what A said between the two knows nothing of the second."""
    hand_over(pair, "a")
    site = pair.sites["b"]
    mine = serving(pair, "b")
    forgotten = Reign(home="a", epoch=3, reign_id="f" * 32, began="takeover")

    def decided() -> None:
        with site.store.transaction() as tx:
            tx.save(serving_name("a"), replace(mine, accepts=True))
        site.memory.serving.clear()

    decided()
    assert not adopt(site, mine.reigns, site.clock.monotonic_s() - 1)
    pair.clock.advance(1)
    assert adopt(site, mine.reigns, site.clock.monotonic_s())
    assert not serving(pair, "b").accepts
    assert not adopt(site, mine.reigns, site.clock.monotonic_s())
    between_s = site.clock.monotonic_s()
    pair.clock.advance(1)
    decided()
    assert not adopt(site, (forgotten,), between_s)
    assert serving(pair, "b").accepts
    assert not adopt(site, (forgotten,)), "a package says nothing of when it was cut"
    pair.clock.advance(1)
    assert adopt(site, (forgotten,), site.clock.monotonic_s())
    assert serving(pair, "b").present == forgotten
