"""Streams of news: so many at most, counted when they are opened, and none for a token that was taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from poolpair.api.page.live import STREAMS_MAX, News, Stream
from poolpair.errors import Code, PoolpairError


async def _refused() -> News:
    raise PoolpairError(Code.TOKEN, "this needs a token")


async def _hear(response: Any) -> str:  # noqa: ANN401 - called as the server calls it
    heard: list[bytes] = []

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        heard.append(message.get("body", b""))

    await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    return b"".join(heard).decode()


def test_a_burst_opens_no_more_streams_than_there_may_be() -> None:
    """They are counted before anybody is spoken to; each that ends makes room for another."""

    async def burst() -> None:
        opened = [Stream.open(_refused) for _ in range(STREAMS_MAX)]
        with pytest.raises(PoolpairError, match="are open already"):
            Stream.open(_refused)
        for each in opened:
            await _hear(each)
        assert "lost" in await _hear(Stream.open(_refused))

    asyncio.run(burst())


def test_a_stream_ends_when_its_token_is_gone() -> None:
    """It says why, once, and is over: an open page does not go on with what nobody may see any more."""

    async def listen() -> None:
        said = await asyncio.wait_for(_hear(Stream.open(_refused)), 30)
        assert said.count("event: ") == 1
        assert "this needs a token" in said

    asyncio.run(listen())
