"""What the page's forms and the API's bodies take: one line of printable text for a reason, and one named entry for a decision."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from poolpair.api.bodies import PauseBody, ReasonBody
from poolpair.api.drills import Drills
from poolpair.api.page.forms import FORMS, Filled
from poolpair.errors import Code, PoolpairError


def filled(**said: str) -> Filled:
    """A form that was sent; nothing of it begins a drill."""
    return Filled(said=said, here="b", drills=Drills(Path("none.toml")), before_move=lambda _pool, _disaster: "")


@pytest.mark.parametrize("entry", [None, "", " ", "all", "--all", "xyz", "abc", "../x", "a" * 65])
def test_a_decision_names_its_entry(entry: str | None) -> None:
    """A form without one decided about every open entry; that is ordered by command or over the API, and said so."""
    said = {"confirm": "b", "choice": "theirs", **({} if entry is None else {"entry": entry})}
    with pytest.raises(PoolpairError) as refused:
        FORMS["decide"].order(filled(**said))
    assert refused.value.code is Code.REQUEST


def test_a_decision_about_one_entry_is_an_order() -> None:
    """Its words name the entry."""
    order = FORMS["decide"].order(filled(confirm="b", choice="ours", entry="d3e76fb3"))
    assert order.words == "ledger resolve d3e76fb3 --ours"


@pytest.mark.parametrize("reason", ["r\u202eevil", "a\x9b31m", "a\u2028b", "a\x85b", "a\nb", "\x1b[31m", "", "x" * 201])
def test_a_reason_is_what_the_command_takes(reason: str) -> None:
    """The page's and the API's alike: status and audit print it on both sides."""
    for body in (PauseBody, ReasonBody):
        with pytest.raises(ValidationError):
            body.model_validate({"reason": reason, **({"confirm": "b"} if body is ReasonBody else {})})
    with pytest.raises(PoolpairError, match="not filled in"):
        FORMS["pause"].order(filled(reason="a\u202eb"))
