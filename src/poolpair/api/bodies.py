"""What an order says: bodies of requests, checked strictly; and what is answered to one that is not carried out at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from poolpair.model import Channel
from poolpair.printable import LINE_MAX, is_line


def _line(text: str) -> str:
    if not is_line(text):
        raise ValueError("expected one line of printable text")
    return text


Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LINE_MAX, pattern=r"^[^\x00-\x1f\x7f]*$"),
    AfterValidator(_line),
]
"""One line of printable text."""
PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
EntryId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{4,64}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OnChannels(_Body):
    """On which channels; on all if none is named."""

    # Words of JSON, not members of the enumeration.
    channels: tuple[Annotated[Channel, Field(strict=False)], ...] = Field(default=(), max_length=3, strict=False)


class VerifyBody(OnChannels):
    """A comparison; with `repair` what differs is sent."""

    repair: bool = False


class PauseBody(OnChannels):
    """Hold packages back."""

    reason: Line


class Confirmed(_Body):
    """A dangerous order repeats the name of the pool that it is about: of the home that moves, else of this pool."""

    confirm: PoolName


class MoveBody(Confirmed):
    """A failover or failback."""

    disaster: bool = False
    """The pool that serves is dead."""
    accept_incomplete: bool = False
    """Serve less than the partner had."""


class DecisionBody(Confirmed):
    """What becomes of a ledger entry: `theirs` is what the returned pool had, `ours` what stands here, `both` is for files."""

    choice: Literal["theirs", "ours", "both"]
    force: bool = False
    """Even if the group was written again since."""


class DecisionsBody(DecisionBody):
    """The same about all entries of a state, of homes that are served here."""

    state: Literal["open", "standing"] = "open"


class HeldBody(Confirmed):
    """What becomes of a held package."""

    decision: Literal["apply", "refuse"]


class SetbackBody(Confirmed):
    """Whose rows hold after this store was set back."""

    side: Literal["ours", "theirs"]


class ReasonBody(Confirmed):
    """Why the fence is taken away, or the gate opened."""

    reason: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """It is noted, and the service does it; `see` is where to look how far it is."""

    accepted: str
    see: str = "/v1/status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing(Accepted):
    """Nothing is to be done: it is so already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """It is done."""

    done: str
    count: int = 1
