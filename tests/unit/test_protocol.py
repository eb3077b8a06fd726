"""The origin's decisions on a cookie, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolpair.errors import Code
from poolpair.model import Answer, BucketSet, Channel, Cookie, Position, RefusedPackage
from poolpair.protocol import Freshness, Want, hear, packed, want
from poolpair.state import Intent, Outbound, Seed, SeedPhase

STREAM = "5" * 32
FRESH = Freshness(after_acknowledgement=True, after_delivery=True)
STALE = Freshness(after_acknowledgement=False, after_delivery=False)


def position(sequence: int, stream: str = STREAM) -> Position:
    """A position whose package id tells its sequence."""
    return Position(stream, sequence, f"{sequence:032x}")


class Origin:
    """An origin that has made packages 1 to n, each following the one before; acknowledged up to `acknowledged`."""

    def __init__(self, made: int, acknowledged: int) -> None:
        self.intents = {
            position(n): Intent(position=position(n), follows=position(n - 1) if n > 1 else None, token=n * 10)
            for n in range(1, made + 1)
        }
        self.out = Outbound(
            stream=STREAM,
            next_sequence=made + 1,
            acknowledged=position(acknowledged) if acknowledged else None,
            acknowledged_token=acknowledged * 10,
            base=position(made) if made else None,
            base_token=made * 10,
            heard=True,
            in_flight=tuple(position(n) for n in range(acknowledged + 1, made + 1)),
            initialised=True,
        )

    def hear(
        self, applied: Position | None, fresh: Freshness = FRESH, standing: tuple[int, ...] = (), **more: object
    ) -> Outbound:
        """Take in a cookie."""
        cookie = Cookie(
            channel=Channel.USERS, origin="b", serial=7, store_id="s", nonce="n", applied=applied, standing=standing
        )
        return hear(self.out, replace(cookie, **more), self.intents.get, fresh, "now")  # type: ignore[arg-type]


def test_an_acknowledgement_needs_no_freshness() -> None:
    """What was applied stays applied: an old cookie may still acknowledge."""
    out = Origin(made=3, acknowledged=1).hear(position(2), STALE)
    assert out.acknowledged == position(2)
    assert out.acknowledged_token == 20
    assert out.in_flight == (position(3),)


def test_a_lost_package_rewinds_only_on_a_fresh_word() -> None:
    """A package neither applied nor standing is packed again, from the applied position, one at a time."""
    origin = Origin(made=3, acknowledged=1)
    assert origin.hear(position(1), STALE).in_flight == origin.out.in_flight
    out = origin.hear(position(1))
    assert (out.base, out.base_token, out.in_flight) == (position(1), 10, ())
    assert out.one_at_a_time
    assert out.rewinds == 1


def test_a_standing_package_is_not_lost() -> None:
    """While the next package stands at the partner, the origin waits."""
    origin = Origin(made=3, acknowledged=1)
    assert origin.hear(position(1), standing=(2, 3)).in_flight == (position(2), position(3))


def test_a_standing_package_that_follows_nothing_is_lost() -> None:
    """If what stands does not follow what was applied, it would wait for ever: the origin rewinds."""
    origin = Origin(made=3, acknowledged=1)
    third = replace(origin.intents[position(3)], follows=position(1))
    origin.intents[position(3)] = third
    out = origin.hear(position(2), standing=(3,))
    assert (out.acknowledged, out.base, out.in_flight) == (position(2), position(2), ())


def test_a_refused_package_rewinds_at_once() -> None:
    """A refusal in the cookie is enough; nobody waits for freshness."""
    refused = (RefusedPackage(package_id=position(2).package_id, code=Code.DAMAGED),)
    out = Origin(made=2, acknowledged=1).hear(position(1), STALE, refused=refused)
    assert (out.base, out.in_flight) == (position(1), ())


def test_an_operators_refusal_stops_the_channel() -> None:
    """What the partner's operator refused is not sent again without a word from here."""
    refused = (RefusedPackage(package_id=position(2).package_id, code=Code.HELD),)
    out = Origin(made=2, acknowledged=1).hear(position(1), refused=refused)
    assert out.stopped is not None
    assert out.stopped.code is Code.REFUSED_BY_PARTNER
    assert want(out, pending=5, due=True, window=8) is None


def test_an_older_word_is_a_replay_unless_fresh() -> None:
    """An older position lowers nothing: stale it is counted, fresh it starts a comparison."""
    origin = Origin(made=3, acknowledged=3)
    stale = origin.hear(position(2), STALE)
    assert (stale.replays, stale.acknowledged, stale.seed) == (1, position(3), None)
    cured = origin.hear(position(2))
    assert cured.acknowledged == position(3)
    assert cured.acknowledged_token == 30
    assert cured.seed is not None
    assert cured.seed.phase is SeedPhase.ASK
    assert (cured.base, cured.base_token) == (position(2), 30)


