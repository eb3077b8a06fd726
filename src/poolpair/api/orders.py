"""What an operator may order, as values: the words of the audit, and a decision that the commands take by the same function.

The routes and the page's forms only parse and answer. What the service carries out is `Accepted`; without a service nothing is ordered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from poolpair import decisions
from poolpair.api.bodies import (
    Accepted,
    Confirmed,
    DecisionBody,
    Done,
    HeldBody,
    MoveBody,
    Nothing,
    OnChannels,
    PauseBody,
    ReasonBody,
    SetbackBody,
    VerifyBody,
)
from poolpair.api.drills import Drills
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel
from poolpair.pipeline.site import Site
from poolpair.serving.gate import close_by_hand, is_gated, open_by_hand
from poolpair.serving.ordering import Act, act_for, carry_out
from poolpair.store.values import Choice

Verb = Literal["failover", "failback"]
BeforeMove = Callable[[str, bool], str]
"""Of a failover of a pool, perhaps after a disaster: raises if something else moves first, gives what is to be said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order."""

    words: str
    do: Callable[[Site], Done | Accepted]


class Unconfirmed(PoolpairError):
    """A dangerous order that does not repeat the name that it is about."""


def refuse_unconfirmed(body: Confirmed, name: str) -> None:
    """Raises Unconfirmed (REQUEST) unless the order repeats the name that it is about."""
    if body.confirm != name:
        detail = f"a dangerous order repeats the name of the pool: `confirm` must be {name!r}, and is {body.confirm!r}"
        raise Unconfirmed(Code.REQUEST, detail, "nothing was changed; look twice, and repeat the name")


def sync(body: OnChannels) -> Order:
    """Force one cycle."""

    def do(site: Site) -> Accepted:
        _need_service(site)
        channels = _chosen(site, body)
        decisions.resume_refused(site, channels)
        decisions.request(site, channels, rescan=True)
        return Accepted(accepted=f"sync of {', '.join(channels)}")

    return Order(words=f"sync{_named(body)}", do=do)


def verify(body: VerifyBody) -> Order:
    """Compare the partner's copy with the original."""

    def do(site: Site) -> Accepted:
        _need_service(site)
        channels = _chosen(site, body)
        for channel in channels:
            decisions.begin_verify(site, channel, repair=body.repair)
        decisions.nudge(site)
        return Accepted(accepted=f"verify of {', '.join(channels)}")

    return Order(words=f"verify{' --repair' if body.repair else ''}{_named(body)}", do=do)


def pause(body: PauseBody) -> Order:
    """Send no packages."""

    def do(site: Site) -> Done:
        channels = _chosen(site, body)
        decisions.pause(site, channels, body.reason)
        return Done(done=f"paused {', '.join(channels)}", count=len(channels))

    return Order(words=f"pause{_named(body)}: {body.reason}", do=do)


def resume(body: OnChannels) -> Order:
    """Send what was held back."""

    def do(site: Site) -> Done:
        resumed = decisions.resume(site, _chosen(site, body))
        return Done(done=f"resumed {', '.join(resumed) or 'nothing'}", count=len(resumed))

    return Order(words=f"resume{_named(body)}", do=do)


def move(pool: str, verb: Verb, body: MoveBody, before_move: BeforeMove, *, abort: bool = False) -> Order:
    """A failover or failback, or its end. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, pool)
    incomplete = " --accept-incomplete" if body.accept_incomplete else ""
    words = f"{verb} {pool}{' --disaster' if body.disaster else ''}{incomplete}{' --abort' if abort else ''}"

    def do(site: Site) -> Accepted:
        said = before_move(pool, body.disaster) if verb == "failover" and not abort else ""
        act = act_for(site, pool, away=verb == "failover", disaster=body.disaster, abort=abort)
        heard = f"{words}: {act}{f'; {said}' if said else ''}"
        if act is Act.NOTHING:
            return Nothing(accepted=heard, see="/v1/plans")
        _need_service(site)
        carry_out(site, act, pool, disaster=body.disaster, accept_incomplete=body.accept_incomplete)
        decisions.nudge(site)
        return Accepted(accepted=heard, see="/v1/plans")

    return Order(words=words, do=do)


def drill(drills: Drills, pool: str, body: Confirmed) -> Order:
    """Rehearse a disaster. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, pool)

    def do(site: Site) -> Accepted:
        if pool not in site.homes or pool in site.served():
            detail = f"the users of {pool} are not served by {site.partner}: there is nothing to take over here"
            raise PoolpairError(Code.USAGE, detail)
        drills.begin(pool)
        return Accepted(accepted=f"drill of {pool}")

    return Order(words=f"drill {pool}", do=do)


