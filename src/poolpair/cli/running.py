"""The command that runs the service: run. Of several front ends of a pool one works, the others stand by."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from poolpair.beside import AGAIN_S, Beside
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.clock import SystemClock
from poolpair.config import PoolConfig
from poolpair.errors import Code, PoolpairError
from poolpair.journal import PackageNote, line_of
from poolpair.management.beside import management_beside
from poolpair.management.effective import says_the_same
from poolpair.management.replica import Replica
from poolpair.moves import HookStep
from poolpair.pipeline.identity import check_own_share, refuse_clone
from poolpair.printable import printable
from poolpair.scratch import make_scratch
from poolpair.service import Service
from poolpair.serving.imports import tell_of_imports
from poolpair.stopping import Stop
from poolpair.supervisor import ALIVE, notify
from poolpair.wiring import beater, check_settings, hooks_of, initialise, is_outdated, open_site, working_site

IMPORTS = "imports"
"""A folder in which these commands are noted while they run: beside them the service may run another."""
STAND_BY_S = 0.5
"""How often a front end that stands by looks whether the one that works is still there."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EXIT_STATUSES)(run)


def run(
    allow_root: Annotated[bool, typer.Option("--allow-root", help="Run even as root.")] = False,
    log: Annotated[
        str, typer.Option(help="`text` for people, `json` for whatever gathers logs: a document a line.")
    ] = "text",
) -> None:
    """Run the service in the foreground until SIGTERM or SIGINT; while another front end of a pool on PostgreSQL works it stands by."""
    if log not in {"text", "json"}:
        raise PoolpairError(Code.USAGE, f"--log {log}: it is either text or json")
    config = chosen_config()
    if os.geteuid() == 0 and not allow_root:
        raise PoolpairError(Code.ROOT, "the service should run as the application's user, not as root")
    ended = Stop()
    while _FrontEnd(config, ended, as_json=log == "json").run():
        config = chosen_config()