def test_a_cured_set_back_is_not_found_twice() -> None:
    """While the seed is on its way, the same old position in later cookies is no news."""
    origin = Origin(made=3, acknowledged=3)
    origin.out = origin.hear(position(2))
    again = origin.hear(position(2))
    assert again.rewinds == origin.out.rewinds


def test_who_overrules_goes_on_overruling_a_partner_that_is_set_back_meanwhile() -> None:
    """What the partner has of the lost future must not be merged only because its store was set back as well."""
    origin = Origin(made=3, acknowledged=3)
    origin.out = replace(origin.out, seed=Seed(reason="this store was set back and wins", overrule=True))
    assert origin.hear(position(2)).seed == Seed(reason="this store was set back and wins", overrule=True)


def test_an_emptied_target_is_a_set_back_too() -> None:
    """A partner that suddenly applied nothing is seeded, from no position at all."""
    out = Origin(made=3, acknowledged=3).hear(None)
    assert out.base is None
    assert out.seed is not None


def test_an_unknown_position_stops_the_channel() -> None:
    """A position that this store never made means that it was set back; a person decides."""
    out = Origin(made=3, acknowledged=3).hear(position(4))
    assert out.stopped is not None
    assert out.stopped.code is Code.STORE_SET_BACK


def test_an_old_word_of_an_overruled_stream_asks_nobody_again() -> None:
    """The operator let this store win: a replayed cookie that speaks of the lost future is told from a partner that is there."""
    origin = Origin(made=3, acknowledged=3)
    origin.out = replace(origin.out, overruled=("lost",))
    lost = Position("lost", 9, "9" * 32)
    assert origin.hear(lost, STALE).stopped is None
    assert origin.hear(lost, STALE).replays == origin.out.replays + 1
    assert origin.hear(lost).stopped is not None
    assert origin.hear(position(4), STALE).stopped is not None


def test_a_delivery_that_was_not_recorded_moves_the_base() -> None:
    """After a crash between delivery and record, the partner's word puts the base right."""
    origin = Origin(made=3, acknowledged=1)
    origin.out = replace(origin.out, base=position(2), base_token=20, in_flight=(position(2),))
    out = origin.hear(position(3))
    assert (out.base, out.base_token, out.in_flight) == (position(3), 30, ())


def test_an_older_serial_does_not_change_the_view() -> None:
    """A replayed cookie of the same position does not bring back an older status of the partner."""
    origin = Origin(made=3, acknowledged=3)
    origin.out = origin.hear(position(3), parked=2)
    out = origin.hear(position(3), STALE, serial=6, parked=0)
    assert out.partner is not None
    assert out.partner.parked == 2


BUCKETS = BucketSet(home="a", table=1, of=4096, buckets=tuple(range(1500)))


def test_a_comparison_goes_ask_await_send_ask() -> None:
    """Digests, the answer, the differing buckets in parts, then digests again until nothing differs."""
    origin = Origin(made=0, acknowledged=0)
    origin.out = replace(origin.out, initialised=False, seed=Seed())
    asked = want(origin.out, pending=0, due=False, window=8)
    assert asked == Want(digests=True)
    origin.intents[position(1)] = Intent(position=position(1), follows=None, token=10)
    origin.out = packed(origin.out, asked, origin.intents[position(1)])
    assert want(origin.out, pending=0, due=True, window=8) is None
    origin.out = origin.hear(position(1), answer=Answer(package_id=position(1).package_id, differs=(BUCKETS,)))
    first = want(origin.out, pending=0, due=False, window=8)
    assert first is not None
    assert len(first.buckets[0].buckets) == 1024
    origin.intents[position(2)] = Intent(position=position(2), follows=position(1), token=20)
    origin.out = packed(origin.out, first, origin.intents[position(2)])
    origin.out = origin.hear(position(2))
    second = want(origin.out, pending=0, due=False, window=8)
    assert second is not None
    assert second.buckets[0].buckets == tuple(range(1024, 1500))
    origin.intents[position(3)] = Intent(position=position(3), follows=position(2), token=30)
    origin.out = packed(origin.out, second, origin.intents[position(3)])
    origin.out = origin.hear(position(3))
    assert origin.out.seed is not None
    assert origin.out.seed.phase is SeedPhase.ASK


def test_an_equal_answer_ends_the_comparison() -> None:
    """With nothing that differs the copy is complete."""
    origin = Origin(made=1, acknowledged=1)
    origin.out = replace(origin.out, initialised=False, seed=Seed(phase=SeedPhase.AWAIT, asked=position(1)))
    out = origin.hear(position(1), answer=Answer(package_id=position(1).package_id))
    assert out.seed is None
    assert out.initialised
    assert out.last_verify is not None
    assert out.last_verify.equal


def test_an_answer_to_another_package_is_no_answer() -> None:
    """What was equal then says nothing of the digests that were sent since."""
    origin = Origin(made=2, acknowledged=1)
    origin.out = replace(origin.out, initialised=False, seed=Seed(phase=SeedPhase.AWAIT, asked=position(2)))
    out = origin.hear(position(2), answer=Answer(package_id=position(1).package_id))
    assert out.seed == origin.out.seed
    assert not out.initialised


