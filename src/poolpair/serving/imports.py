"""After an import every front end of a pool, at work or standing by, runs a command of the operator's: who remembers rows reads them anew.

The command is told the channel and the position, not the rows; it is run once for however many packages came meanwhile, and once
when the process starts, for what came while it was not there. One that fails is run again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from poolpair.errors import PoolpairError
from poolpair.hooks.port import Hooks
from poolpair.model import Channel, Position
from poolpair.moves import HookRun, HookStep, hook_name
from poolpair.pipeline.site import Site, inbound_name
from poolpair.serving.hooked import call
from poolpair.state import Inbound
from poolpair.stopping import Stop

LOOK_S = 0.5
RETRY_S = 30.0
"""A command that failed is not run more often, unless more arrives."""


def tell_of_imports(site: Site, hooks: Hooks, stop: Stop, tell: Callable[[str], None]) -> None:
    """Until told to stop. `hooks` are of this thread alone, for the service may run another command meanwhile. Raises STORE_*."""
    site.hooks = hooks
    told: dict[Channel, Position] = {}
    tried: dict[Channel, tuple[Position, float]] = {}
    hint: object = None
    while not stop.is_set():
        seen = site.store.hint()
        if seen != hint or tried:
            site.store.refresh()
            for channel in site.channels:
                inbound = site.store.read(Inbound, inbound_name(channel))
                applied = inbound.applied if inbound else None
                if applied is None or told.get(channel) == applied or _failed_lately(site, tried.get(channel), applied):
                    continue
                if _run(site, channel, applied, tell):
                    told[channel] = applied
                    tried.pop(channel, None)
                else:
                    tried[channel] = (applied, site.clock.monotonic_s())
            hint = seen
        stop.wait(LOOK_S)


def _failed_lately(site: Site, tried: tuple[Position, float] | None, applied: Position) -> bool:
    return tried is not None and tried[0] == applied and site.clock.monotonic_s() - tried[1] < RETRY_S


def _run(site: Site, channel: Channel, applied: Position, tell: Callable[[str], None]) -> bool:
    """Whether the command ended well."""
    words = {
        "POOLPAIR_STEP": HookStep.AFTER_IMPORT.value,
        "POOLPAIR_POOL": site.pool,
        "POOLPAIR_PARTNER": site.partner,
        "POOLPAIR_CHANNEL": channel.value,
        "POOLPAIR_STREAM": applied.stream,
        "POOLPAIR_SEQUENCE": str(applied.sequence),
        "POOLPAIR_FRONT_END": site.front_end,
    }
    run = call(site, HookStep.AFTER_IMPORT, site.partner, words)
    if run is None:
        return False
    if run.failure:
        tell(f"the hook {run.step} {run.failure}; it runs again: {run.output.strip()[-200:]}")
    _note(site, run)
    return not run.failure


def _note(site: Site, run: HookRun) -> None:
    """For `poolpair hook`; of several front ends the last that ran it."""
    with suppress(PoolpairError), site.store.transaction(lazily=True) as tx:  # what is not noted was run all the same
        tx.save(hook_name(run.home, run.step), run)
