"""What is answered: read from the pool's store by a process of its own, so that an answer comes whatever the service is doing.

Whether a home is served here is what the store says now, and only while the service lives: its lease is held and its pulse is young.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from poolpair import documents
from poolpair.errors import PoolpairError
from poolpair.model import serving_pool
from poolpair.moves import GATE, Gate
from poolpair.pipeline.site import Site
from poolpair.pulse import PULSE, STALE_AFTER_S, Pulse, is_stale
from poolpair.reigns import takes_writes
from poolpair.report import gather

__all__ = ["STALE_AFTER_S", "Answers", "ReadyAnswer", "ServingAnswer"]

T = TypeVar("T")
SERVING_KEPT_S = 0.2
STATUS_KEPT_S = 1.0
"""So long an answer is given again: strangers must not keep the database busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingAnswer:
    """Whether the users of one pool are served here, now, unfenced. `why` says why not."""

    pool: str
    here: str
    serving: bool
    served_by: str = ""
    epoch: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyAnswer:
    """Whether the store can be read and the service lives."""

    ready: bool
    why: str = ""


class Answers:
    """Answers for one pool; whoever asks takes turns. The store is opened when it is asked first, and again after an error.

    If the store is a `file`, what lies there now is asked: one that was moved away or replaced answers nothing any more. When `changed`
    says another number, it is opened anew, too, as soon as it can be: what it is opened by has changed.
    """

    def __init__(
        self,
        open_pool: Callable[[], Site],
        pools: tuple[str, ...],
        here: str,
        *,
        file: Path | None = None,
        changed: Callable[[], int] = lambda: 0,
    ) -> None:
        self.pools = pools
        self._open = open_pool
        self._here = here
        self._file = file
        self._changed = changed
        self._opened: tuple[int, int] | None = None
        self._opened_by = 0
        self._site: Site | None = None
        self._kept: dict[str, tuple[float, object]] = {}
        self._pulse: Pulse | None = None
        self._pulse_s = 0.0

    def serving(self, pool: str) -> ServingAnswer:
        """Whether a pool's users are served here. Never raises a PoolpairError: what cannot be read is not claimed."""
        try:
            return self._keep(f"serving {pool}", SERVING_KEPT_S, lambda site: self._serving(site, pool), ServingAnswer)
        except PoolpairError as error:
            self.close()
            return ServingAnswer(pool=pool, here=self._here, serving=False, why=str(error))

    def status(self) -> str:
        """The JSON of `poolpair status --json`. Raises PoolpairError if it cannot be read."""
        return self.kept("status", STATUS_KEPT_S, lambda site: documents.encode_full(gather(site)), str)

    def ready(self) -> ReadyAnswer:
        """Whether answers mean something."""
        try:
            why = self._keep("ready", SERVING_KEPT_S, self._lifeless, str)
        except PoolpairError as error:
            self.close()
            why = str(error)
        return ReadyAnswer(ready=not why, why=why)

    def look(self, look: Callable[[Site], T]) -> T:
        """Read or change something. Raises whatever that raises; the store is opened anew after that."""
        try:
            return look(self._present())
        except PoolpairError:
            self.close()
            raise

    def kept(self, name: str, kept_s: float, look: Callable[[Site], T], kind: type[T]) -> T:
        """The same, and for `kept_s` seconds whoever asks for it by that name is given it again."""
        try:
            return self._keep(name, kept_s, look, kind)
        except PoolpairError:
            self.close()
            raise

    def forget(self) -> None:
        """Give nothing again that was known before."""
        self._kept.clear()

    def close(self) -> None:
        """Let go of the store; the next question opens it again."""
        site, self._site = self._site, None
        self._kept.clear()
        if site is not None:
            site.store.close()

    def _keep(self, name: str, kept_s: float, look: Callable[[Site], T], kind: type[T]) -> T:
        site = self._present()
        now = site.clock.monotonic_s()
        at_s, answer = self._kept.get(name, (0.0, None))
        if isinstance(answer, kind) and now - at_s < kept_s:
            return answer
        found = look(site)
        self._kept[name] = (now, found)
        return found

    def _present(self) -> Site:
        lies = self._lies_there()
        if self._site is not None and lies != self._opened:
            self.close()
        by = self._changed()
        if self._site is not None and by != self._opened_by:
            self._reopen(by)
        if self._site is None:
            self._site, self._opened, self._opened_by = self._open(), lies, by
        self._site.memory.serving.clear()
        return self._site

    def _reopen(self, by: int) -> None:
        """By what counts now; as long as that cannot be opened, what was opened before goes on answering."""
        before = self._site
        try:
            self._site, self._opened_by = self._open(), by
        except PoolpairError:
            return
        self._kept.clear()
        if before is not None:
            before.store.close()

    def _lies_there(self) -> tuple[int, int] | None:
        """Which file lies where the store is."""
        try:
            found = self._file.stat() if self._file is not None else None
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found is not None else None

    def _serving(self, site: Site, pool: str) -> ServingAnswer:
        mine = site.serving(pool)
        server = serving_pool(mine.present, (site.pool, site.partner))
        why = self._lifeless(site)
        if server != site.pool:
            why = f"pool {server} serves them"
        elif not takes_writes(mine, site.pool, site.partner):
            why = mine.stopped.detail if mine.stopped else "they are being handed over"
        elif gate := site.store.read(Gate, GATE):
            why = f"the gate is closed ({gate.why}) until {site.partner} is heard"
        return ServingAnswer(
            pool=pool, here=site.pool, serving=not why, served_by=server, epoch=mine.present.epoch, why=why
        )

    def _lifeless(self, site: Site) -> str:
        """Why nothing that the store says may be relied on; empty if the service lives."""
        if site.store.lease_holder() is None:
            return "no service runs for this pool"
        pulse, now = site.store.read(Pulse, PULSE), site.clock.monotonic_s()
        if pulse is None:
            return "the service has given no sign of life yet"
        if pulse.boot_id == site.clock.boot_id():
            age_s = now - pulse.at_s
        else:  # another machine's clock: what counts is when its pulse was seen to change
            if self._pulse is not None and pulse != self._pulse:
                self._pulse_s = now
            known, self._pulse = self._pulse, pulse
            if known is None or not self._pulse_s:
                return "the service was not seen alive yet"
            age_s = now - self._pulse_s
        if is_stale(site, age_s):
            return f"the service gave its last sign of life {age_s:.0f} s ago"
        return ""