def test_a_comparison_without_repair_finishes_no_first_copy() -> None:
    """It only says that something differs."""
    origin = Origin(made=1, acknowledged=1)
    origin.out = replace(
        origin.out, initialised=False, seed=Seed(phase=SeedPhase.AWAIT, asked=position(1), repair=False)
    )
    out = origin.hear(position(1), answer=Answer(package_id=position(1).package_id, differs=(BUCKETS,)))
    assert out.seed is None
    assert not out.initialised


@pytest.mark.parametrize(("pending", "due", "expected"), [(0, True, None), (3, False, None), (3, True, Want())])
def test_a_delta_needs_changes_and_a_due_time(pending: int, due: bool, expected: Want | None) -> None:
    """Without changes nothing is packed; with changes only when it is due."""
    assert want(Origin(made=3, acknowledged=3).out, pending=pending, due=due, window=8) == expected


def test_nothing_is_packed_before_the_first_word() -> None:
    """Before the partner was heard nobody knows what a package would follow."""
    out = replace(Origin(made=0, acknowledged=0).out, heard=False, seed=Seed())
    assert want(out, pending=3, due=True, window=8) is None


def test_the_window_bounds_what_is_in_flight() -> None:
    """No more packages than the window are on their way."""
    assert want(Origin(made=8, acknowledged=0).out, pending=3, due=True, window=8) is None


def test_a_package_refused_by_the_name_of_its_file_is_sent_anew() -> None:
    """Its manifest could not be read there, so the partner names it by eight digits: the origin knows it all the same."""
    origin = Origin(made=2, acknowledged=1)
    made = replace(position(2), package_id="c0ffee42" + "1" * 24)
    origin.intents[made] = replace(origin.intents[position(2)], position=made)
    origin.out = replace(origin.out, base=made, in_flight=(made,))
    for named, rewinds in (("c0ffee42", 1), ("c0ffee43", 0), ("c0ffee4", 0), ("", 0), (made.package_id, 1)):
        refused = (RefusedPackage(package_id=named, code=Code.DAMAGED),)
        out = origin.hear(position(1), STALE, standing=(2,), refused=refused)
        assert out.rewinds == rewinds, named
        assert out.in_flight == (() if rewinds else (made,))


def test_what_is_sent_in_vain_keeps_the_pace_of_the_interval() -> None:
    """After a few rewinds without an acknowledgement nothing leaves before it is due; an acknowledgement ends that."""
    origin = Origin(made=1, acknowledged=1)
    tired = replace(origin.out, in_vain=4)
    assert want(tired, pending=1, due=False, window=8) is None
    assert want(tired, pending=1, due=True, window=8) == Want()
    origin = Origin(made=2, acknowledged=1)
    origin.out = replace(origin.out, in_vain=4)
    assert origin.hear(position(2)).in_vain == 0


WAITS = ("table item waits: column more is lacking here",)


def test_a_table_that_waits_keeps_a_comparison_open() -> None:
    """Nothing is asked while it waits, changes of other tables go on; when it waits no more both copies are compared."""
    origin = Origin(made=1, acknowledged=1)
    origin.out = origin.hear(position(1), waiting=WAITS)
    assert origin.out.seed is not None
    assert origin.out.seed.phase is SeedPhase.WAIT
    assert want(origin.out, pending=0, due=True, window=8) is None
    assert want(origin.out, pending=1, due=True, window=8) == Want()
    assert origin.hear(position(1), waiting=WAITS).seed == origin.out.seed
    for waiting, doubts in (((), False), (WAITS, True)):
        seed = origin.hear(position(1), waiting=waiting, doubts=doubts).seed
        assert seed is not None
        assert seed.phase is SeedPhase.ASK


@pytest.mark.parametrize("repair", [True, False])
def test_what_waits_is_not_equal(repair: bool) -> None:
    """An answer without differing buckets ends no first copy and no repair while a table waits, and a plain comparison says unequal."""
    origin = Origin(made=1, acknowledged=1)
    seed = Seed(phase=SeedPhase.AWAIT, asked=position(1), repair=repair)
    origin.out = replace(origin.out, initialised=False, seed=seed)
    out = origin.hear(position(1), answer=Answer(package_id=position(1).package_id), waiting=WAITS)
    assert not out.initialised
    assert out.last_verify is not None
    assert not out.last_verify.equal
    assert (out.seed.phase if out.seed else None) == (SeedPhase.WAIT if repair else None)


def test_an_answer_of_a_copy_in_doubt_is_asked_for_again() -> None:
    """The partner's tables changed after it had compared: what it found says nothing of what is there now."""
    origin = Origin(made=1, acknowledged=1)
    origin.out = replace(origin.out, seed=Seed(phase=SeedPhase.AWAIT, asked=position(1)))
    out = origin.hear(position(1), answer=Answer(package_id=position(1).package_id), doubts=True)
    assert out.seed is not None
    assert out.seed.phase is SeedPhase.ASK
    assert out.last_verify is None
