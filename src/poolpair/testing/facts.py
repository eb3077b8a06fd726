"""What the checkers look at: the committed documents and rows of both stores, per channel and direction, and the files on both disks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from poolpair.model import Channel, serving_pool
from poolpair.pipeline.site import inbound_name, intent_name, outbound_name, owed_name, serving_name
from poolpair.reigns import birth
from poolpair.state import Inbound, Intent, Outbound, Owed, Serving
from poolpair.testing.schema import CHANNELS, POOLS, file_home, other
from poolpair.testing.truth import CutTaken
from poolpair.testing.view import View
from poolpair.testing.world import Pool, World


@dataclass(frozen=True, slots=True)
class Violation:
    """A guarantee did not hold."""

    checker: str
    story: str


@dataclass(frozen=True, slots=True)
class Line:
    """One direction of one channel: the origin's and the target's committed documents."""

    name: str
    """Origin, target and channel."""
    channel: Channel
    origin: Pool
    target: Pool
    sent: View
    copy: View
    out: Outbound
    inbound: Inbound
    owed: bool
    homes: tuple[str, ...]
    """Homes that the origin serves, in a reign that both pools know, with nothing left to recover."""

    @property
    def is_complete(self) -> bool:
        """The target holds the copy for complete, and no comparison is owed that may take this back."""
        whole = all(home in self.inbound.complete for home in self.homes)
        return whole and not self.owed and self.inbound.applied is not None

    def is_settled(self, world: World) -> bool:
        """Neither store was set back since the origin last heard the other: what both remember fits together."""
        back_s = world.truth.fell_back_s.get(self.target.name)
        if self.out.curing or self.out.stopped is not None or self.out.stream in world.truth.forked:
            return False
        if back_s is not None and self.out.partner and self.out.partner.applied != self.out.acknowledged:
            return False  # heard while the channel was stopped, and not acted on yet
        words = [process.site.memory.word_s.get(self.channel) for process in self.origin.processes[-1:]]
        return back_s is None or any(word is not None and word > back_s for word in words)

    def applied_cut(self, world: World) -> CutTaken | None:
        """The origin's state that the applied package was made of."""
        applied = self.inbound.applied
        return world.truth.cuts.get(applied.package_id) if applied else None

    def applied_intent(self) -> Intent | None:
        """The applied position as the origin's store knows it; None if that store never intended it."""
        applied = self.inbound.applied
        intent = self.sent.document(Intent, intent_name(self.channel, applied)) if applied else None
        return intent if intent and intent.position == applied else None


def _homes(origin: str, sent: View, copy: View) -> tuple[str, ...]:
    found = []
    for home in POOLS:
        there, here = serving_of(sent, home), serving_of(copy, home)
        agreed = there.present.reign_id == here.present.reign_id and not there.open
        if agreed and serving_pool(there.present, POOLS) == origin:
            found.append(home)
    return tuple(found)


def homes_served(pool: Pool) -> tuple[str, ...]:
    """Homes that a pool exports, by what its store knows."""
    view = pool.database.view()
    return tuple(home for home in POOLS if serving_pool(serving_of(view, home).present, POOLS) == pool.name)


def serving_of(view: View, home: str) -> Serving:
    """What a store knows of who serves a home."""
    return view.document(Serving, serving_name(home)) or birth(home)


Lines = tuple[Line, ...]


def lines(world: World) -> Lines:
    """Both directions of every channel; those of the last time if neither store committed anything since."""
    views = tuple(world.pools[name].database.view() for name in POOLS)
    known = world.truth.lines
    if known is None or any(one is not other for one, other in zip(known[0], views, strict=True)):
        known = world.truth.lines = (views, tuple(_lines(world)))
    found: Lines = known[1]
    return found


def _lines(world: World) -> Iterator[Line]:
    for name in POOLS:
        origin, target = world.pools[name], world.pools[other(name)]
        sent, copy = origin.database.view(), target.database.view()
        homes = _homes(name, sent, copy)
        for channel in CHANNELS:
            out = sent.document(Outbound, outbound_name(channel))
            assert out is not None
            inbound = copy.document(Inbound, inbound_name(channel)) or Inbound()
            owed = copy.document(Owed, owed_name(channel)) is not None
            yield Line(
                f"{name}->{target.name} {channel}", channel, origin, target, sent, copy, out, inbound, owed, homes
            )


def digests_on_disk(pool: Pool, homes: tuple[str, ...]) -> dict[bytes, str]:
    """The files of some homes as they lie on a pool's disk."""
    found = {path: owner for path in pool.tree.paths() if (owner := file_home(path)) is not None}
    return {path: _digest(pool.tree.content(path) or b"") for path, owner in found.items() if owner.home in homes}


def digest_on_disk(pool: Pool, path: bytes) -> str | None:
    """The digest of one file on a pool's disk; None if it is not there."""
    content = pool.tree.content(path)
    return None if content is None else _digest(content)


@lru_cache(maxsize=512)
def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def digests_in_catalogue(view: View, homes: tuple[str, ...]) -> dict[bytes, str]:
    """The files of some homes as a store's catalogue knows them."""
    return {path: e.file.sha256 for path, e in view.files.items() if e.file.present and e.file.home in homes}
