"""What `status` says for people: every line that asks for attention carries its code, which OPERATING explains."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from poolpair.cli.look import _export
from poolpair.errors import CATALOGUE, Code
from poolpair.model import Channel, ExportStatus, Fault, ImportStatus
from poolpair.status import ChannelStatus, ExportView, ImportView, PairStatus, Reason, Watermarks
from poolpair.wording import remarks

EXPORT = ExportView(
    status=ExportStatus.FINAL,
    reason=Reason.NONE,
    watermarks=Watermarks(acknowledged=1, applied=1, delivered=1, packed=1, captured=1),
    lag_s=0.0,
    pending_groups=0,
    in_flight=0,
    in_flight_bytes=0,
    word_age_s=1.0,
    pieces=(),
    left_behind=(),
    rewinds=0,
    replays=0,
    last_verify=None,
    fault=None,
    partner_import=ImportStatus.NORMAL,
    partner_parked=0,
    partner_held=0,
    partner_unhomed=0,
    partner_quarantined=0,
    partner_foreign_writes=0,
    partner_waiting=(),
    partner_fault=None,
)
IMPORT = ImportView(
    status=ImportStatus.NORMAL,
    applied=1,
    packages=1,
    groups=1,
    rows=1,
    reach_age_s=None,
    applied_utc="2026-01-01T00:00:00+00:00",
    standing=0,
    standing_bytes=0,
    complete=("b",),
    expected=("b",),
    parked=0,
    held=0,
    unhomed=0,
    foreign_writes=0,
    quarantined=0,
    superseded=0,
    waiting=(),
    fault=None,
    partner_sending=None,
)
FAULT = Fault(code=Code.SHARE_FULL, detail="no space is left", since_utc="2026-01-01")


def said(*, export: ExportView = EXPORT, imports: ImportView = IMPORT, running: bool = True) -> list[str]:
    """The lines that ask for attention."""
    channel = ChannelStatus(channel=Channel.USERS, module="m", export=export, imports=imports)
    found = PairStatus(
        pool="a",
        partner="b",
        at_utc="",
        service_running=running,
        front_end="fe",
        homes_served=("a",),
        word_age_s=42.0,
        channels=(channel,),
    )
    return [remark.line for remark in remarks(found)]


def test_nothing_is_said_when_nothing_asks_for_attention() -> None:
    """A healthy pair gives no remark."""
    assert said() == []


COUNTS = [
    ("parked", "parked", Code.PARKED),
    ("held", "held", Code.HELD),
    ("unhomed", "unhomed", Code.UNHOMED),
    ("foreign_writes", "foreign writes", Code.FOREIGN_WRITES),
    ("quarantined", "quarantined", Code.DAMAGED),
]


@pytest.mark.parametrize(("field", "name", "code"), COUNTS)
def test_every_count_has_its_code_on_either_side(field: str, name: str, code: Code) -> None:
    """Here and at the partner: how many, of what, the code, and what to do."""
    hint = CATALOGUE[code].hint
    here = said(imports=replace(IMPORT, **{field: 3}))  # type: ignore[arg-type]
    assert here == [f"users here: 3 {name} ({code}); {hint}"]
    there = said(export=replace(EXPORT, **{f"partner_{field}": 2}))  # type: ignore[arg-type]
    # What somebody changed at b is undone at the pool whose rows they are, and not at b.
    where = "" if code is Code.FOREIGN_WRITES else " (at b)"
    assert there == [f"users at b: 2 {name} ({code}); {hint}{where}"]


def test_conferences_left_behind_have_their_code() -> None:
    """They are counted, five are named, and P308 says what to do."""
    (line,) = said(export=replace(EXPORT, left_behind=("one", "two", "three", "four", "five", "six")))
    assert line.startswith("users here: 6 conferences wait (P308), too large")
    assert "one, two, three, four, five; " in line
    assert line.endswith(CATALOGUE[Code.TOO_LARGE].hint)


def test_faults_silence_and_a_missing_service_have_their_codes() -> None:
    """Each of the other lines begins its words with a code and ends with what to do."""
    assert said(export=replace(EXPORT, fault=FAULT))[0].startswith("users export: P213 no space is left")
    assert said(imports=replace(IMPORT, fault=FAULT))[0].startswith("users import: P213 no space is left")
    assert said(export=replace(EXPORT, partner_fault=FAULT))[0].startswith("users at b: P213 no space is left")
    silent = replace(EXPORT, status=ExportStatus.NON_STEADY, reason=Reason.PARTNER_SILENT)
    assert said(export=silent)[0].startswith("P402: no fresh word from b for 42 s")
    assert said(running=False)[0].startswith("P406: no service runs for this pool")


def test_no_line_is_without_code_and_hint() -> None:
    """Everything at once: each line names one code of the catalogue and ends with a hint."""
    export = replace(EXPORT, left_behind=("one",), fault=FAULT, partner_fault=FAULT, reason=Reason.PARTNER_SILENT)
    export = replace(export, **{f"partner_{field}": 1 for field, _, _ in COUNTS})  # type: ignore[arg-type]
    imports = replace(IMPORT, fault=FAULT, **{field: 1 for field, _, _ in COUNTS})  # type: ignore[arg-type]
    lines = said(export=export, imports=imports)
    assert len(lines) == 15
    for line in lines:
        (code,) = re.findall(r"P\d{3}", line)
        assert line.removesuffix(" (at b)").endswith(f"; {CATALOGUE[Code(code)].hint}"), line


def test_a_package_in_pieces_says_how_far_it_is() -> None:
    """Else a large one under a cap looks as if nothing went."""
    found = PairStatus(
        pool="a",
        partner="b",
        at_utc="",
        service_running=True,
        front_end="fe",
        homes_served=("a",),
        word_age_s=1.0,
        channels=(),
    )
    lines = [line.plain for line in _export(replace(EXPORT, pieces=(300, 1024)), found)]
    assert "300 of 1,024 bytes of the next package are at b" in lines
