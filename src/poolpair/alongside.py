"""What goes on beside the line while a service works: it says that it lives, and counts what has no home. Each has a site of its own."""

from __future__ import annotations

from collections.abc import Callable

from poolpair.cycle import FATAL, count_unhomed
from poolpair.errors import PoolpairError
from poolpair.pipeline.site import Site
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
