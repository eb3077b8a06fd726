"""Who serves a home: the pure rules of serving epochs.

Each home pool has an epoch that only grows: even, its users are served at home; odd, by the partner. A reign is the time of one epoch,
with a random id, since a store that was set back may use a number again. A pool becomes the server by its own takeover, or by finding
its copy equal to a final package. Any other news that it serves means that its own store was set back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from poolpair.model import Channel, Cookie, Position, Recovered, Reign, serving_pool
from poolpair.state import Fencing, Serving


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Reigns that this pool did not know. `own`: they would make it the server, so its store was set back."""

    unknown: tuple[Reign, ...]
    own: bool


def birth(home: str) -> Serving:
    """Served at home, since ever."""
    reign = Reign(home=home)
    return Serving(reigns=(reign,), known=(reign.reign_id,))


def serves(serving: Serving, pool: str, partner: str) -> bool:
    """Whether `pool` is the one that exports this home; it may be fenced all the same."""
    return serving_pool(serving.present, (pool, partner)) == pool


def takes_writes(serving: Serving, pool: str, partner: str) -> bool:
    """Whether the application may write for this home here."""
    return serves(serving, pool, partner) and serving.fencing is Fencing.NONE and serving.stopped is None


def news(mine: Serving, theirs: Iterable[Reign], pool: str, partner: str) -> News | None:
    """What is new in the partner's list of reigns of one home; None if nothing is.

    Reigns below our epoch are no news: a store that was set back speaks of them, and will hear of ours.
    """
    unknown = tuple(reign for reign in theirs if reign.reign_id not in mine.known)
    if not unknown or max(reign.epoch for reign in unknown) < mine.present.epoch:
        return None
    newest = max(unknown, key=lambda reign: reign.epoch)
    ordered = (*(reign for reign in unknown if reign is not newest), newest)
    return News(unknown=ordered, own=serving_pool(newest, (pool, partner)) == pool)


def is_present(mine: Serving, theirs: Iterable[Reign]) -> bool:
    """Whether the newest reign in the partner's list of one home is the one that is ours."""
    newest = max(theirs, key=lambda reign: reign.epoch, default=None)
    return newest is not None and newest.reign_id == mine.present.reign_id


def adopted(mine: Serving, found: News) -> Serving:
    """The newest of them counts, and nothing of an older reign of ours is left."""
    known = (*mine.known, *(reign.reign_id for reign in found.unknown))
    return Serving(reigns=found.unknown[-1:], known=known)


def begun(
    mine: Serving,
    pool: str,
    partner: str,
    *,
    reign_id: str,
    began: str,
    token: int,
    begin: dict[Channel, Position | None],
    acknowledged: dict[Channel, Position | None],
    complete: bool,
) -> Serving:
    """The pool serves from now on: at the next epoch of its own parity, above one that it may have handed out itself."""
    present = mine.present
    own_parity = 0 if present.home == pool else 1
    handed_out = present.epoch + (1 if mine.fencing is Fencing.HANDING else 0)
    epoch = next(number for number in (handed_out + 1, handed_out + 2) if number % 2 == own_parity)
    reign = Reign(home=present.home, epoch=epoch, reign_id=reign_id, began=began, begin=begin, complete=complete)
    unconfirmed = tuple(each for each in mine.reigns if serving_pool(each, (pool, partner)) == pool and each.epoch)
    return Serving(
        reigns=(*unconfirmed, reign),
        known=(*mine.known, reign_id),
        reign_token=token,
        open=tuple(begin),
        acknowledged=acknowledged,
    )


def confirmed(mine: Serving, cookie: Cookie, pool: str, partner: str) -> Serving:
    """The partner names our present reign: older ones need not be told any more, and it says whether it still has groups of ours."""
    present = mine.present
    if not serves(mine, pool, partner) or all(reign.reign_id != present.reign_id for reign in cookie.homes):
        return mine
    still = tuple(channel for channel in mine.open if channel is not cookie.channel or present.home in cookie.spooled)
    return replace(mine, reigns=(present,), open=still)


def may_merge(mine: Serving, channel: Channel, brings: Recovered) -> bool:
    """Whether what a returned pool had may replace what was not changed in this reign; else it stood on an older copy than it once had.

    Nothing may once it has handed in everything: what was changed in this reign is not kept after that; whoever comes again was set back.
    """
    if channel not in mine.open:
        return False
    known = mine.acknowledged.get(channel)
    if not brings.merge or brings.written_after is None or known is None:
        return brings.merge
    stood = brings.written_after
    return stood.stream == known.stream and stood.sequence >= known.sequence


def was_ever_moved(servings: Iterable[Serving]) -> bool:
    """Whether any home was ever served elsewhere than at home; without that there is nothing to recover, and nothing to look for."""
    return any(len(serving.known) > 1 for serving in servings)