def decide(here: str, entry_id: str | None, body: DecisionBody, state: Choice = Choice.OPEN) -> Order:
    """Decide about one entry of the ledger, or (None) all of a state. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, here)
    which = entry_id or ("--all" if state is Choice.OPEN else f"--{state}")
    choice = Choice(body.choice)

    def do(site: Site) -> Done | Accepted:
        if choice is Choice.THEIRS and site.closes_application:
            mine = decisions.chosen_entries(site, entry_id, choice, state=state)
            decisions.order_resolution(site, mine, choice, force=body.force)
            return Accepted(accepted=f"{len(mine)} are decided when the application has let go", see="/v1/ledger")
        done = decisions.resolve_ledger(site, entry_id, choice, force=body.force, state=state)
        if not done:
            decisions.refuse_elsewhere(site, state)
        return Done(done="decided", count=done)

    return Order(words=f"ledger resolve {which} --{choice}{' --force' if body.force else ''}", do=do)


def held(here: str, channel: Channel, body: HeldBody) -> Order:
    """Apply a held package after all, or refuse it. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, here)
    take = decisions.approve_held if body.decision == "apply" else decisions.refuse_held
    words = f"held {body.decision} {channel}"
    return _simple(words, lambda site: take(site, channel))


def setback(here: str, body: SetbackBody) -> Order:
    """Whose rows hold after this store was set back. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, here)
    go_on = decisions.overrule_partner if body.side == "ours" else decisions.yield_to_partner
    words = f"setback resolve --{body.side}"
    return Order(words=words, do=lambda site: Done(done=words, count=len(go_on(site))))


def retry(group_id: int) -> Order:
    """Try a parked group again."""
    words = f"parked retry {group_id}"

    def do(site: Site) -> Done:
        tried = decisions.retry_parked(site, group_id)
        return Done(done=words, count=sum(reason is None for _, reason in tried))

    return Order(words=words, do=do)


def drop(here: str, group_id: int, body: Confirmed) -> Order:
    """Throw a parked group away. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, here)
    return _simple(f"parked drop {group_id}", lambda site: decisions.drop_parked(site, group_id))


def fence_off(here: str, body: ReasonBody) -> Order:
    """Let the application write for everybody. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, here)
    return _simple(f"fence off: {body.reason}", lambda site: decisions.take_fence_away(site, body.reason))


def fence_on() -> Order:
    """Refuse again what is not served here."""
    return _simple("fence on", decisions.put_fence_back)


def gate_open(here: str, body: ReasonBody) -> Order:
    """Serve although the partner is not heard. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, here)
    return _of_gate(f"gate open: {body.reason}", lambda site: open_by_hand(site, body.reason))


def gate_close(here: str, body: Confirmed) -> Order:
    """Serve nothing until a service has confirmed that this pool still may. Raises REQUEST if the name is not repeated."""
    refuse_unconfirmed(body, here)
    return _of_gate("gate close", close_by_hand)


def _of_gate(words: str, turn: Callable[[Site], None]) -> Order:
    def do(site: Site) -> Done:
        if not is_gated(site):
            raise PoolpairError(Code.USAGE, "this pool has no gate", "set `at_start` or `self_fence_after` in [gate]")
        turn(site)
        decisions.nudge(site)
        return Done(done=words)

    return Order(words=words, do=do)


def _simple(words: str, change: Callable[[Site], None]) -> Order:
    def do(site: Site) -> Done:
        change(site)
        return Done(done=words)

    return Order(words=words, do=do)


def _need_service(site: Site) -> None:
    if site.store.lease_holder() is None:
        raise PoolpairError(Code.SERVICE_DOWN, "no service runs for this pool: nobody would carry this out")


def _named(body: OnChannels) -> str:
    """The channels, as the audit says them; nothing where all are meant."""
    return "".join(f" {channel}" for channel in dict.fromkeys(body.channels))


def _chosen(site: Site, body: OnChannels) -> tuple[Channel, ...]:
    if absent := [channel for channel in body.channels if channel not in site.channels]:
        raise PoolpairError(Code.REQUEST, f"this pair has no channel {absent[0]}")
    return tuple(dict.fromkeys(body.channels)) or site.channels
