"""Requests that change nothing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import PlainTextResponse

from poolpair import decisions, documents
from poolpair.api.access import Bearer
from poolpair.api.answers import ReadyAnswer, ServingAnswer
from poolpair.api.bodies import EntryId, PoolName
from poolpair.api.desk import Desk
from poolpair.api.facts import (
    LISTED_MAX,
    HeldPackage,
    held_packages,
    hook_runs,
    ledger_entries,
    parked_groups,
)
from poolpair.api.problems import LATE
from poolpair.audit import AuditEntry, entries
from poolpair.errors import Code, PoolpairError
from poolpair.history import Moment, MoveSeen, last_day, moves
from poolpair.management.seen import Deployment
from poolpair.moves import HookRun
from poolpair.pipeline.site import Site
from poolpair.serving.ordering import act_for, move_of
from poolpair.serving.price import price, steps_of
from poolpair.serving.progress import Progress, progress
from poolpair.serving.resolving import RefusedDecision, refused_decisions
from poolpair.share.port import Quarantined
from poolpair.status import PairStatus
from poolpair.store.values import LedgerEntry, ParkedGroup

T = TypeVar("T")
Route = Callable[..., Awaitable[Response]]
JSON = "application/json"
Move = Literal["failover", "failback"]
_POOL = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What a failover or failback would do and cost now."""

    act: str
    """`order`, `ask` (the partner is asked), `resume` or `nothing` (the users are served there already)."""
    steps: tuple[str, ...]
    price: tuple[str, ...]


def get(router: APIRouter, path: str, **said: Any) -> Callable[[Route], Route]:  # noqa: ANN401 - what FastAPI takes
    """A route that is asked by GET, and by HEAD, which the description need not repeat."""

    def add(route: Route) -> Route:
        router.head(path, include_in_schema=False, **said)(route)
        router.get(path, **said)(route)
        return route

    return add


def answer(value: object, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(documents.encode_line(value), status, media_type=JSON)


def what_if(site: Site, pool: str, *, away: bool, disaster: bool) -> WhatIf:
    """Look what an order would come to. Raises USAGE if it makes no sense here."""
    act, move = act_for(site, pool, away=away, disaster=disaster), move_of(disaster=disaster)
    return WhatIf(act=act, steps=tuple(steps_of(site, move, pool)), price=tuple(price(site, move, pool)))


def open_routes(desk: Desk) -> APIRouter:
    """For load balancers and supervisors: no token, and no secret."""
    router, serving_of = APIRouter(tags=["who serves"]), desk.answering.serving

    @get(router, "/livez", response_class=PlainTextResponse)
    async def livez() -> Response:
        """It answers: the process lives."""
        return PlainTextResponse("alive\n")

    @get(router, "/readyz", response_model=ReadyAnswer, responses={503: {"model": ReadyAnswer}})
    async def readyz() -> Response:
        """Whether the store can be read and the service lives."""
        try:
            found = await desk.ask(serving_of, serving_of.ready)
        except PoolpairError:
            found = ReadyAnswer(ready=False, why=LATE)
        return answer(found, 200 if found.ready else 503)

    @get(
        router,
        "/v1/serving/{pool}",
        response_model=ServingAnswer,
        responses={503: {"model": ServingAnswer}},
    )
    async def serving(pool: str) -> Response:
        """200 if the users of a pool are served here, now, unfenced; else 503, and why."""
        if not _POOL.fullmatch(pool) or pool not in desk.pools:
            raise PoolpairError(Code.REQUEST, "no such pool")
        try:
            found = await desk.ask(serving_of, lambda: serving_of.serving(pool))
        except PoolpairError:
            found = ServingAnswer(pool=pool, here="", serving=False, why=LATE)
        return answer(found, 200 if found.serving else 503)

    return router


def read_routes(desk: Desk, reader: Callable[..., Awaitable[Bearer]]) -> APIRouter:
    """For whoever holds a token."""
    router = APIRouter(prefix="/v1", tags=["look"], dependencies=[Depends(reader)])

    @get(router, "/status", response_model=PairStatus)
    async def status() -> Response:
        """What `poolpair status --json` prints."""
        looks = desk.answering.looks
        return Response(await desk.ask(looks, looks.status), media_type=JSON)

    @get(router, "/deployment", response_model=Deployment)
    async def deployment() -> Response:
        """The central management store, every server's replica, and how the other pools stand, as far as is known here."""
        return answer(await desk.deployment())

    def read(path: str, kind: type[T], look: Callable[[Site], object], words: str) -> None:
        async def route() -> Response:
            return answer(await desk.look(look))

        route.__name__, route.__doc__ = path.strip("/").replace("/", "_"), words
        get(router, path, response_model=kind)(route)

    read("/parked", tuple[ParkedGroup, ...], parked_groups, "Groups that this store refused.")
    read("/held", tuple[HeldPackage, ...], held_packages, "Packages that would delete very much.")
    read("/hooks", tuple[HookRun, ...], hook_runs, "How each hook ran last.")
    read(
        "/quarantine",
        tuple[Quarantined, ...],
        lambda site: tuple(site.own.quarantined())[:LISTED_MAX],
        "Files in the own share that were refused.",
    )
    read("/moves", tuple[MoveSeen, ...], moves, "Who served whom, the last change first.")
    read("/history", tuple[Moment, ...], last_day, "Lag and traffic of the last 24 hours.")
    read("/audit", tuple[AuditEntry, ...], entries, "Who ordered what, the last order first.")
    read(
        "/plans",
        tuple[Progress, ...],
        lambda site: tuple(each for home in site.homes if (each := progress(site, home))),
        "Failovers and failbacks that are under way.",
    )
    read_ledger(desk, router)
    return router


def read_ledger(desk: Desk, router: APIRouter) -> None:
    """What has parameters."""

    @get(router, "/ledger", response_model=tuple[LedgerEntry, ...])
    async def ledger(
        everything: Annotated[bool, Query(alias="all")] = False,
        after: Annotated[int, Query(ge=0, le=10**9)] = 0,
    ) -> Response:
        """What was written at both pools: undecided entries or all, 200 from a place in the list on."""
        return answer(await desk.look(lambda site: ledger_entries(site, everything=everything, after=after)))

    @get(router, "/ledger/refused", response_model=tuple[RefusedDecision, ...])
    async def refused() -> Response:
        """Why ordered decisions were not carried out; they can be ordered again."""
        return answer(await desk.look(refused_decisions))

    @get(router, "/ledger/{entry_id}", response_model=LedgerEntry)
    async def ledger_entry(entry_id: EntryId) -> Response:
        """One entry with both versions, by its id or the beginning of it."""
        return answer(await desk.look(lambda site: decisions.ledger_entry(site, entry_id)))

    @get(router, "/pools/{pool}/{move}", response_model=WhatIf)
    async def what_if_moved(
        pool: PoolName, move: Annotated[Move, Path()], disaster: Annotated[bool, Query()] = False
    ) -> Response:
        """What a failover or failback of a pool's users would do and cost now. Nothing is changed."""
        away = move == "failover"
        return answer(await desk.look(lambda site: what_if(site, pool, away=away, disaster=disaster)))
