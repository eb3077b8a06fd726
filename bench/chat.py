"""People who chat: plain XMPP over a socket, as little of it as a load needs, so that the measuring costs less than what is measured."""

from __future__ import annotations

import asyncio
import base64
import random
import re
import time
from dataclasses import dataclass, field
from itertools import count

WAIT_S = 30.0
NEAR, FAR, ROOM = "near", "far", "room"
_HEARD = re.compile(rb"<body>(near|far|room) (\d+) ")
_KEEP = 64
"""Bytes of a chunk's end that may be the beginning of a body."""
_WORDS = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "consectetur",
    "adipiscing",
    "elit",
    "sed",
    "do",
    "eiusmod",
    "tempor",
]
_ROOM_FORM = "".join(
    f"<field var='{name}'><value>{value}</value></field>"
    for name, value in (
        ("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig"),
        ("muc#roomconfig_persistentroom", "1"),
        ("muc#roomconfig_enablearchiving", "1"),
    )
)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message that somebody received."""

    kind: str
    sent_ns: int
    latency_ms: float


@dataclass
class Chatter:
    """Somebody who is online. Keeps what was heard in `heard`, which all share."""

    user: str
    domain: str
    port: int
    heard: list[Heard]
    _numbers: count[int] = field(default_factory=count)
    _awaited: tuple[bytes, asyncio.Future[None]] | None = None

    async def enter(self, password: str) -> None:
        """Log in and be available. Raises OSError if the server does not let him in."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        said = base64.b64encode(f"\0{self.user}\0{password}".encode()).decode()
        await self._ask(self._opening(), b"</stream:features>")
        auth = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{said}</auth>"
        await self._ask(auth, b"<success")
        await self._ask(self._opening(), b"</stream:features>")
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>here</resource></bind>"
        await self._ask(f"<iq type='set' id='bind'>{bind}</iq>", b"</iq>")
        await self._ask("<presence/>", b"<presence")
        self._listening = asyncio.create_task(self._listen())

    async def join(self, room: str, *, make: bool) -> None:
        """Be in a room, which `make` makes one that stays."""
        history = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
        self._say(f"<presence to='{room}/{self.user}'>{history}</presence>")
        await self._wait_for(b"code='110'")
        if make:
            form = f"<x xmlns='jabber:x:data' type='submit'>{_ROOM_FORM}</x>"
            query = f"<query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query>"
            self._say(f"<iq type='set' id='room' to='{room}'>{query}</iq>")
            await self._wait_for(b"id='room'")

    async def chat(self, to: str, kind: str, chance: random.Random) -> None:
        """Say something. When is part of it."""
        words = " ".join(chance.choices(_WORDS, k=chance.randint(3, 20)))
        manner = "groupchat" if kind == ROOM else "chat"
        number = f"{self.user}-{next(self._numbers)}"
        self._say(
            f"<message type='{manner}' id='{number}' to='{to}'><body>{kind} {time.monotonic_ns()} {words}</body></message>"
        )
        await self._writer.drain()

    async def leave(self) -> None:
        """Go offline."""
        self._listening.cancel()
        self._say("</stream:stream>")
        self._writer.close()

    def is_online(self) -> bool:
        """Whether the server still talks to him."""
        return not self._listening.done()

    def _opening(self) -> str:
        spaces = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
        return f"<stream:stream to='{self.domain}' version='1.0' {spaces}>"

    def _say(self, text: str) -> None:
        self._writer.write(text.encode())

    async def _ask(self, text: str, until: bytes) -> None:
        self._say(text)
        found = b""
        while until not in found:
            chunk = await asyncio.wait_for(self._reader.read(65536), WAIT_S)
            found += chunk
            if not chunk or b"<failure" in found or b"<stream:error" in found:
                raise OSError(f"{self.user}@{self.domain} is not let in: {found.decode()}")

    async def _wait_for(self, sign: bytes) -> None:
        """Until the server sent this: whoever goes on before is not in the room yet. Raises TimeoutError."""
        self._awaited = sign, asyncio.get_running_loop().create_future()
        await asyncio.wait_for(self._awaited[1], WAIT_S)

    async def _listen(self) -> None:
        rest = b""
        while chunk := await self._reader.read(65536):
            now_ns = time.monotonic_ns()
            text, end = rest + chunk, 0
            if self._awaited is not None and self._awaited[0] in text:
                self._awaited[1].set_result(None)
                self._awaited = None
            for found in _HEARD.finditer(text):
                sent_ns = int(found[2])
                self.heard.append(Heard(found[1].decode(), sent_ns, (now_ns - sent_ns) / 1e6))
                end = found.end()
            rest = text[max(end, len(text) - _KEEP) :]
