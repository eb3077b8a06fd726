"""`python -m bench.faults`: what goes wrong with a file server, what `status` says of it and after how long, and how soon it is over."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import mkdtemp

from bench.network import ADDRESSES, network
from bench.wan import ROW, WAIT_S, Line, rows
from poolpair.lab.waiting import wait_for
from tests.smb.server import ACCOUNT, PASSWORD

POLL_S = 0.1


@contextmanager
def server_killed(line: Line) -> Iterator[None]:
    """Every process of the file server at b ends at once."""
    line.signal("b", signal.SIGKILL)
    yield
    line.serve("b")


@contextmanager
def server_stopped(line: Line) -> Iterator[None]:
    """It stands still: connections stay, nobody answers."""
    line.signal("b", signal.SIGSTOP)
    yield
    line.signal("b", signal.SIGCONT)


@contextmanager
def line_cut(line: Line) -> Iterator[None]:
    """Not a packet goes through, in either direction."""
    with line.net.lossy(100):
        yield


@contextmanager
def password_changed(line: Line) -> Iterator[None]:
    """The account has another password, and the server was started anew."""
    line.servers["b"].set_password(ACCOUNT, "another")
    line.signal("b", signal.SIGKILL)
    line.serve("b")
    yield
    line.servers["b"].set_password(ACCOUNT, PASSWORD)


@contextmanager
def permission_taken(line: Line) -> Iterator[None]:
    """The account may not enter the folders of packages any more."""
    folder = line.pools[1].share / "UserServices"
    folder.chmod(0)
    yield
    folder.chmod(0o755)


FAULTS: dict[str, Callable[[Line], AbstractContextManager[None]]] = {
    "server killed": server_killed,
    "server stands still": server_stopped,
    "line cut": line_cut,
    "password changed": password_changed,
    "permission taken away": permission_taken,
}


def said(line: Line) -> str:
    """What status at a says is wrong, if it does."""
    for channel in line.pools[0].status()["channels"]:
        fault = channel["export"]["fault"]
        if fault:
            return f"{fault['code']} {fault['detail']}"
    return ""


def main() -> None:
    """Every fault by itself; the application at a writes meanwhile."""
    folder = Path(mkdtemp(prefix="poolpair-faults-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with network() as net:
            line = Line(net, folder)
            with line.services(far=False):
                print(
                    "| fault | status says | noticed after, s | a row arrives, once it is over, after, s |\n|---|---|---|---|"
                )
                for number, (name, fault) in enumerate(FAULTS.items()):
                    print(_row(line, f"fault-{number}", name, fault), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _row(line: Line, user: str, name: str, fault: Callable[[Line], AbstractContextManager[None]]) -> str:
    a, b = line.pools
    with fault(line):
        began = time.monotonic()
        a.change((ROW, (user, "1", "x")))
        wait_for(f"word of: {name}", lambda: said(line), WAIT_S, poll_s=POLL_S)
        noticed, words = time.monotonic() - began, said(line)
    began = time.monotonic()
    wait_for(f"a row after: {name}", lambda: rows(b, user) == 1, WAIT_S, poll_s=POLL_S)
    recovered = time.monotonic() - began
    wait_for("rest", a.is_final, WAIT_S, poll_s=0.5)
    return f"| {name} | {_brief(words, line)} | {noticed:.1f} | {recovered:.1f} |"


def _brief(words: str, line: Line) -> str:
    return words.replace(f"smb://{ADDRESSES['b']}:{line.servers['b'].port}/pools/share-b", "smb://...").replace(
        "|", "/"
    )


if __name__ == "__main__":
    main()
