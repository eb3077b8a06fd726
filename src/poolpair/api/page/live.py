"""News as they come: server-sent events with the parts of a page that changed. A browser that was cut off asks anew by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from poolpair.api.access import Bearer
from poolpair.api.desk import Desk
from poolpair.api.facts import Facts, facts_of
from poolpair.api.page.render import deployment_sections, sections
from poolpair.errors import Code, PoolpairError
from poolpair.outlook import Level

KEPT_S = 0.9
CALM_S = 2.0
BUSY_S = 1.0
"""How often is looked while a plan is under way."""
STREAMS_MAX = 16
LASTS_S = 3600.0
"""A stream ends then; whoever is still there asks anew, with his cookie."""


async def facts_now(desk: Desk) -> Facts:
    """What is known now. Whoever asks within a second is given the same."""
    looks = desk.answering.looks
    found = await desk.ask(looks, lambda: looks.kept("facts", KEPT_S, facts_of, Facts))
    return desk.with_drill(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a page shows now."""

    level: Level
    at_utc: str
    parts: dict[str, str]
    busy: bool = False


Fresh = Callable[[], Awaitable[News]]


async def overview_news(desk: Desk, bearer: Bearer) -> News:
    """Of the overview."""
    facts = await facts_now(desk)
    busy = bool(facts.progress)
    return News(level=facts.level, at_utc=facts.status.at_utc[:19], parts=sections(facts, bearer), busy=busy)


async def deployment_news(desk: Desk, _: Bearer) -> News:
    """Of the deployment, for whoever may look."""
    seen = await desk.deployment()
    return News(level=seen.level, at_utc=seen.at_utc[:19], parts=deployment_sections(seen))


class _Counted(StreamingResponse):
    """A stream that says when it is over, also if it never began because nobody was there any more."""

    def __init__(self, events: AsyncIterator[str], over: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak until the end."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


class Stream:
    """Counts who listens, and speaks to each."""

    _open: ClassVar[int] = 0

    @classmethod
    def open(cls, fresh: Fresh) -> Response:
        """A stream of events. Raises TIMEOUT if too many are open."""
        if cls._open >= STREAMS_MAX:
            raise PoolpairError(
                Code.TIMEOUT, f"{STREAMS_MAX} pages are open already", "close one, or reload this by hand"
            )
        cls._open += 1
        return _Counted(cls._speak(fresh), cls._closed)

    @classmethod
    def _closed(cls) -> None:
        cls._open -= 1

    @classmethod
    async def _speak(cls, fresh: Fresh) -> AsyncIterator[str]:
        told: dict[str, str] = {}
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LASTS_S
        while loop.time() < until_s:
            try:
                news = await fresh()
            except PoolpairError as error:
                yield event("lost", {"why": str(error)})
                if error.code in {Code.TOKEN, Code.ROLE}:  # it was taken back, or the cookie is too old
                    return
                await asyncio.sleep(CALM_S)
                continue
            changed = {name: text for name, text in news.parts.items() if told.get(name) != text}
            told = news.parts
            yield event("news", {"level": news.level, "at": news.at_utc, "parts": changed})
            await asyncio.sleep(BUSY_S if news.busy else CALM_S)


def event(name: str, value: object) -> str:
    """One event as it goes over the line."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"
