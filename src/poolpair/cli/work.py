"""Commands that do some of the work now: sync, verify."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from poolpair.alongside import write_pulse
from poolpair.cli import completing
from poolpair.cli.context import EXIT_STATUSES, chosen_config, talk
from poolpair.cli.ordering import ordered
from poolpair.config import PoolConfig
from poolpair.cycle import count_unhomed, run_pass
from poolpair.decisions import begin_verify, request, resume_refused
from poolpair.errors import Code, PoolpairError
from poolpair.format.layout import channel_from_name
from poolpair.model import Channel, ExportStatus
from poolpair.pipeline.pieces import any_waits, is_begun
from poolpair.pipeline.site import Site
from poolpair.report import gather
from poolpair.service import Request
from poolpair.serving.asks import attend
from poolpair.state import VerifyResult
from poolpair.status import ChannelStatus, PairStatus
from poolpair.wiring import check_settings, initialise, open_site, working_site
from poolpair.wording import remarks

POLL_S = 0.05
REMARKS_SHOWN = 5
LATE = "the wished state did not come in time"
TIMEOUT_MAX_S = 7 * 24 * 3600
_states = completing.one_of(("steady", "final"))


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog=EXIT_STATUSES)(sync)
    app.command(epilog=EXIT_STATUSES)(verify)


def sync(
    channel: Annotated[
        str | None,
        typer.Option(
            help="users or conferences; PresenceFocus and DataConf mean the same.", autocompletion=completing.channels
        ),
    ] = None,
    wait: Annotated[
        str | None, typer.Option(help="Wait until the state is `steady` or `final`.", autocompletion=_states)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 60.0,
) -> None:
    """Force one cycle now, with the service running or not; optionally wait for a state."""
    if wait not in (None, "steady", "final"):
        raise PoolpairError(Code.USAGE, f"--wait {wait}: it is either steady or final")
    config = chosen_config()
    only = channel_from_name(channel) if channel else None

    def reached(states: list[ChannelStatus]) -> bool:
        wished = {ExportStatus.FINAL} if wait == "final" else {ExportStatus.FINAL, ExportStatus.STEADY}
        return wait is None or all(state.export.status in wished for state in states if only in (None, state.channel))

    with ordered(f"sync{f' {only}' if only else ''}"):
        _work(config, only, reached, timeout, resume=True)


def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Send what differs.")] = False,
    channel: Annotated[
        str | None, typer.Option(help="users or conferences.", autocompletion=completing.channels)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 600.0,
) -> None:
    """Compare the partner's copy of this pool's users and files with the original, bucket by bucket."""
    config = chosen_config()
    only = channel_from_name(channel) if channel else None
    before: dict[Channel, VerifyResult | None] = {}
    with ordered(f"verify{' --repair' if repair else ''}{f' {only}' if only else ''}") as site:
        if repair:
            _put_capture_back(config, site)
        for each in _chosen(site, only):
            before[each] = begin_verify(site, each, repair=repair)

    def reached(states: list[ChannelStatus]) -> bool:
        return all(
            state.export.last_verify not in (None, before[state.channel]) for state in states if state.channel in before
        )

    found = [state for state in _work(config, only, reached, timeout, resume=False) if state.channel in before]
    for state in found:
        result = state.export.last_verify
        assert result is not None
        typer.echo(show_verified(state.channel, result))
    if not all(state.export.last_verify and state.export.last_verify.equal for state in found):
        raise typer.Exit(1)


def show_verified(channel: Channel, result: VerifyResult) -> str:
    """What a comparison found, in one line."""
    count = result.differing_buckets
    differs = "1 bucket differs" if count == 1 else f"{count:,} buckets differ"
    equal = "equal (after repair)" if result.repaired else "equal"
    return f"{channel}: {equal if result.equal else differs}"


def _put_capture_back(config: PoolConfig, site: Site) -> None:
    """Put triggers back that are missing, disabled or altered; what was written meanwhile is found by the comparison that follows."""
    check_settings(site)
    try:
        site.store.check_capture()
    except PoolpairError as error:
        if error.code is not Code.CAPTURE_BROKEN:
            raise
        done = initialise(config)
        talk.print(f"put back {len(done.repaired)} triggers: {error.detail}", markup=False)


def _chosen(site: Site, only: Channel | None) -> tuple[Channel, ...]:
    if only is not None and only not in site.channels:
        raise PoolpairError(Code.USAGE, f"this pair has no channel {only}")
    return (only,) if only else site.channels


def _work(
    config: PoolConfig,
    only: Channel | None,
    reached: Callable[[list[ChannelStatus]], bool],
    timeout_s: float,
    *,
    resume: bool,
) -> list[ChannelStatus]:
    """Have a cycle forced by the running service, or do the work here while no service runs."""
    check_timeout(timeout_s)
    deadline_s = time.monotonic() + timeout_s
    try:
        with working_site(config) as site:
            return _work_here(site, only, reached, deadline_s, resume=resume)
    except PoolpairError as error:
        if error.code is not Code.LEASE:
            raise
    site = open_site(config)
    try:
        return _ask_service(site, only, reached, deadline_s, resume=resume)
    finally:
        site.store.close()


def _work_here(
    site: Site, only: Channel | None, reached: Callable[[list[ChannelStatus]], bool], deadline_s: float, *, resume: bool
) -> list[ChannelStatus]:
    channels = _chosen(site, only)
    if resume:
        resume_refused(site, channels)
    for channel in channels:
        count_unhomed(site, channel)
    first = True
    while True:
        moved = any([run_pass(site, channel, force=True, rescan=first) for channel in channels])
        first = False
        attend(site)
        write_pulse(site)
        for channel in channels:
            if fault := site.memory.faults.get(channel):
                raise PoolpairError(fault.code, fault.detail)
        if any(is_begun(site, channel) for channel in channels) and (moved or any_waits(site)):
            time.sleep(0 if moved else POLL_S)  # a package that goes in pieces goes to its end, however long that takes
            continue
        found = gather(site)
        states = list(found.channels)
        if reached(states):
            return states
        _wait_for_state(found, deadline_s)


def _ask_service(
    site: Site, only: Channel | None, reached: Callable[[list[ChannelStatus]], bool], deadline_s: float, *, resume: bool
) -> list[ChannelStatus]:
    channels = _chosen(site, only)
    if resume:
        resume_refused(site, channels)
    name = request(site, channels, rescan=True)
    while site.store.read(Request, name) is not None:
        if site.store.lease_holder() is None:
            raise PoolpairError(Code.SERVICE_DOWN, "the service ended before it carried the command out")
        wait(deadline_s)
    while True:
        found = gather(site)
        states = list(found.channels)
        for state in states:
            if state.channel in channels and state.export.fault:
                raise PoolpairError(state.export.fault.code, state.export.fault.detail)
        if reached(states):
            return states
        _wait_for_state(found, deadline_s)


def _wait_for_state(found: PairStatus, deadline_s: float) -> None:
    """Wait; at the end say what `status` says, which is most likely what was waited for."""
    if time.monotonic() < deadline_s:
        wait(deadline_s)
        return
    said = [remark.text for remark in remarks(found)]
    more = [f"and {len(said) - REMARKS_SHOWN} more"] if len(said) > REMARKS_SHOWN else []
    raise PoolpairError(Code.TIMEOUT, "; ".join((LATE, *said[:REMARKS_SHOWN], *more)))


def check_timeout(timeout_s: float) -> None:
    """Raise USAGE for what would never be over."""
    if not 0 <= timeout_s <= TIMEOUT_MAX_S:  # neither is NaN
        raise PoolpairError(Code.USAGE, f"--timeout {timeout_s}: it is a number of seconds, up to {TIMEOUT_MAX_S}")


def wait(deadline_s: float, what: str = LATE, hint: str | None = None) -> None:
    """Let a moment pass before the next look. Raises TIMEOUT after the deadline, a monotonic time in seconds."""
    if time.monotonic() >= deadline_s:
        raise PoolpairError(Code.TIMEOUT, what, hint)
    time.sleep(POLL_S)
