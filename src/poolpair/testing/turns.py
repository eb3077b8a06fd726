"""What a simulated service does once, by the steps of the real one, each in the order in which its threads take them."""

from __future__ import annotations

from contextlib import suppress

from poolpair.alongside import write_pulse
from poolpair.cycle import beat, count_unhomed, run_pass
from poolpair.errors import PoolpairError
from poolpair.model import Channel
from poolpair.service import REQUEST, Request
from poolpair.serving.asks import attend
from poolpair.serving.gate import close_for_silence, tend
from poolpair.testing.schema import CHANNELS
from poolpair.testing.world import Process


def one_pass(process: Process, channels: tuple[Channel, ...], *, force: bool, rescan: bool) -> bool:
    """What the service does in one look."""
    store = process.site.store
    with suppress(PoolpairError):
        asked = store.read_all(Request, REQUEST)
        force, rescan = force or bool(asked), rescan or any(each.rescan for each in asked.values())
    moved = [run_pass(process.site, channel, force=force, rescan=rescan) for channel in channels]
    with suppress(PoolpairError), store.transaction() as tx:
        for name in tx.names(REQUEST):
            tx.delete(name)
    with suppress(PoolpairError):
        moved.append(attend(process.site))
    with suppress(PoolpairError):
        moved.append(tend(process.site))
    with suppress(PoolpairError):
        write_pulse(process.site)
        process.told = True
    return any(moved)


def one_beat(process: Process, channels: tuple[Channel, ...]) -> bool:
    """What the threads beside do once: the heartbeat, silence, the pulse."""
    spoke = [beat(process.beater, channel) for channel in channels]
    with suppress(PoolpairError):
        close_for_silence(process.beater)
    with suppress(PoolpairError):
        write_pulse(process.beater)
        process.told = True
    return any(spoke)


def one_count(process: Process) -> bool:
    """The housekeeping of an interval."""
    with suppress(PoolpairError):
        for channel in CHANNELS:
            count_unhomed(process.site, channel)
        process.site.own.sweep_temp(24 * 3600.0)
    return False
