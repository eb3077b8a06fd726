"""Who serves a home: the pure rules of serving epochs."""

from __future__ import annotations

from dataclasses import replace

from poolpair.model import Channel, Cookie, Position, Recovered, Reign
from poolpair.reigns import adopted, begun, birth, confirmed, may_merge, news, serves, takes_writes
from poolpair.state import Fencing, Serving

USERS = Channel.USERS
POSITION = Position("s" * 32, 5, "p" * 32)


def reign(epoch: int, name: str, *, complete: bool = True) -> Reign:
    """A reign of home a that began by a takeover."""
    return Reign(home="a", epoch=epoch, reign_id=name, began="takeover", begin={USERS: POSITION}, complete=complete)


def taken(mine: Serving, pool: str, name: str = "t" * 32) -> Serving:
    """The pool takes home a over."""
    partner = "b" if pool == "a" else "a"
    return begun(
        mine,
        pool,
        partner,
        reign_id=name,
        began="takeover",
        token=7,
        begin={USERS: POSITION},
        acknowledged={USERS: POSITION},
        complete=True,
    )


def test_at_birth_everybody_serves_at_home() -> None:
    """Epoch 0 is even."""
    assert serves(birth("a"), "a", "b")
    assert not serves(birth("a"), "b", "a")
    assert news(birth("a"), birth("a").reigns, "b", "a") is None


def test_a_takeover_is_news_to_the_other_pool() -> None:
    """It adopts: the partner serves, nothing is written here any more."""
    found = news(birth("a"), (reign(1, "x"),), "a", "b")
    assert found is not None
    assert not found.own
    fresh = adopted(birth("a"), found)
    assert not serves(fresh, "a", "b")
    assert not takes_writes(fresh, "a", "b")
    assert news(fresh, (reign(1, "x"),), "a", "b") is None


def test_a_number_used_twice_is_news_all_the_same() -> None:
    """A taker that was set back takes over again at the same epoch: another reign."""
    found = news(birth("a"), (reign(1, "x"),), "a", "b")
    assert found is not None
    again = news(adopted(birth("a"), found), (reign(1, "y"),), "a", "b")
    assert again is not None
    assert again.unknown == (reign(1, "y"),)


def test_of_several_reigns_that_were_missed_the_newest_counts() -> None:
    """The older ones are remembered, for what was written since they began."""
    found = news(birth("a"), (reign(1, "x"), reign(3, "z")), "a", "b")
    assert found is not None
    assert [each.epoch for each in found.unknown] == [1, 3]
    fresh = adopted(birth("a"), found)
    assert fresh.present.epoch == 3
    assert {"x", "z"} <= set(fresh.known)


def test_a_lower_epoch_is_no_news() -> None:
    """Who speaks of it was set back, and will hear of ours."""
    ours = replace(birth("a"), reigns=(reign(3, "z"),), known=("z",))
    assert news(ours, (reign(1, "x"),), "a", "b") is None


def test_an_own_reign_that_is_not_known_means_a_set_back() -> None:
    """Nobody becomes the server by hearsay."""
    found = news(birth("a"), (reign(1, "x"),), "b", "a")
    assert found is not None
    assert found.own


def test_a_takeover_goes_to_the_next_epoch_of_its_own_parity() -> None:
    """Odd for the partner, even for the home pool."""
    assert taken(birth("a"), "b").present.epoch == 1
    found = news(birth("a"), (reign(1, "x"),), "a", "b")
    assert found is not None
    assert taken(adopted(birth("a"), found), "a").present.epoch == 2


def test_giving_up_a_handover_goes_above_what_was_handed_out() -> None:
    """The final package may still be applied: its epoch is never used by the pool that handed it out."""
    handing = replace(birth("a"), fencing=Fencing.HANDING)
    assert taken(handing, "a").present.epoch == 2
    assert not takes_writes(handing, "a", "b")


def test_a_reign_stays_open_until_the_partner_has_answered_for_it() -> None:
    """It must know the reign, and have nothing left to hand in on the channel."""
    ours = taken(birth("a"), "b")
    word = Cookie(channel=USERS, origin="a", serial=1, store_id="s" * 32, nonce="n" * 16)
    assert ours.open == (USERS,)
    assert confirmed(ours, word, "b", "a") == ours
    knows = replace(word, homes=(ours.present,), spooled=("a",))
    assert confirmed(ours, knows, "b", "a").open == (USERS,)
    assert confirmed(ours, replace(knows, spooled=()), "b", "a").open == ()


def test_nothing_is_merged_from_who_stood_on_an_older_copy() -> None:
    """A writer that had taken over at less than it once had acknowledged was set back."""
    ours = taken(birth("a"), "b")
    older, newer = replace(POSITION, sequence=4), replace(POSITION, sequence=6)
    assert may_merge(ours, USERS, Recovered(home="a"))
    assert may_merge(ours, USERS, Recovered(home="a", written_after=newer))
    assert not may_merge(ours, USERS, Recovered(home="a", written_after=older))
    assert not may_merge(ours, USERS, Recovered(home="a", written_after=replace(newer, stream="other")))
    assert not may_merge(ours, USERS, Recovered(home="a", merge=False))
    assert not may_merge(replace(ours, open=()), USERS, Recovered(home="a"))
