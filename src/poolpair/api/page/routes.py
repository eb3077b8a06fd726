"""The page's requests: looking, ordering by forms, and news as they come."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from poolpair.api.access import COOKIE_S, Bearer, Role, cookie_for
from poolpair.api.bodies import Accepted
from poolpair.api.desk import Desk, refuse_other_pages
from poolpair.api.facts import Facts, ledger_entries
from poolpair.api.orders import Unconfirmed
from poolpair.api.page.forms import FORMS, Filled, Form, read_form
from poolpair.api.page.live import Stream, deployment_news, facts_now, overview_news
from poolpair.api.page.render import asset, deployment_sections, draw, sections
from poolpair.api.problems import problem_of
from poolpair.api.reading import WhatIf, what_if
from poolpair.errors import Code, PoolpairError
from poolpair.outlook import Level
from poolpair.serving.resolving import refused_decisions

HTML = "text/html; charset=utf-8"
SEE_OTHER = 303


def page_routes(desk: Desk) -> APIRouter:
    """Pages for people; not part of what the API describes."""
    router = APIRouter(include_in_schema=False)
    _static(router)
    _log_in(desk, router)
    _look(desk, router)
    _order(desk, router)
    return router


def _static(router: APIRouter) -> None:
    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        found = asset(name)
        if found is None:
            raise PoolpairError(Code.REQUEST, "no such file")
        data, kind = found
        return Response(data, media_type=kind, headers={"Cache-Control": "max-age=86400, immutable"})


def _log_in(desk: Desk, router: APIRouter) -> None:
    @router.get("/login")
    async def login() -> Response:
        return _page(desk, "login.html", None, wrong=False)

    @router.post("/login")
    async def logged_in(request: Request) -> Response:
        refuse_other_pages(request)
        if not desk.sealed:
            raise PoolpairError(Code.ROLE, "this address is neither on loopback nor under TLS")
        said = read_form(await request.body())
        bearer = desk.tokens.by_token(said.get("token", "").strip())
        if bearer is None:
            return _page(desk, "login.html", None, status=401, wrong=True)
        response = RedirectResponse("/", SEE_OTHER)
        secure = request.url.scheme == "https"
        value = cookie_for(bearer, time.time())
        response.set_cookie(desk.cookie, value, COOKIE_S, httponly=True, samesite="strict", secure=secure)
        return response

    @router.post("/logout")
    async def logout(request: Request) -> Response:
        refuse_other_pages(request)
        response = RedirectResponse("/login", SEE_OTHER)
        response.delete_cookie(desk.cookie)
        return response


def _look(desk: Desk, router: APIRouter) -> None:
    @router.get("/")
    async def overview(request: Request, done: str = "", later: bool = False) -> Response:
        bearer = _who(desk, request)
        if bearer is None:
            return RedirectResponse("/login", SEE_OTHER)
        facts, said = await facts_now(desk), _said(done, later=later)
        return _page(desk, "overview.html", bearer, facts=facts, sections=sections(facts, bearer), said=said)

    @router.get("/live")
    async def live(request: Request) -> Response:
        desk.bearer(request, Role.READER, time.time())
        return Stream.open(lambda: overview_news(desk, desk.bearer(request, Role.READER, time.time())))

    @router.get("/deployment")
    async def deployment(request: Request) -> Response:
        bearer = _who(desk, request)
        if bearer is None:
            return RedirectResponse("/login", SEE_OTHER)
        seen = await desk.deployment()
        return _page(
            desk, "deployment.html", bearer, shown_level=seen.level, seen=seen, sections=deployment_sections(seen)
        )

    @router.get("/deployment/live")
    async def deployment_live(request: Request) -> Response:
        desk.bearer(request, Role.READER, time.time())
        return Stream.open(lambda: deployment_news(desk, desk.bearer(request, Role.READER, time.time())))

    @router.get("/ledger")
    async def ledger(request: Request, decided: bool = False, done: str = "", later: bool = False) -> Response:
        bearer = _who(desk, request)
        if bearer is None:
            return RedirectResponse("/login", SEE_OTHER)
        entries = await desk.look(lambda site: ledger_entries(site, everything=decided))
        refused = {each.entry_id: each.fault for each in await desk.look(refused_decisions)}
        facts, said = await facts_now(desk), _said(done, later=later)
        return _page(
            desk, "ledger.html", bearer, facts=facts, entries=entries, decided=decided, said=said, refused=refused
        )


def _order(desk: Desk, router: APIRouter) -> None:
    @router.get("/order/{name}")
    async def form(request: Request, name: str) -> Response:
        bearer = _who(desk, request)
        if bearer is None:
            return RedirectResponse("/login", SEE_OTHER)
        found = _form(name)
        return await _show_form(desk, bearer, found, dict(request.query_params))

    @router.post("/order/{name}")
    async def order(request: Request, name: str) -> Response:
        bearer = desk.bearer(request, Role.OPERATOR, time.time())
        found = _form(name)
        said = read_form(await request.body())
        try:
            made = found.order(Filled(said=said, here=desk.pool, drills=desk.drills, before_move=desk.before_move))
            outcome = await desk.order(bearer, request, made.words, made.do)
        except PoolpairError as error:
            if isinstance(error, Unconfirmed):
                desk.note_refused(bearer, request, error)
            return await _show_form(desk, bearer, found, said, error)
        desk.answering.looks.forget()
        later = "&later=true" if isinstance(outcome, Accepted) and found.later else ""
        return RedirectResponse(f"{found.back}?done={name}{later}", SEE_OTHER)


async def _show_form(
    desk: Desk, bearer: Bearer, form: Form, said: dict[str, str], error: PoolpairError | None = None
) -> Response:
    """A form with what it would come to, where that can be told; and what was wrong with it, if it was sent."""
    looked: WhatIf | None = None
    why_not: PoolpairError | None = None
    move = form.name if form.name in {"failover", "failback"} else ""
    pool, disaster = said.get("pool", ""), said.get("disaster") == "yes"
    if move:
        try:
            looked = await desk.look(lambda site: what_if(site, pool, away=move == "failover", disaster=disaster))
        except PoolpairError as refused:
            why_not = refused
    facts = await facts_now(desk)
    problem = error or why_not
    return _page(
        desk,
        "order.html",
        bearer,
        status=problem_of(error).status if error else 200,
        form=form,
        said=said,
        facts=facts,
        what_if=looked,
        problem=problem_of(problem) if problem else None,
        sent=error is not None,
        confirm=form.confirm_name(said, desk.pool),
    )


def _said(name: str, *, later: bool) -> str:
    """What is said of the order that was just given."""
    form = FORMS.get(name)
    return "" if form is None else form.later if later else form.done


def _form(name: str) -> Form:
    if name not in FORMS:
        raise PoolpairError(Code.REQUEST, "no such order")
    return FORMS[name]


def _who(desk: Desk, request: Request) -> Bearer | None:
    """Who looks; None if he has to say so first. Raises ROLE where nothing is told at all."""
    try:
        return desk.bearer(request, Role.READER, time.time())
    except PoolpairError as error:
        if error.code is not Code.TOKEN:
            raise
        return None


def _page(
    desk: Desk,
    template: str,
    bearer: Bearer | None,
    *,
    status: int = 200,
    shown_level: Level | None = None,
    **values: object,
) -> Response:
    facts = values.get("facts")
    level = facts.level if isinstance(facts, Facts) else shown_level
    text = draw(template, pool=desk.pool, bearer=bearer, level=level, **values)
    return Response(text, status, media_type=HTML)
