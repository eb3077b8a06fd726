"""The export status: the first match of the list wins, and nothing is green that the partner's word does not prove."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolpair.errors import Code
from poolpair.model import Channel, Cookie, ExportStatus, Fault, Position
from poolpair.state import Outbound, Seed
from poolpair.status import Reason, export_status

APPLIED = Position("5" * 32, 7, "7" * 32)
WORD = Cookie(
    channel=Channel.USERS, origin="b", serial=1, store_id="b" * 32, nonce="1" * 16, applied=APPLIED, complete=("a",)
)
REST = Outbound(
    stream=APPLIED.stream,
    next_sequence=8,
    acknowledged=APPLIED,
    base=APPLIED,
    heard=True,
    initialised=True,
    partner=WORD,
)
FAULT = Fault(code=Code.SHARE_FULL, detail="no space is left")


def _status(
    out: Outbound, *, pending: int = 0, unhomed: int = 0, lag_s: float = 0.0, word_age_s: float | None = 1.0
) -> tuple[ExportStatus, Reason]:
    return export_status(
        out,
        served=("a",),
        pending=pending,
        unhomed=unhomed,
        lag_s=lag_s,
        interval_s=120.0,
        heartbeat_s=10.0,
        word_age_s=word_age_s,
    )


def test_final_needs_everything() -> None:
    """Nothing pending, nothing in flight, no comparison, a fresh word, and a copy that lacks nothing."""
    assert _status(REST) == (ExportStatus.FINAL, Reason.NONE)
    assert _status(REST, pending=1)[0] is ExportStatus.STEADY
    assert _status(REST, unhomed=1)[0] is ExportStatus.STEADY
    assert _status(replace(REST, in_flight=(APPLIED,)))[0] is ExportStatus.STEADY
    assert _status(replace(REST, seed=Seed(repair=False)))[0] is ExportStatus.STEADY


@pytest.mark.parametrize(
    "word",
    [replace(WORD, parked=1), replace(WORD, held=1), replace(WORD, unhomed=1), replace(WORD, foreign_writes=1)],
    ids=["parked", "held", "unhomed", "foreign"],
)
def test_what_the_copy_lacks_makes_final_impossible(word: Cookie) -> None:
    """One parked, held or unhomed group at the partner, or one row that somebody changed there, is enough."""
    assert _status(replace(REST, partner=word))[0] is ExportStatus.STEADY


def test_a_copy_that_was_found_to_differ_is_never_steady() -> None:
    """A home whose complete mark the partner took back is said, until a comparison proved it equal again."""
    incomplete = replace(REST, partner=replace(WORD, complete=("b",)))
    assert _status(incomplete) == (ExportStatus.NON_STEADY, Reason.INCOMPLETE)
    assert _status(replace(REST, partner=None)) == (ExportStatus.NON_STEADY, Reason.INCOMPLETE)


def test_silence_comes_before_everything_but_errors() -> None:
    """Without a fresh word nothing is green; an own failure is said first."""
    assert _status(REST, word_age_s=None) == (ExportStatus.NON_STEADY, Reason.PARTNER_SILENT)
    assert _status(REST, word_age_s=30.0) == (ExportStatus.NON_STEADY, Reason.PARTNER_SILENT)
    assert _status(replace(REST, fault=FAULT), word_age_s=None)[0] is ExportStatus.ERROR
    assert _status(replace(REST, initialised=False)) == (ExportStatus.NOT_INITIALIZED, Reason.COMPARING)


def test_a_backlog_is_older_than_two_intervals() -> None:
    """The oldest unacknowledged change decides, not how many there are."""
    assert _status(REST, pending=9, lag_s=240.0)[0] is ExportStatus.STEADY
    assert _status(REST, pending=1, lag_s=240.1) == (ExportStatus.NON_STEADY, Reason.BACKLOG)
    assert _status(replace(REST, seed=Seed()), pending=1, lag_s=999.0) == (ExportStatus.NON_STEADY, Reason.COMPARING)
