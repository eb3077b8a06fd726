"""The routes. Everything that comes from outside is checked here: methods, names, hosts; every answer comes within a few seconds."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import FastAPI, Request, Response

from poolpair import documents
from poolpair.api.answers import Answers, ReadyAnswer, ServingAnswer
from poolpair.errors import PoolpairError

T = TypeVar("T")
ANSWER_S = 4.0
"""A store that does not answer in this time is answered for: not serving."""
POOL = re.compile(r"[a-z0-9-]{1,32}")
JSON = "application/json"
LATE = "the store does not answer"


def make_app(answers: Answers, reports: Answers, *, local: bool) -> FastAPI:
    """The application over one pool's answers. `local`: it listens on loopback, and a browser sent here by a name is turned away.

    `reports` are asked for the status, on a thread of their own: it looks into the share, and a mount may hang.
    """
    # No pages that describe it: they load scripts from elsewhere.
    app = FastAPI(title="poolpair", docs_url=None, redoc_url=None, openapi_url=None)
    turns = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
    slow_turns = ThreadPoolExecutor(max_workers=1, thread_name_prefix="status")

    async def ask(question: Callable[[], T], late: T, thread: ThreadPoolExecutor = turns) -> T:
        asked = asyncio.get_running_loop().run_in_executor(thread, question)
        try:
            return await asyncio.wait_for(asked, ANSWER_S)
        except TimeoutError:
            return late

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        if local and not is_local_name(request.headers.get("host", "")):
            return Response(status_code=421)
        response = await go_on(request)
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.api_route("/livez", methods=["GET", "HEAD"])
    async def livez() -> Response:
        return Response("alive\n", media_type="text/plain")

    @app.api_route("/readyz", methods=["GET", "HEAD"])
    async def readyz() -> Response:
        found = await ask(answers.ready, ReadyAnswer(ready=False, why=LATE))
        return Response(documents.encode_line(found), 200 if found.ready else 503, media_type=JSON)

    @app.api_route("/v1/serving/{pool}", methods=["GET", "HEAD"])
    async def serving(pool: str) -> Response:
        if not POOL.fullmatch(pool) or pool not in answers.pools:
            return Response('{"why":"no such pool"}', 404, media_type=JSON)
        late = ServingAnswer(pool=pool, here="", serving=False, why=LATE)
        found = await ask(lambda: answers.serving(pool), late)
        return Response(documents.encode_line(found), 200 if found.serving else 503, media_type=JSON)

    @app.api_route("/v1/status", methods=["GET", "HEAD"])
    async def status() -> Response:
        try:
            found = await ask(reports.status, "", slow_turns)
        except PoolpairError as error:
            return Response(documents.encode_line(ReadyAnswer(ready=False, why=str(error))), 503, media_type=JSON)
        if not found:
            return Response(documents.encode_line(ReadyAnswer(ready=False, why=LATE)), 503, media_type=JSON)
        return Response(found, media_type=JSON)

    return app


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