@contextmanager
def imports_beside(config: PoolConfig, tell: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Run the operator's command after each import meanwhile, if there is one; gives what ends that, safe from a signal handler."""
    hooks, stop = hooks_of(config, make_scratch(config) / IMPORTS), Stop()

    def work(stop: Stop) -> None:
        site = open_site(config)
        try:
            check_own_share(site)  # a clone runs no command
            tell_of_imports(site, hooks, stop, tell)
        finally:
            site.store.close()

    def end() -> None:
        stop.set()
        hooks.interrupt()

    beside = Beside("after an import", work, stop, tell)
    if HookStep.AFTER_IMPORT in hooks.commands:
        (make_scratch(config) / IMPORTS).mkdir(mode=0o700, exist_ok=True)
        beside.start()
    try:
        yield end
    finally:
        end()
        beside.join()


class _FrontEnd:
    """A process with one configuration: it works, or stands by, until it is told to end, or to go by another one."""

    def __init__(self, config: PoolConfig, ended: Stop, *, as_json: bool) -> None:
        self._config, self._ended = config, ended
        self._as_json = as_json
        self._changed = Stop()
        self._service: Service | None = None
        self._found_store = self._is_at_work = False
        self._took_part = False
        """It worked or stood by: then a database that goes away is waited for, else whoever starts the service is told."""

    def run(self) -> bool:
        """Returns whether the management store says something else now. Raises LEASE if this front end works already."""
        for line in self._config.overruled:
            self._tell(f"{self._config.path.name}: {line}")
        with (
            management_beside(self._config, self._tell, self._look, lambda: self._is_at_work) as end_management,
            imports_beside(self._config, self._tell) as end_imports,
        ):

            def stop(*_: object) -> None:
                self._ended.set()
                self._end_service()
                end_management()
                end_imports()

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            while self._is_to_go_on and self._is_prepared() and self._stand_by():
                try:
                    self._work()
                except PoolpairError as error:
                    if error.code is not Code.LEASE and not (error.code is Code.STORE_MISSING and self._took_part):
                        raise
                    self._tell(f"{error.code}: {error.detail}")  # and the next look says whether by another front end
                    self._ended.wait(STAND_BY_S)
        if self._ended.is_set():
            notify("STOPPING=1")
        return not self._ended.is_set()

    @property
    def _is_to_go_on(self) -> bool:
        return not (self._ended.is_set() or self._changed.is_set())

    def _is_prepared(self) -> bool:
        """Bring the store to homes and a profile that the management store has changed; False if told to end meanwhile.

        What keeps it from that is said, and tried again: another front end is at it, or what was published does not fit and is corrected.
        """
        said = ""
        while self._is_to_go_on:
            try:
                if is_outdated(self._config):
                    initialise(self._config)
                return True
            except PoolpairError as error:
                if self._config.cms is None and self._config.member_key is None:
                    raise
                words = f"{error.code}: {error.detail}; the store is not as the management store says, and this is tried again"
                if words != said:
                    self._tell(words)
                said = words
                notify(ALIVE)
                self._ended.wait(AGAIN_S)
        return False

    def _stand_by(self) -> bool:
        """Wait until nobody works for the pool; False if told to end meanwhile. Raises LEASE if it is this front end itself.

        A database that was there and goes away is waited for, as whoever works waits for it: it may come back, or fail over.
        """
        said = ""
        while self._is_to_go_on:
            try:
                return self._look_for_work()
            except PoolpairError as error:
                if error.code is not Code.STORE_MISSING or not self._found_store:
                    raise
                if error.detail != said:
                    self._tell(f"{error.code}: {error.detail}; this front end waits for it")
                    said = error.detail
                notify(ALIVE)
                self._ended.wait(STAND_BY_S)
        return False

    def _look_for_work(self) -> bool:
        """Stand by as long as the database answers. Raises what it says otherwise."""
        site, said = open_site(self._config), ""
        self._found_store = True
        try:
            check_settings(site)
            refuse_clone(site)  # it has nobody to stand by for, whatever its own copy of the lease says
            while self._is_to_go_on:
                holder = site.store.lease_holder(self._config.front_end)
                if holder is None:
                    return True
                if holder.front_end == self._config.front_end:
                    detail = f"a service already works for this pool: {holder.holder} since {holder.since_utc}"
                    raise PoolpairError(Code.LEASE, detail)
                self._took_part = True
                if holder.front_end != said:
                    self._tell(f"front end {holder.front_end} works for pool {site.pool}; this one stands by")
                    said = holder.front_end
                    notify("READY=1")
                notify(ALIVE)
                self._ended.wait(STAND_BY_S)
        finally:
            site.store.close()
        return False

    def _work(self) -> None:
        with working_site(self._config) as site:
            self._service = Service(site, beater(self._config, site), self._tell, lambda: notify(ALIVE))
            if self._is_to_go_on:
                self._service.begin()
                begun = f"pool {site.pool} works with {site.partner}; stop with SIGTERM"
                if self._as_json:
                    self._tell(begun)
                else:
                    talk.print(begun, markup=False)
                notify("READY=1")
                self._is_at_work = self._took_part = True
                try:
                    self._service.run()
                finally:
                    self._is_at_work = False

    def _end_service(self) -> None:
        if self._service is not None:
            self._service.stop()

    def _look(self, _: Replica) -> None:
        """The replica of this server is another one."""
        if not says_the_same(chosen_config(), self._config):
            self._tell("the management store says something else than before: it counts from now on")
            self._changed.set()
            self._end_service()

    def _tell(self, said: str | PackageNote) -> None:
        at_utc = SystemClock().utc_iso()
        words = said if isinstance(said, str) else said.text()
        if self._as_json:
            typer.echo(line_of(at_utc, self._config.pool, said), err=True)
        else:
            talk.print(f"{at_utc} {printable(words)}", markup=False)
