"""`python -m bench.wan`: a pair whose shares are on file servers, over a line that is far, thin, lossy or cut; beside rsync.

Both do the same thing over the same line: a large file, a thousand small changes. rsync copies files; ours carries rows and applies
them, and a file with its row. Each condition by itself, figures by the wall clock, from the change to its being there.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import mkdtemp

from bench.network import ADDRESSES, Network, network
from bench.report import Report, machine
from poolpair.lab.pool import Pool, make_pools, service_command
from poolpair.lab.waiting import wait_for
from tests.prosody.server import free_port
from tests.smb.server import ACCOUNT, PASSWORD, SmbServer

DELAY_MS = 20.0
RATE = "20mbit"
LOSS_PERCENT = 1
SMALL = 1000
LAG_CHANGES = 100
LAG_REST_S = 0.2
CUT_RATE_S = 0.02
WAIT_S = 600.0
ROW = "INSERT INTO prosody (host, user, store, key, type, value) VALUES ('a.example', ?, 'roster', ?, 'string', ?)"
UPLOAD = (
    'INSERT INTO prosodyarchive (host, user, store, key, "when", "with", type, value)'
    " VALUES ('share.a.example', '', 'uploads', ?, 1, 'x', 'xml', '<request/>')"
)
POLL_S = 0.002


class Line:
    """Both sites with a file server and an rsync server each, and the ports by which the other is reached at the moment."""

    def __init__(self, net: Network, folder: Path) -> None:
        self.net, self.folder = net, folder
        self.servers = {
            site: SmbServer(
                folder / f"smbd-{site}", {"pools": folder}, extra=f"   interfaces = {ADDRESSES[site]}/24 127.0.0.1/8"
            )
            for site in ADDRESSES
        }
        self._smbd: dict[str, subprocess.Popen[bytes]] = {}
        for site in self.servers:
            self.serve(site)
        self.rsync_port = free_port()
        module = folder / "rsync-b"
        module.mkdir()
        config = folder / "rsyncd.conf"
        config.write_text(f"use chroot = no\nuid = root\ngid = root\n[copy]\npath = {module}\nread only = no\n")
        net.start(
            "b",
            "rsync",
            "--daemon",
            "--no-detach",
            f"--port={self.rsync_port}",
            f"--config={config}",
            log=folder / "rsyncd.log",
        )
        net.wait_for_port("a", ADDRESSES["b"], self.rsync_port)
        self.rsync_at = (ADDRESSES["b"], self.rsync_port)
        self.pools = make_pools(folder, interval='"5s"')
        login = folder / "login"
        login.write_text(f"username={ACCOUNT}\npassword={PASSWORD}\n")
        login.chmod(0o600)
        self.plain = {pool.name: pool.toml.read_text() for pool in self.pools}
        for pool in self.pools:
            for path in (pool.share, *pool.share.rglob("*")):
                shutil.chown(path, ACCOUNT)

    def serve(self, site: str) -> None:
        """Start the file server of a site."""
        server = self.servers[site]
        command = ("smbd", "-s", server.config, "--foreground", "--no-process-group")
        self._smbd[site] = self.net.start(site, *command, log=self.folder / "smbd.log")
        self.net.wait_for_port(site, ADDRESSES[site], server.port)

    def signal(self, site: str, number: signal.Signals) -> None:
        """Send a signal to the file server of a site, and to what it started."""
        os.killpg(self._smbd[site].pid, number)
        if number == signal.SIGKILL:
            self._smbd[site].wait()

    @contextmanager
    def services(self, *, far: bool) -> Iterator[None]:
        """Both services, which reach each other directly, or `far` away."""
        reached = {}
        for site, other in (("a", "b"), ("b", "a")):
            host, port = ADDRESSES[other], self.servers[other].port
            if far:
                near = free_port()
                self.net.delayed(site, near, other, port, DELAY_MS, self.folder / "delay.log")
                host, port = "127.0.0.1", near
            reached[site] = f"smb://{host}:{port}/pools/share-{other}"
        self.rsync_at = (ADDRESSES["b"], self.rsync_port)
        if far:
            near = free_port()
            self.net.delayed("a", near, "b", self.rsync_port, DELAY_MS, self.folder / "delay.log")
            self.rsync_at = ("127.0.0.1", near)
        processes = []
        for pool in self.pools:
            before = f'share = "{self.folder}/share-{pool.partner}"'
            after = f'share = "{reached[pool.name]}"\nshare_credentials = "{self.folder}/login"'
            pool.toml.write_text(self.plain[pool.name].replace(before, after))
            processes.append(self.net.start(pool.name, *service_command(pool.toml), log=pool.log))
        try:
            wait_for("a pair at rest", lambda: all(pool.is_final() for pool in self.pools), WAIT_S, poll_s=1.0)
            yield
        finally:
            for process in processes:
                process.terminate()
                process.wait(30)


def until(what: str, there: Callable[[], bool]) -> float:
    """When it was there, by the monotonic clock."""
    wait_for(what, there, WAIT_S, poll_s=POLL_S)
    return time.monotonic()


def rows(pool: Pool, user: str) -> int:
    """How many rows of a user are there."""
    return int(pool.ask("SELECT count(*) FROM prosody WHERE host = 'a.example' AND user = ?", user)[0][0])


def ours(line: Line, name: str, file_bytes: int, report: Report) -> None:
    """What is carried by the pair."""
    a, b = line.pools
    slot, began = f"{name}-slot", time.monotonic()
    source = a.uploads / f"{name}.bin"
    part = source.with_suffix(".part")
    part.write_bytes(random.Random(name).randbytes(file_bytes))
    a.change((UPLOAD, (slot,)))
    began = time.monotonic()
    part.rename(source)
    target = b.data / source.relative_to(a.data)
    users = f"{name}-beside"
    beside = time.monotonic()
    a.change((ROW, (users, "1", "x")))
    row_s = until("a row beside the file", lambda: rows(b, users) == 1) - beside
    ended = until("the file", lambda: target.exists() and target.stat().st_size == file_bytes)
    report.note(f"{name}: file of {file_bytes >> 20} MiB, s", "poolpair", ended - began)
    report.note(f"{name}: a row that is changed as the file begins, s", "poolpair", row_s)
    wait_for("rest", a.is_final, WAIT_S, poll_s=0.5)
    began = time.monotonic()
    a.change(*((ROW, (name, str(number), "y" * 200)) for number in range(SMALL)))
    report.note(
        f"{name}: {SMALL} small changes, s", "poolpair", until("changes", lambda: rows(b, name) == SMALL) - began
    )
    lags = []
    for number in range(LAG_CHANGES):
        user = f"{name}-lag-{number}"
        began = time.monotonic()
        a.change((ROW, (user, "1", "z")))
        lags.append(1000 * (until("a change", lambda user=user: rows(b, user) == 1) - began))  # type: ignore[misc]
        time.sleep(LAG_REST_S)
    report.note(f"{name}: lag p50, ms", "poolpair", statistics.median(lags))
    report.note(f"{name}: lag p99, ms", "poolpair", statistics.quantiles(lags, n=100)[98])


def rsyncs(line: Line, name: str, file_bytes: int, report: Report) -> None:
    """What rsync copies over the same line."""
    folder = line.folder / f"rsync-a-{name}"
    (folder / "small").mkdir(parents=True)
    (folder / "large.bin").write_bytes(random.Random(name).randbytes(file_bytes))
    for number in range(SMALL):
        (folder / "small" / f"{number}.dat").write_bytes(b"y" * 200)
    host, port = line.rsync_at
    for part, what in (("large.bin", f"file of {file_bytes >> 20} MiB, s"), ("small", f"{SMALL} small changes, s")):
        began = time.monotonic()
        line.net.run("a", "rsync", "-a", f"--port={port}", folder / part, f"rsync://{host}/copy/{name}/")
        report.note(f"{name}: {what}", "rsync", time.monotonic() - began)


def cut(line: Line, seconds: float, report: Report) -> None:
    """The line is cut while the application writes; then how long it takes until everything is there."""
    a, b = line.pools
    written = 0
    with line.net.lossy(100):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            a.change((ROW, ("cut", str(written), "x" * 200)))
            written += 1
            time.sleep(CUT_RATE_S)
    began = time.monotonic()
    ended = until("all that was written meanwhile", lambda: rows(b, "cut") == written)
    report.note(f"cut for {seconds:g} s, {written} rows written: until all are there, s", "poolpair", ended - began)


def main() -> None:
    """Every condition by itself."""
    parser = argparse.ArgumentParser(prog="bench.wan", description=__doc__)
    parser.add_argument("--mib", type=int, default=64, help="the size of the large file")
    parser.add_argument("--cut", type=float, default=300.0, help="how long the line is cut, in seconds")
    chosen = parser.parse_args()
    if os.geteuid():
        parser.exit(64, "bench.wan makes network namespaces, which takes root\n")
    report = Report(machine() | {"rate": RATE, "round trip, ms": 2 * DELAY_MS, "loss, percent": LOSS_PERCENT})
    folder = Path(mkdtemp(prefix="poolpair-wan-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with network() as net:
            line = Line(net, folder)
            conditions: dict[str, tuple[bool, Callable[[], AbstractContextManager[None]]]] = {
                "near": (False, nullcontext),
                "far": (True, nullcontext),
                "thin": (False, lambda: net.slow(RATE)),
                "lossy": (False, lambda: net.lossy(LOSS_PERCENT)),
            }
            for name, (far, made) in conditions.items():
                with made(), line.services(far=far):
                    rsyncs(line, name, chosen.mib << 20, report)
                    ours(line, name, chosen.mib << 20, report)
                    if name == "near":
                        cut(line, chosen.cut, report)
    except subprocess.CalledProcessError as error:
        parser.exit(74, f"bench.wan: {error}\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.table(["poolpair", "rsync"]))
    print(report.write("wan"))


if __name__ == "__main__":
    main()
