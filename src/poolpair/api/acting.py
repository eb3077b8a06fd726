"""Requests that order something. 200: it is done; 202: the service does it, and `see` says where to look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from poolpair.api import orders
from poolpair.api.access import Bearer
from poolpair.api.bodies import (
    Accepted,
    Confirmed,
    DecisionBody,
    DecisionsBody,
    Done,
    EntryId,
    HeldBody,
    MoveBody,
    OnChannels,
    PauseBody,
    PoolName,
    ReasonBody,
    SetbackBody,
    VerifyBody,
)
from poolpair.api.desk import Desk
from poolpair.api.orders import Order, Verb
from poolpair.api.reading import answer
from poolpair.model import Channel
from poolpair.store.values import Choice

GroupId = Annotated[int, Path(ge=0, lt=2**63)]
LATER: dict[str, Any] = {"response_model": Accepted, "status_code": 202}
EITHER: dict[str, Any] = {"response_model": Done, "responses": {202: {"model": Accepted}}}
Carry = Callable[[Request, Order], Awaitable[Response]]


def act_routes(desk: Desk, operator: Callable[..., Awaitable[Bearer]]) -> APIRouter:
    """Everything that an operator may order; `operator` lets nobody else in, and leaves who it is in the request's state."""
    router = APIRouter(prefix="/v1", tags=["order"], dependencies=[Depends(operator)])

    async def carry(request: Request, order: Order) -> Response:
        found = await desk.order(request.state.bearer, request, order.words, order.do)
        return answer(found, 202 if isinstance(found, Accepted) else 200)

    _line(router, carry)
    _moves(desk, router, carry)
    _decisions(desk, router, carry)
    _groups(desk, router, carry)
    _doors(desk, router, carry)
    return router


def _line(router: APIRouter, carry: Carry) -> None:
    @router.post("/sync", **LATER)
    async def sync(request: Request, body: OnChannels) -> Response:
        """Force one cycle now."""
        return await carry(request, orders.sync(body))

    @router.post("/verify", **LATER)
    async def verify(request: Request, body: VerifyBody) -> Response:
        """Compare the partner's copy with the original; `last_verify` in the status says what was found."""
        return await carry(request, orders.verify(body))

    @router.post("/pause", response_model=Done)
    async def pause(request: Request, body: PauseBody) -> Response:
        """Send no packages until `resume`."""
        return await carry(request, orders.pause(body))

    @router.post("/resume", response_model=Done)
    async def resume(request: Request, body: OnChannels) -> Response:
        """Send what was held back."""
        return await carry(request, orders.resume(body))


def _moves(desk: Desk, router: APIRouter, carry: Carry) -> None:
    @router.post("/pools/{pool}/drill", **LATER)
    async def drill(request: Request, pool: PoolName, body: Confirmed) -> Response:
        """Rehearse a disaster takeover of a pool's users on a copy; `drills` in the status says what was found."""
        return await carry(request, orders.drill(desk.drills, pool, body))

    @router.post("/pools/{pool}/{verb}", **LATER)
    async def move(request: Request, pool: PoolName, verb: Verb, body: MoveBody) -> Response:
        """Let the partner serve a pool's users, or that pool again; `/v1/plans` shows each step."""
        return await carry(request, orders.move(pool, verb, body, desk.before_move))

    @router.post("/pools/{pool}/{verb}/abort", **LATER)
    async def abort(request: Request, pool: PoolName, verb: Verb, body: Confirmed) -> Response:
        """Give up the failover or failback that is under way."""
        return await carry(
            request, orders.move(pool, verb, MoveBody(confirm=body.confirm), desk.before_move, abort=True)
        )


def _decisions(desk: Desk, router: APIRouter, carry: Carry) -> None:
    @router.post("/ledger/{entry_id}/decision", **EITHER)
    async def decide(request: Request, entry_id: EntryId, body: DecisionBody) -> Response:
        """Decide about one entry of the ledger. 202 if the application has to let go first: the service does it then."""
        return await carry(request, orders.decide(desk.pool, entry_id, body))

    @router.post("/ledger/decisions", **EITHER)
    async def decide_all(request: Request, body: DecisionsBody) -> Response:
        """Decide about every entry of a state."""
        return await carry(request, orders.decide(desk.pool, None, body, Choice(body.state)))

    @router.post("/held/{channel}", response_model=Done)
    async def held(request: Request, channel: Channel, body: HeldBody) -> Response:
        """Apply the held package after all, or refuse it."""
        return await carry(request, orders.held(desk.pool, channel, body))

    @router.post("/setback", response_model=Done)
    async def setback(request: Request, body: SetbackBody) -> Response:
        """Decide whose rows hold after this store was set back."""
        return await carry(request, orders.setback(desk.pool, body))


def _groups(desk: Desk, router: APIRouter, carry: Carry) -> None:
    @router.post("/parked/{group_id}/retry", response_model=Done)
    async def retry(request: Request, group_id: GroupId) -> Response:
        """Try a parked group again. `count` is 0 if it was refused once more."""
        return await carry(request, orders.retry(group_id))

    @router.post("/parked/{group_id}/drop", response_model=Done)
    async def drop(request: Request, group_id: GroupId, body: Confirmed) -> Response:
        """Throw a parked group away; the copy lacks it until a repair at the partner."""
        return await carry(request, orders.drop(desk.pool, group_id, body))


def _doors(desk: Desk, router: APIRouter, carry: Carry) -> None:
    @router.post("/fence/off", response_model=Done)
    async def fence_off(request: Request, body: ReasonBody) -> Response:
        """Let the application write for everybody here, whoever serves them."""
        return await carry(request, orders.fence_off(desk.pool, body))

    @router.post("/fence/on", response_model=Done)
    async def fence_on(request: Request) -> Response:
        """Refuse again what is not served here."""
        return await carry(request, orders.fence_on())

    @router.post("/gate/open", response_model=Done)
    async def gate_open(request: Request, body: ReasonBody) -> Response:
        """Serve although the partner is not heard."""
        return await carry(request, orders.gate_open(desk.pool, body))

    @router.post("/gate/close", response_model=Done)
    async def gate_close(request: Request, body: Confirmed) -> Response:
        """Serve nothing until a service has confirmed that this pool still may."""
        return await carry(request, orders.gate_close(desk.pool, body))
