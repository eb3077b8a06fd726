"""The service: runs the passes of every channel, and the heartbeat beside them, until it is told to stop.

One thread works along the line; a second sends heartbeats and writes the pulse, so that a long apply or a slow delivery does not
look like silence to the partner; a third counts what has no home, for which it looks at every row while the line goes on; a fourth
says to the store that this process lives. None of them holds anything that the store does not: `kill -9` at any instant is a normal event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from poolpair.alongside import count_what_has_no_home, mind_the_time, quietly, say_it_lives, write_pulse
from poolpair.cycle import FATAL, beat, due_beats, run_pass
from poolpair.errors import PoolpairError
from poolpair.format.layout import cookie_dir, data_dir, task_file
from poolpair.journal import Journal, PackageNote
from poolpair.model import Channel
from poolpair.pacing import Pace, listen_every
from poolpair.pipeline.identity import check_own_share
from poolpair.pipeline.pieces import any_waits
from poolpair.pipeline.reach import look_at_tree
from poolpair.pipeline.site import Site
from poolpair.serving.asks import attend
from poolpair.serving.gate import begin, tend
from poolpair.stopping import Stop

FULL_LOOK_S = 30.0
"""A whole pass at least this often (or once per interval), whatever the hints say."""
PULSE_S = 1.0
"""A word this much newer than the one that `status` knows of is written down at once, not with the next heartbeat."""
JOIN_S = 10.0
"""To look at every row of a large table may take longer; the process ends without it."""
TEMP_SWEEP_S = 3600.0
TEMP_OLD_S = 24 * 3600.0
REQUEST = "request/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command left in the store for the running service; deleted when it was carried out."""

    channels: tuple[Channel, ...]
    rescan: bool = False


