"""The beginning of a first copy: when whole tables are sent, and what follows them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolpair.first_copy import copying, may_copy
from poolpair.model import Channel, Cookie, PackageKind, Position
from poolpair.protocol import Want, packed, want
from poolpair.slice import Slice
from poolpair.state import Intent, Outbound, Seed, SeedPhase

SLICES = tuple(Slice(table=1, low=n, high=n + 1) for n in range(5))
VACANT = Cookie(channel=Channel.USERS, origin="b", serial=1, store_id="0" * 32, nonce="0" * 16, vacant=True)
FRESH = Outbound(stream="1" * 32, heard=True, seed=Seed(), partner=VACANT)
APPLIED = Position("1" * 32, 1, "2" * 32)


def delivered(out: Outbound, wanted: Want) -> Outbound:
    """The package was cut and delivered."""
    position = Position(out.stream, out.next_sequence, f"{out.next_sequence:032x}")
    intent = Intent(position=position, follows=out.base, token=out.base_token, kind=PackageKind.DELTA)
    return replace(packed(out, wanted, intent), next_sequence=out.next_sequence + 1)


def test_whole_tables_are_sent_onto_nothing() -> None:
    """A partner that says it has nothing, and to whom nothing was sent yet, gets slices first."""
    assert may_copy(FRESH)


@pytest.mark.parametrize(
    "out",
    [
        replace(FRESH, partner=replace(VACANT, vacant=False)),
        replace(FRESH, partner=replace(VACANT, applied=APPLIED)),
        replace(FRESH, partner=None),
        replace(FRESH, initialised=True),
        replace(FRESH, acknowledged=APPLIED),
        replace(FRESH, in_flight=(APPLIED,)),
        replace(FRESH, rewinds=1),
        replace(FRESH, seed=None),
        replace(FRESH, seed=Seed(rounds=1)),
        replace(FRESH, seed=Seed(phase=SeedPhase.AWAIT)),
        replace(FRESH, seed=Seed(overrule=True)),
    ],
)
def test_everything_else_is_compared_at_once(out: Outbound) -> None:
    """A partner that has something, or that something was sent to, is asked what differs."""
    assert not may_copy(out)


def test_without_slices_nothing_changes() -> None:
    """A store that does not slice compares at once."""
    assert copying(FRESH, ()) == FRESH


def test_three_slices_are_on_their_way_and_the_comparison_waits_for_all() -> None:
    """Slices follow each other without an acknowledgement, each once; digests are asked for when the last is applied."""
    out = copying(FRESH, SLICES)
    for part in SLICES[:3]:
        wanted = want(out, pending=9, due=True, window=8)
        assert wanted == Want(slices=(part,))
        out = delivered(out, wanted)
    assert want(out, pending=9, due=True, window=8) is None
    for part in SLICES[3:]:
        out = replace(out, in_flight=out.in_flight[1:])
        wanted = want(out, pending=9, due=True, window=8)
        assert wanted == Want(slices=(part,))
        out = delivered(out, wanted)
    assert want(out, pending=9, due=True, window=8) is None
    assert want(replace(out, in_flight=()), pending=9, due=True, window=8) == Want(digests=True)
