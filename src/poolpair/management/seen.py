"""How the whole deployment stands, as one server sees it: the management store, every server's replica, each pool's own word.

`cms status`, `status --all`, the API and the page show this and no more. Only where the store is held are the servers' answers known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from poolpair.clock import Clock
from poolpair.config import PoolConfig
from poolpair.errors import PoolpairError
from poolpair.management.before import holder
from poolpair.management.documents import Document
from poolpair.management.local import read_local, words_known
from poolpair.management.replicate import SILENT_S, ReplicaState, states
from poolpair.management.words import PoolWord
from poolpair.model import Fault
from poolpair.outlook import Level, worst
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.scratch import scratch_of
from poolpair.status import PairStatus
from poolpair.units import show_age
from poolpair.wording import words_of_recovery

LATE_S = SILENT_S
"""A pool's own word is passed on with each round; one that is older says how it stood, not how it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """One server's replica."""

    level: Level
    state: ReplicaState
    standing: str
    """Whether it is up to date, in words."""

    @property
    def line(self) -> str:
        """All of it in a line."""
        state = self.state
        heard = f", heard {state.heard_utc[:16].replace('T', ' ')} UTC" if state.heard_utc else ", never heard"
        since = state.since_utc[:19].replace("T", " ")
        fault = f"; {state.fault.code} {state.fault.detail}" if state.fault else ""
        return f"{state.pool}/{state.front_end}: {self.standing} since {since} UTC, {self.has}{heard}{fault}"

    @property
    def has(self) -> str:
        """Which replica it has."""
        return f"has {self.state.term}.{self.state.serial}" if self.state.serial else "has nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSeen:
    """The management store as a pool of the pair that holds it knows it."""

    held_by: str
    here: bool
    term: int
    under_way: str
    """That it moves, or that what was published at both pools is being brought together; empty at rest."""
    status: PairStatus
    """Of the copy at the other pool."""
    servers: tuple[ServerSeen, ...]
    """Those that lag behind first; none where it is not held."""

    @property
    def level(self) -> Level:
        """How it stands."""
        copy = {0: Level.HEALTHY, 1: Level.ATTENTION}.get(self.status.exit_status, Level.BROKEN)
        return worst(copy, *(each.level for each in self.servers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A document, without what it says."""

    name: str
    version: int
    size_bytes: int
    published_utc: str
    author: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSeen:
    """What this server has of the documents."""

    term: int
    serial: int
    documents: tuple[Listed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSeen:
    """A pool of the deployment by its own word."""

    level: Level
    word: PoolWord


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """All of it."""

    pool: str
    at_utc: str
    store: StoreSeen | None
    """None at a pool of another pair, or where it cannot be read."""
    fault: Fault | None
    """Why it cannot be read."""
    replica: ReplicaSeen | None
    """None until one came."""
    pools: tuple[PoolSeen, ...]

    @property
    def level(self) -> Level:
        """How it stands as a whole, as far as is known here."""
        store = self.store.level if self.store else Level.HEALTHY
        return worst(store, Level.BROKEN if self.fault else Level.HEALTHY, *(each.level for each in self.pools))


Look = Callable[[Callable[[Site], StoreSeen]], StoreSeen]
"""Reads from the management store's site."""


def deployment_seen(config: PoolConfig, clock: Clock, look: Look | None) -> Deployment:
    """Everything that this server knows; `look` where this pair holds the store."""
    home, now_utc = config.cms.home if config.cms else "", clock.utc_iso()
    replica, store, fault = read_local(scratch_of(config)), None, None
    try:
        store = look(lambda site: store_seen(site, home)) if look else None
    except PoolpairError as error:  # what lies here is shown all the same
        fault = Fault(code=error.code, detail=error.detail, since_utc=now_utc)
    return Deployment(
        pool=config.pool,
        at_utc=now_utc,
        store=store,
        fault=fault,
        replica=None
        if replica is None
        else ReplicaSeen(term=replica.term, serial=replica.serial, documents=listed(replica.documents)),
        pools=pools_seen(config, clock),
    )


def store_seen(site: Site, home: str) -> StoreSeen:
    """The store as its own site knows it; `home` made it."""
    found, name = gather(site), holder(site, home)
    mine = next(each for each in found.homes if each.home == home)
    here = name == site.pool
    return StoreSeen(
        held_by=name,
        here=here,
        term=mine.epoch,
        under_way=f"it moves: {mine.plan}" if mine.plan else words_of_recovery(mine, found),
        status=found,
        servers=servers_seen(states(site), site.clock.utc_iso()) if here else (),
    )


def servers_seen(known: Iterable[ReplicaState], now_utc: str) -> tuple[ServerSeen, ...]:
    """The servers, those that lag behind first."""
    ordered = sorted(known, key=lambda each: (each.up_to_date, each.pool, each.front_end))
    return tuple(_server(state, now_utc) for state in ordered)


def _server(state: ReplicaState, now_utc: str) -> ServerSeen:
    words = "up to date" if state.up_to_date else "NOT up to date"
    silent = state.up_to_date and state.is_silent(now_utc)
    fine = state.up_to_date and not silent and not state.files
    return ServerSeen(
        level=Level.HEALTHY if fine else Level.ATTENTION,
        state=state,
        standing="SILENT, was up to date" if silent else words,
    )


def pools_seen(config: PoolConfig, clock: Clock) -> tuple[PoolSeen, ...]:
    """Each pool of which a word came here, by name."""
    words = sorted(words_known(scratch_of(config), clock), key=lambda word: word.pool)
    return tuple(PoolSeen(level=_pool_level(word), word=word) for word in words)


def _pool_level(word: PoolWord) -> Level:
    late = Level.ATTENTION if word.age_s > LATE_S else Level.HEALTHY
    return worst(late, {0: Level.HEALTHY, 1: Level.ATTENTION}.get(word.exit_status, Level.BROKEN))


def words_of_pool(word: PoolWord) -> str:
    """What a pool says, in a line."""
    homes = ", ".join(f"users of {each.home} by {each.served_by} (epoch {each.epoch})" for each in word.homes)
    works = f"{word.front_end} works" if word.front_end else "NO service runs"
    return f"{', '.join(word.states)}; lag {word.lag_s:.1f} s; {homes}; {works}; known {show_age(word.age_s)} ago"


def listed(there: Iterable[Document]) -> tuple[Listed, ...]:
    """Documents as a list."""
    return tuple(
        Listed(
            name=each.name,
            version=each.version,
            size_bytes=len(each.body.encode()),
            published_utc=each.published_utc,
            author=each.author,
            note=each.note,
        )
        for each in there
    )
