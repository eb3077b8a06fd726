"""What goes on beside the line while a service works: it says that it lives and how it goes, minds silence, and counts what has no home.

Each has a site of its own. None touches a share: a mount that hangs keeps whoever touches it, for as long as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from poolpair.cycle import FATAL, count_unhomed
from poolpair.errors import PoolpairError
from poolpair.history import Recorder
from poolpair.pipeline.site import Site
from poolpair.pulse import PULSE, pulse
from poolpair.serving.gate import close_for_silence
from poolpair.stopping import Stop
from poolpair.store.kind import StoreHandle

RENEW_S = 1.0
COUNT_REST = 50.0
"""To count takes no more than this part of the time, however large the tables are."""


def say_it_lives(site: Site, stop: Stop) -> None:
    """Say to the store that this process lives: one that stands still loses the lease to another front end."""
    assert isinstance(site.store, StoreHandle)
    while not stop.is_set():
        try:
            site.store.join_lease(site.store.lease_number)
        except PoolpairError as error:
            if error.code in FATAL:
                raise
        stop.wait(RENEW_S)


def count_what_has_no_home(site: Site, stop: Stop, tell: Callable[[str], None]) -> None:
    """At the start, and once per interval if something was written since."""
    counted: object = None
    while not stop.is_set():
        began_s = site.clock.monotonic_s()
        try:
            hint = site.store.hint()
            if counted is None or hint != counted:
                for channel in site.channels:
                    count_unhomed(site, channel)
                counted = hint
        except PoolpairError as error:
            if error.code in FATAL:
                raise
            tell(f"counting: {error}")
        took_s = site.clock.monotonic_s() - began_s
        stop.wait(max(site.limits.interval_s, COUNT_REST * took_s))


def mind_the_time(site: Site, stop: Stop, tell: Callable[[str], None]) -> None:
    """Write the pulse with each heartbeat and note the day; once a second see whether the partner is silent for too long."""
    recorder, told_s, said = Recorder(), float("-inf"), ""
    while not stop.is_set():
        now = site.clock.monotonic_s()
        if now - told_s >= site.limits.heartbeat_s:
            write_pulse(site)
            told_s = now
            with quietly():  # a day's curves are nothing that a service ends for
                recorder.note(site)
        try:
            close_for_silence(site, tell)
            said = ""
        except PoolpairError as error:
            if error.code in FATAL:
                raise
            if str(error) != said:
                tell(f"gate: {error}")
            said = str(error)
        stop.wait(min(RENEW_S, site.limits.heartbeat_s))


@contextmanager
def quietly() -> Iterator[None]:
    """What the store refuses now is no matter."""
    try:
        yield
    except PoolpairError as error:
        if error.code in FATAL:
            raise


def write_pulse(site: Site) -> None:
    """Write the pulse, unless the store cannot take it now: then a later one tells."""
    with quietly(), site.store.transaction() as tx:
        tx.save(PULSE, pulse(site))
