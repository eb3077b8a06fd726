"""The application: every request passes here first. Hosts, tokens, sizes; every answer comes within a few seconds."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from poolpair import __version__
from poolpair.api.access import Bearer, Role
from poolpair.api.acting import act_routes
from poolpair.api.desk import Desk
from poolpair.api.metrics import metric_routes
from poolpair.api.orders import Unconfirmed
from poolpair.api.page.routes import page_routes
from poolpair.api.problems import PROBLEM_JSON, Problem, answer_problem
from poolpair.api.reading import open_routes, read_routes
from poolpair.errors import Code, PoolpairError

BODY_MAX_BYTES = 65_536
_PROBLEM = {"model": Problem, "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_MEANT = {
    400: "not understood",
    401: "no token that is known",
    403: "not for this token",
    404: "no such thing",
    409: "does not fit the present state",
    421: "a name that is not this machine's",
    422: "not what is taken here",
    503: "this pool cannot do it now",
    504: "no answer in time",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, **_PROBLEM} for status, words in _MEANT.items()
}
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def make_app(desk: Desk, *, local: bool) -> FastAPI:
    """The application over one pool. `local`: it listens on loopback, and a browser sent here by a name is turned away."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        desk.drills.end()

    # No pages that describe it: they load scripts from elsewhere. The description itself is at /v1/openapi.json.
    app = FastAPI(
        title="poolpair",
        version=__version__,
        summary="One pool of a pair: how it stands, and what an operator may order.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        responses={key: PROBLEMS[key] for key in (400, 421, 503, 504)},
    )

    async def reader(request: Request) -> Bearer:
        return admit(desk, request, Role.READER)

    async def operator(request: Request) -> Bearer:
        return admit(desk, request, Role.OPERATOR)

    app.include_router(open_routes(desk), responses={404: PROBLEMS[404]})
    closed: dict[int | str, dict[str, Any]] = {key: PROBLEMS[key] for key in (401, 403, 404, 409, 422)}
    app.include_router(read_routes(desk, reader), responses=closed)
    app.include_router(act_routes(desk, operator), responses=closed)
    app.include_router(metric_routes(desk, reader), responses=closed)
    app.include_router(page_routes(desk))
    _describe(app, reader)
    _guard(app, local=local)
    _fail_in_words(app, desk)
    return app


def admit(desk: Desk, request: Request, role: Role) -> Bearer:
    """Let a bearer in, and leave in the request's state who it is. Raises TOKEN, ROLE."""
    bearer = desk.bearer(request, role, time.time())
    request.state.bearer = bearer
    return bearer


def _describe(app: FastAPI, reader: Callable[[Request], Awaitable[Bearer]]) -> None:
    scheme = HTTPBearer(auto_error=False).model.model_dump(by_alias=True, exclude_none=True, mode="json")

    @app.get("/v1/openapi.json", include_in_schema=False)
    async def description(request: Request) -> dict[str, Any]:
        await reader(request)
        described = app.openapi()
        described.setdefault("components", {})["securitySchemes"] = {"token": scheme}
        described["security"] = [{"token": []}]
        return described


def _guard(app: FastAPI, *, local: bool) -> None:
    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        if local and not is_local_name(request.headers.get("host", "")):
            error = PoolpairError(Code.REQUEST, "this host name is not this machine's", "ask by its address")
            return answer_problem(error, 421)
        length = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers or not length.isascii() or not length.isdigit():
            return answer_problem(PoolpairError(Code.REQUEST, "a body comes with its length"), 400)
        if int(length) > BODY_MAX_BYTES:
            return answer_problem(PoolpairError(Code.REQUEST, f"a body has at most {BODY_MAX_BYTES:,} bytes"), 400)
        response = await go_on(request)
        response.headers["Cache-Control"] = response.headers.get("Cache-Control", "no-store")
        for name, value in SECURITY.items():
            response.headers[name] = value
        return response


def _fail_in_words(app: FastAPI, desk: Desk) -> None:
    def note(request: Request, error: PoolpairError) -> None:
        bearer = getattr(request.state, "bearer", None)
        if isinstance(bearer, Bearer):
            desk.note_refused(bearer, request, error)

    @app.exception_handler(PoolpairError)
    async def failed(request: Request, error: PoolpairError) -> Response:
        if isinstance(error, Unconfirmed):
            note(request, error)
        unknown = error.code is Code.REQUEST and error.detail.startswith("no such")
        return answer_problem(error, 404 if unknown else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])[:200]
        problem = PoolpairError(Code.REQUEST, f"{place}: {first['msg']}")
        if any("confirm" in each["loc"] for each in error.errors()):
            note(request, problem)
        return answer_problem(problem)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return answer_problem(PoolpairError(Code.REQUEST, str(error.detail).lower()), error.status_code)


def is_local_name(host: str) -> bool:
    """Whether a Host header names this machine by address, or not at all: a page elsewhere may point its own name at loopback."""
    name = host.removesuffix("]").removeprefix("[") if host.endswith("]") else host.rpartition(":")[0] or host
    name = name.removeprefix("[").removesuffix("]")
    if name in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
