"""What runs beside the service of a pool where there is a management store: the store's own service, and what takes the replica.

They come and go by themselves, and never take the pool's service with them: its users are served on, whatever happens to the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from poolpair.beside import Beside
from poolpair.clock import SystemClock
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.hooks.port import Hooks
from poolpair.keyfile import KeyFile
from poolpair.management.effective import check_usable
from poolpair.management.files import WatchedFiles
from poolpair.management.holding import documents_of, management_of
from poolpair.management.local import read_local
from poolpair.management.replica import Replica, Report
from poolpair.management.replicate import Replicator
from poolpair.management.shares import share_of
from poolpair.management.taking import ReplicaTaker
from poolpair.management.words import PoolWord, word_of
from poolpair.pipeline.identity import check_own_share
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.scratch import make_scratch
from poolpair.service import Service
from poolpair.share.open import own_share
from poolpair.stopping import Stop
from poolpair.wiring import beater, hooks_of, open_site, working_site

REST_S = 5.0
"""Where every server has everything the store asks them this often whether it is so still."""
CONFIGURING = "configuring"
"""A folder in which the command for a watched file is noted while it runs: beside it the service may run another."""
PATIENCE_S, PATIENCE_MAX_S = 60.0, 3600.0
"""Between two times at which the store is left to another front end: at first, and at most."""
LOOK_S = 0.5
"""How often the store looks for what servers lack, and a server for what it was sent."""


@dataclass(slots=True)
class _Holding:
    """The service of the store, and its replication in a thread of its own: a share that does not answer holds up no word."""

    config: PoolConfig
    tell: Callable[[str], None]
    is_at_work: Callable[[], bool]
    """Whether this front end works for the pool itself."""
    service: Service | None = None
    patience_s: float = 0.0
    gave_way_s: float = 0.0

    def work(self, stop: Stop) -> None:
        """Until it is told to stop, or cannot go on, or gives the store up to a front end that has nothing else to do."""
        management = management_of(self.config)
        if not self._stand_by(management, stop):
            return
        with working_site(management) as site:
            another = beater(management, site)
            self.service = Service(site, another, lambda line: self.tell(f"cms: {line}"))
            if stop.is_set():
                return
            ended = Stop()
            replication = Beside("replication", partial(self._replicate, another), ended, self.tell)
            self.service.begin()
            replication.start()
            try:
                self.service.run()
            finally:
                ended.set()
                replication.join()

    def _stand_by(self, management: PoolConfig, stop: Stop) -> bool:
        """Wait until no other front end works for the store; False if told to end meanwhile."""
        site = open_site(management)
        try:
            while not stop.is_set() and site.store.lease_holder(management.front_end) is not None:
                stop.wait(LOOK_S)
        finally:
            site.store.close()
        return not stop.is_set()

    def _give_way(self, site: Site) -> None:
        """Tasks are spread: who works for the pool leaves the store to a front end that only stands by.

        It comes back here if that one cannot do it; it is then left alone for longer each time.
        """
        now_s = site.clock.monotonic_s()
        if not self.is_at_work() or now_s - self.gave_way_s < self.patience_s:
            return
        holder = site.store.lease_holder()
        if holder is not None and holder.standing_by and self.service is not None:
            self.tell(f"cms: left to {holder.standing_by[0]}, which stands by: this front end works for the pool")
            self.gave_way_s = now_s
            self.patience_s = min(max(2 * self.patience_s, PATIENCE_S), PATIENCE_MAX_S)
            self.service.stop()

    def _replicate(self, another: Callable[[], Site], stop: Stop) -> None:
        assert self.config.cms is not None
        site = another()
        try:
            with closing(documents_of(self.config)) as there:
                replicator = Replicator(site, there, self.config.cms.home, partial(share_of, self.config))
                rested_s, known = 0.0, object()
                while not stop.is_set():
                    hint = site.store.hint()
                    if hint != known or rested_s >= REST_S:
                        rested_s = 0.0 if replicator.round() else REST_S
                        known = hint
                        self._give_way(site)
                    stop.wait(LOOK_S)
                    rested_s += LOOK_S
        finally:
            site.store.close()

    def end(self) -> None:
        """Ask the service to end."""
        if self.service is not None:
            self.service.stop()


def _take(
    config: PoolConfig, changed: Callable[[Replica], None], hooks: Hooks, tell: Callable[[str], None], stop: Stop
) -> None:
    """Take the replica of this server."""
    keys, speaker = KeyFile(config.member_key or config.partner.key_file), _Speaker(config)
    try:
        speaker.refuse_clone()
        folder, own = make_scratch(config), own_share(config)
        server = Report(pool=config.pool, front_end=config.front_end)
        files = WatchedFiles(dict(config.watched), folder, hooks, _words_for(config), tell, SystemClock())
        check = partial(check_usable, config.path)
        taker = ReplicaTaker(
            server, own, folder, keys, changed, speaker.word, SystemClock(), files=files.look, check=check
        )
        if (known := read_local(folder)) is not None:
            changed(known)  # it may have come while nobody listened
        while not stop.is_set():
            taker.look()
            stop.wait(LOOK_S)
    finally:
        speaker.close()


class _Speaker:
    """Says how the pool stands, whenever its store can be asked: a replica is taken all the same, for it may be what mends the store."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._site: Site | None = None

    def refuse_clone(self) -> None:
        """Raise CLONE where this is a copy of a pool's database: it neither takes nor answers anything."""
        try:
            check_own_share(self._opened())
        except PoolpairError as error:
            if error.code is Code.CLONE:
                raise

    def word(self) -> PoolWord | None:
        """Nothing if the store cannot be asked now."""
        try:
            return word_of(gather(self._opened()))
        except PoolpairError:
            return None

    def close(self) -> None:
        """Let go of the store."""
        if self._site is not None:
            self._site.store.close()

    def _opened(self) -> Site:
        self._site = self._site or open_site(self._config)
        return self._site


def _words_for(config: PoolConfig) -> dict[str, str]:
    """What a command for a watched file is told of this server."""
    return {
        "POOLPAIR_POOL": config.pool,
        "POOLPAIR_PARTNER": config.partner.pool,
        "POOLPAIR_FRONT_END": config.front_end,
    }


@contextmanager
def management_beside(
    config: PoolConfig,
    tell: Callable[[str], None],
    changed: Callable[[Replica], None],
    is_at_work: Callable[[], bool],
) -> Iterator[Callable[[], None]]:
    """Run what belongs to this pool meanwhile; gives what ends it, which is safe from a signal handler."""
    stop, holding = Stop(), _Holding(config, tell, is_at_work)
    hooks = hooks_of(config, make_scratch(config) / CONFIGURING)
    beside: list[Beside] = []
    if config.cms is not None:
        beside.append(Beside("cms", holding.work, stop, tell))
    if config.cms is not None or config.member_key is not None:
        (make_scratch(config) / CONFIGURING).mkdir(mode=0o700, exist_ok=True)
        beside.append(Beside("replica", partial(_take, config, changed, hooks, tell), stop, tell))

    def end() -> None:
        stop.set()
        hooks.interrupt()
        holding.end()

    for each in beside:
        each.start()
    try:
        yield end
    finally:
        end()
        for each in beside:
            each.join()