class Service:
    """Runs one site. `make_another` gives each thread beside the line a site of its own, sharing the memory of the first.

    `alive` is called once in each turn of the loop, and as long steps get on, for a watchdog.
    """

    def __init__(
        self,
        site: Site,
        make_another: Callable[[], Site],
        tell: Callable[[str | PackageNote], None],
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._site = site
        site.memory.alive = self._alive = alive
        self._journal = Journal()
        self._make_another = make_another
        self._tell = tell
        self._stop = Stop()
        self._faults: dict[Channel, str] = {}
        self._hints: object = None
        self._share_hint: object = None
        self._folders = [folder for channel in site.channels for folder in (data_dir(channel), cookie_dir(channel))]
        self._pace = Pace()
        self._full_s: float | None = None
        self._told_s: float | None = None
        self._swept_s: float | None = None
        self._fatal: Exception | None = None
        self._begun = False
        self._gate_fault = ""
        self._is_named = False
        self._house_faults: frozenset[str] = frozenset()

    def stop(self) -> None:
        """Ask the service to end after the present step; safe from a signal handler."""
        self._stop.set()
        self._site.hooks.interrupt()

    def begin(self) -> None:
        """Close the gate, if it is to be closed at the start, before anything else. Raises PoolpairError(LEASE)."""
        self._site.memory.started_s = self._site.clock.monotonic_s()
        self._tend_gate(begin)

    def run(self) -> None:
        """Work until `stop`, after `begin`. Raises PoolpairError(LEASE) if another service took over."""
        site = self._site
        works: tuple[Callable[[Site], None], ...] = (
            self._beats,
            lambda other: count_what_has_no_home(other, self._stop, self._tell),
            lambda other: say_it_lives(other, self._stop),
            lambda other: mind_the_time(other, self._stop, self._tell),
        )
        beside = [threading.Thread(target=self._beside, args=(do,), daemon=True) for do in works]
        for thread in beside:
            thread.start()
        try:
            while not self._stop.is_set():
                self._alive()
                began_s = site.clock.monotonic_s()
                moved = self._look()
                if self._tend_gate(tend if self._begun else begin):
                    moved, self._hints = True, None  # what waited for it may go on
                took_s = site.clock.monotonic_s() - began_s
                whole = self._full_s is not None and self._full_s >= began_s
                self._rest(self._pace.after(moved=moved, whole=whole, took_s=took_s, faulty=bool(self._faults)))
        finally:
            self._stop.set()
            for thread in beside:
                thread.join(JOIN_S)
        if self._fatal is not None:
            raise self._fatal

    def _rest(self, wait_s: float) -> None:
        """Wait so long, or until the partner dropped something, or `stop`."""
        clock = self._site.clock
        now = clock.monotonic_s()
        until_s, listen_s = now + wait_s, listen_every(0)
        while now < until_s and not self._stop.is_set():
            self._stop.wait(min(listen_s, until_s - now))
            asked_s = clock.monotonic_s()
            if self._look_at_share() != self._share_hint:
                return
            now = clock.monotonic_s()
            listen_s = listen_every(now - asked_s)

    def _look(self) -> bool:
        """One look: cheap hints first, the whole pass if one changed, something failed, or a heartbeat went by."""
        site, now = self._site, self._site.clock.monotonic_s()
        hints = self._read_hints()
        requested = self._requests() if hints is None or hints != self._hints else {}
        overdue = self._full_s is None or now - self._full_s >= min(FULL_LOOK_S, site.limits.interval_s)
        wrong = self._faults or site.memory.unheard or site.memory.applying or any_waits(site)
        if hints is not None and hints == self._hints and not (requested or overdue or wrong):
            return False
        self._full_s = now
        self._housekeeping(now)
        if self._journal.is_new:
            self._tell_packages([True for _ in site.channels])
        force = {channel for request in requested.values() for channel in request.channels}
        rescan = any(request.rescan for request in requested.values())
        moved = [run_pass(site, channel, force=channel in force, rescan=rescan) for channel in site.channels]
        self._tell_packages(moved)
        moved.append(self._advance())
        self._carried_out(requested)
        self._tell_faults()
        if site.memory.echoed_s is not None and (
            self._told_s is None or site.memory.echoed_s - self._told_s >= PULSE_S
        ):
            self._told_s = site.memory.echoed_s
            write_pulse(site)
        self._hints = hints if not any(moved) else None
        return any(moved)

    def _advance(self) -> bool:
        """Take up what the partner asks for, and the next step of a failover or failback, if one is under way."""
        try:
            return attend(self._site, self._tell)
        except PoolpairError as error:
            if error.code in FATAL:
                raise
            self._tell(f"plan: {error}")
            return False

    def _tend_gate(self, step: Callable[[Site, Callable[[str], None]], bool]) -> bool:
        """What the store refuses now is done at the next look, and said once."""
        try:
            moved, said = step(self._site, self._tell), ""
            self._begun = True
        except PoolpairError as error:
            if error.code in FATAL:
                raise
            moved, said = False, f"gate: {error}"
        if said and said != self._gate_fault:
            self._tell(said)
        self._gate_fault = said
        return moved

    def _carried_out(self, requested: Iterable[str]) -> None:
        """Forget requests; what the store does not let go now is carried out once more, which harms nothing."""
        for name in requested:
            try:
                with self._site.store.transaction() as tx:
                    tx.delete(name)
            except PoolpairError as error:
                if error.code in FATAL:
                    raise

    def _read_hints(self) -> object:
        """Ask in microseconds whether somebody wrote to the database, the share or the tree."""
        site, self._share_hint = self._site, self._look_at_share()
        try:
            tree = look_at_tree(site, site.tree) if site.tree is not None else None
            return (site.store.hint(), self._share_hint, tree)
        except PoolpairError:
            return None

    def _look_at_share(self) -> object:
        return self._site.own.changed_hint(self._folders)

    def _requests(self) -> dict[str, Request]:
        try:
            return self._site.store.read_all(Request, REQUEST)
        except PoolpairError:
            return {}

    def _housekeeping(self, now: float) -> None:
        """What the own share does not take now it may take at a later look; why it does not is said once, until it is something else."""
        said: set[str] = set()
        for chore in (self._name_front_end, self._sweep):
            try:
                chore(now)
            except PoolpairError as error:
                if error.code in FATAL:
                    raise
                said.add(f"housekeeping: {error}")
        for words in sorted(said - self._house_faults):
            self._tell(words)
        self._house_faults = frozenset(said)

    def _name_front_end(self, _now: float) -> None:
        """For people: nothing waits for it."""
        site = self._site
        if not self._is_named:
            check_own_share(site)
            site.own.write_small(task_file(site.lead), (site.front_end + "\n").encode())
            self._is_named = True

    def _sweep(self, now: float) -> None:
        if self._swept_s is None or now - self._swept_s >= TEMP_SWEEP_S:
            check_own_share(self._site)
            self._site.own.sweep_temp(TEMP_OLD_S)
            self._swept_s = now

    def _tell_packages(self, moved: list[bool]) -> None:
        """Say what became of packages in this pass; if the store does not say it now, the next pass does."""
        for channel in (each for each, some in zip(self._site.channels, moved, strict=True) if some):
            with quietly():
                for note in self._journal.news(self._site, channel):
                    self._tell(note)

    def _tell_faults(self) -> None:
        """Say each fault once when it comes and once when it has gone."""
        faults = {channel: f"{fault.code}: {fault.detail}" for channel, fault in self._site.memory.faults.items()}
        for channel in self._site.channels:
            before, after = self._faults.get(channel), faults.get(channel)
            if after and after != before:
                self._tell(f"{channel}: {after}")
            elif before and not after:
                self._tell(f"{channel}: works again")
        self._faults = faults

    def _beats(self, site: Site) -> None:
        """The heartbeat: a cookie on the first channel, on the others once per interval."""
        last_all_s: float | None = None
        while not self._stop.is_set():
            now = site.clock.monotonic_s()
            every = last_all_s is None or now - last_all_s >= site.limits.interval_s
            for channel in due_beats(site, every=every):
                beat(site, channel)
            if every:
                last_all_s = now
            self._stop.wait(site.limits.heartbeat_s)

    def _beside(self, work: Callable[[Site], None]) -> None:
        """What a thread does, with a site of its own; what ends it ends the service."""
        try:
            site = self._make_another()
            try:
                work(site)
            finally:
                site.store.close()
        except Exception as error:  # whatever it is: a service without its heartbeat is none
            self._fatal = error
            self._stop.set()
