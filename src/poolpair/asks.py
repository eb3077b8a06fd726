"""Asks: a planned command given at the pool that does not serve, carried to the one that does. What each side remembers of one.

An ask stands in the store of its maker and travels in each of its cookies on the users channel, until the partner's answer to its id is
final. The partner keeps its answer as long as the reign lasts in which the ask was made, and answers the same id the same for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from poolpair.model import Ask, Cookie

ASK_LIES_S = 900.0
"""An ask without an answer for so long is withdrawn by itself: its operator has given up waiting."""


class AskVerb(StrEnum):
    """What the partner is asked to do."""

    HANDOVER = "handover"
    GIVE_UP = "give up"


class AskAnswer(StrEnum):
    """What became of an ask. Only `ACCEPTED` is not the end."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DONE = "done"
    ABORTED = "aborted"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskMade:
    """The last ask of this pool for a home."""

    ask: Ask
    made_s: float
    """Monotonic time, within one boot."""
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskTaken:
    """An ask of the partner, with the answer to it."""

    ask: Ask
    plan_id: str = ""
    """The plan that carries it out."""


MADE = "ask/"
TAKEN = "asked/"


def made_name(home: str) -> str:
    """The document of the last ask made here for a home."""
    return f"{MADE}{home}"


def taken_name(ask_id: str) -> str:
    """The document of the answer to an ask of the partner."""
    return f"{TAKEN}{ask_id}"


def is_open(ask: Ask) -> bool:
    """Whether its maker still waits for the end."""
    return ask.answer in (None, AskAnswer.ACCEPTED)


def asks_to_tell(made: Iterable[AskMade]) -> tuple[Ask, ...]:
    """What this pool asks for, and what it has heard of it: an ask that was once answered is not begun by a partner that forgot."""
    return tuple(replace(each.ask, detail="", hint="") for each in made if is_open(each.ask))


def answers_to_tell(taken: Iterable[AskTaken], partner: Cookie | None) -> tuple[Ask, ...]:
    """Answers to what the partner asks for now, and to whatever is under way."""
    standing = {ask.ask_id for ask in partner.asks} if partner else set()
    return tuple(each.ask for each in taken if each.ask.ask_id in standing or each.ask.answer == AskAnswer.ACCEPTED)


def words_of(ask: Ask, partner: str) -> str:
    """An open ask as `status` shows it and its command prints it; empty for one that is over."""
    if not is_open(ask):
        return ""
    if ask.answer is None:
        return f"{ask.verb}: asked of {partner} at {ask.since_utc[:19]} UTC, no answer yet"
    return f"{ask.verb} at {partner}{f': {ask.detail}' if ask.detail else ''}"
