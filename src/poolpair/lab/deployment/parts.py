"""What is done to one part of a lab: started, ended, killed, frozen. Only the process that the lab started is ever met."""

from __future__ import annotations

import signal
import sys

from poolpair.errors import Code, PoolpairError
from poolpair.lab.deployment.layout import Layout
from poolpair.lab.deployment.process import Mark, end, load_mark, mark_of, send, spawn, state, wait_end
from poolpair.lab.deployment.servers import start_server
from poolpair.lab.pool import service_command
from poolpair.lab.waiting import NotSeen, wait_for

BEGIN_S = 60.0
END_S = 20.0
APPLICATION = (sys.executable, "-m", "poolpair.lab.deployment.application")


def mark(layout: Layout, part: str) -> Mark | None:
    """Which process a part was when it was last started."""
    return load_mark(layout.mark(part))


def stands(layout: Layout, part: str) -> str:
    """`up`, `frozen` or `down`."""
    return state(mark(layout, part))


def start(layout: Layout, part: str) -> bool:
    """Start a part, or wake it; False if it was up already. Raises STORE_MISSING for a server that does not start."""
    now = stands(layout, part)
    if now == "frozen":
        send(mark(layout, part), signal.SIGCONT)
    if now != "down":
        return now == "frozen"
    _spawn(layout, part).save(layout.mark(part))
    return True


def _spawn(layout: Layout, part: str) -> Mark:
    pool = layout.owner(part)
    if part == pool.database:
        pid = start_server(layout, pool.name)
        return mark_of(pid) or Mark(pid=pid, started=0, boot_id="")
    if part == pool.application:
        return spawn([*APPLICATION, str(layout.folder), pool.name], layout.log(part))
    return spawn(service_command(layout.toml(part)), layout.log(part))


def await_service(layout: Layout, part: str, said_bytes: int = 0) -> None:
    """Wait until a front end says that it works or stands by, behind `said_bytes` of its log. Raises SERVICE_DOWN with what it says."""
    log = layout.log(part)

    def begun() -> bool:
        text = log.read_bytes()[said_bytes:].decode(errors="replace") if log.exists() else ""
        if "works with" in text or "stands by" in text:
            return True
        if stands(layout, part) == "down":
            last = " / ".join(text.splitlines()[-3:])
            raise PoolpairError(Code.SERVICE_DOWN, f"the service of {part} ended: {last}", f"look at {log}")
        return False

    try:
        wait_for(f"{part} at work", begun, BEGIN_S, poll_s=0.1)
    except NotSeen as reason:
        raise PoolpairError(Code.TIMEOUT, str(reason), f"look at {log}") from None


def kill(layout: Layout, part: str) -> bool:
    """SIGKILL, as a power cut does it to a process; False if it was down already."""
    found = mark(layout, part)
    met = send(found, signal.SIGKILL)
    wait_end(found, END_S)
    return met


def freeze(layout: Layout, part: str) -> bool:
    """It stands still and keeps what it holds, as a virtual machine that is paused; False if it is down."""
    return send(mark(layout, part), signal.SIGSTOP)


def stop(layout: Layout, part: str) -> bool:
    """End a part as it should be ended; False if it had to be killed."""
    found = mark(layout, part)
    if part == layout.owner(part).database:
        # To a server SIGTERM means to wait for its clients, SIGINT to send them away.
        send(found, signal.SIGINT, signal.SIGCONT)
        if wait_end(found, END_S):
            return True
    return end(found, END_S)
