"""Where requests come in and answers are fetched: four threads, each with a store of its own, so that no question waits for another kind.

`serving` must answer whatever else goes on; `looks` read the share too, and a mount may hang; `orders` write; a fourth
reads the management store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from fastapi import Request

from poolpair.api.access import Bearer, Role, Tokens
from poolpair.api.answers import Answers
from poolpair.api.bodies import Accepted, Nothing
from poolpair.api.drills import Drills
from poolpair.api.facts import Facts
from poolpair.api.orders import BeforeMove
from poolpair.api.problems import late
from poolpair.audit import audited, enter_refused
from poolpair.errors import Code, PoolpairError
from poolpair.management.seen import Deployment
from poolpair.pipeline.site import Site

T = TypeVar("T")
ORDERED = "ordered"
"""What the audit says of an order that the service carries out afterwards."""
NOTHING = "nothing to do"
REFUSED_EVERY_S = 60.0
"""So often at most an attempt that was refused is entered for each token: a flood of them must not keep the store busy."""
ANSWER_S = 4.0
"""A store that does not answer in this time is answered for: not serving."""
ORDER_S = 30.0
"""An order may have to wait for the application's lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """The three openings of one pool's store."""

    serving: Answers
    looks: Answers
    orders: Answers


class Desk:
    """Everything that the routes need."""

    def __init__(
        self,
        answering: Answering,
        tokens: Tokens,
        drills: Drills,
        *,
        pool: str,
        pools: tuple[str, ...],
        sealed: bool,
        key_file: Path,
        deployment: Callable[[], Deployment],
        before_move: BeforeMove = lambda _pool, _disaster: "",
    ) -> None:
        self.answering = answering
        self.tokens = tokens
        self.drills = drills
        self.pool = pool
        self.pools = pools
        self.key_file = key_file
        self.before_move = before_move
        """Raises if something else has to move before the users of a pool."""
        self.sealed = sealed
        """Loopback or TLS; else nothing is told but who serves."""
        self._threads = {
            id(answers): ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
            for name, answers in (
                ("serving", answering.serving),
                ("looks", answering.looks),
                ("orders", answering.orders),
            )
        }
        self._deployment = deployment
        self._refused_s: dict[str, float] = {}
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deployment")

    async def ask(self, answers: Answers, question: Callable[[], T], within_s: float = ANSWER_S) -> T:
        """Put a question to one of the three. Raises TIMEOUT if no answer comes in time; the question itself goes on."""
        return await self._put(self._threads[id(answers)], question, within_s)

    async def deployment(self) -> Deployment:
        """How the whole deployment stands: in a thread of its own, for the management store may lie on another machine. Raises TIMEOUT."""
        return await self._put(self._beside, self._deployment, ANSWER_S)

    @staticmethod
    async def _put(thread: ThreadPoolExecutor, question: Callable[[], T], within_s: float) -> T:
        asked = asyncio.get_running_loop().run_in_executor(thread, question)
        try:
            return await asyncio.wait_for(asked, within_s)
        except TimeoutError:
            raise late() from None

    @property
    def cookie(self) -> str:
        """The name of a browser's cookie. Cookies know no ports: the pages of two pools may be open by tunnels to one address."""
        return f"poolpair-{self.pool}"

    async def look(self, look: Callable[[Site], T]) -> T:
        """Read something."""
        looks = self.answering.looks
        return await self.ask(looks, lambda: looks.look(look))

    async def order(self, bearer: Bearer, request: Request, what: str, do: Callable[[Site], T]) -> T:
        """Change something, and note who wanted it, from where, and how it ended."""
        orders = self.answering.orders
        whence = _whence(request)

        def carry_out(site: Site) -> T:
            with audited(site, bearer.name, whence, what) as outcome:
                done = do(site)
                if isinstance(done, Accepted):
                    outcome.words = NOTHING if isinstance(done, Nothing) else ORDERED
                return done

        return await self.ask(orders, lambda: orders.look(carry_out), ORDER_S)

    def note_refused(self, bearer: Bearer, request: Request, error: PoolpairError) -> None:
        """Enter an attempt that was refused before it became an order; the answer does not wait for it."""
        now_s = time.monotonic()
        if now_s - self._refused_s.get(bearer.name, -REFUSED_EVERY_S) < REFUSED_EVERY_S:
            return
        self._refused_s[bearer.name] = now_s
        orders, whence, what = self.answering.orders, _whence(request), f"{request.method} {request.url.path}"
        enter = partial(enter_refused, who=bearer.name, whence=whence, what=what, why=str(error))
        self._threads[id(orders)].submit(orders.look, enter)

    def with_drill(self, facts: Facts) -> Facts:
        """With the drill that was ordered here."""
        return replace(facts, drill=self.drills.run())

    def bearer(self, request: Request, role: Role, now_s: float) -> Bearer:
        """Who asks. Raises TOKEN if that is not known, ROLE if it is not enough."""
        if not self.sealed:
            detail = "this address is neither on loopback nor under TLS: only who serves is told here"
            raise PoolpairError(Code.ROLE, detail, "give the API a certificate, or ask it on its own machine")
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            found = self.tokens.by_token(token.strip())
        else:
            found = self.tokens.by_cookie(request.cookies.get(self.cookie, ""), now_s)
            if found is not None and request.method not in {"GET", "HEAD"}:
                refuse_other_pages(request)
        if found is None:
            raise PoolpairError(Code.TOKEN, "this needs a token: `Authorization: Bearer TOKEN`")
        if not found.may(role):
            error = PoolpairError(Code.ROLE, f"{found.name} may look, and not order")
            self.note_refused(found, request, error)
            raise error
        return found


def _whence(request: Request) -> str:
    return request.client.host if request.client else "?"


def refuse_other_pages(request: Request) -> None:
    """What a browser sends along by itself counts only from our own pages. Raises ROLE."""
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if request.headers.get("origin") != own:
        raise PoolpairError(Code.ROLE, "a browser may order only from this page itself", "open the page anew")
