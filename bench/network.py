"""Two network namespaces with a line between them, which can be made slow, lossy or cut. Needs root, iproute2 and nftables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from poolpair.lab.waiting import wait_for

ADDRESSES = {"a": "10.77.0.1", "b": "10.77.0.2"}
START_S = 20.0


class Network:
    """Sites a and b; whatever is started here is ended with it."""

    def __init__(self) -> None:
        self.names = {site: f"poolpair-{site}-{os.getpid()}" for site in ADDRESSES}
        self.links = {site: f"pp{site}{os.getpid()}" for site in ADDRESSES}
        self._started: list[subprocess.Popen[bytes]] = []

    def inside(self, site: str, command: Sequence[str | Path]) -> list[str]:
        """The command line that runs a command at a site."""
        return ["ip", "netns", "exec", self.names[site], *map(str, command)]

    def run(self, site: str, *command: str | Path, said: str = "") -> None:
        """Run a command at a site to its end."""
        subprocess.run(self.inside(site, command), check=True, input=said.encode(), stdout=subprocess.DEVNULL)

    def start(self, site: str, *command: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a process at a site."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                self.inside(site, command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._started.append(process)
        return process

    def wait_for_port(self, site: str, host: str, port: int) -> None:
        """Wait until something listens there, seen from a site."""
        command = self.inside(site, ["bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"])
        wait_for(
            f"{host}:{port}",
            lambda: subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0,
            START_S,
            poll_s=0.1,
        )

    def delayed(self, site: str, port: int, to_site: str, to_port: int, delay_ms: float, log: Path) -> None:
        """Let a port of a site's loopback lead to one of the other site, so much later."""
        self.start(
            site,
            sys.executable,
            "-m",
            "bench.delay",
            str(port),
            ADDRESSES[to_site],
            str(to_port),
            str(delay_ms),
            log=log,
        )
        self.wait_for_port(site, "127.0.0.1", port)

    @contextmanager
    def slow(self, rate: str) -> Iterator[None]:
        """The line takes no more than `rate`, in each direction."""
        for site, link in self.links.items():
            self.run(
                site,
                "tc",
                "qdisc",
                "add",
                "dev",
                link,
                "root",
                "tbf",
                "rate",
                rate,
                "burst",
                "64kb",
                "latency",
                "400ms",
            )
        try:
            yield
        finally:
            for site, link in self.links.items():
                self.run(site, "tc", "qdisc", "del", "dev", link, "root")

    @contextmanager
    def lossy(self, percent: int) -> Iterator[None]:
        """So many of a hundred packets vanish, at each end; all of them: the line is cut."""
        rule = f"numgen random mod 100 < {percent} drop" if percent < 100 else "drop"
        for site, link in self.links.items():
            hook = "type filter hook input priority 0; policy accept;"
            table = f"table inet line {{\n chain in {{\n  {hook}\n  iifname {link} {rule}\n }}\n}}\n"
            self.run(site, "nft", "-f", "-", said=table)
        try:
            yield
        finally:
            for site in self.links:
                self.run(site, "nft", "delete", "table", "inet", "line")

    def end(self) -> None:
        """End what was started, and take the namespaces away."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.wait()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False)


@contextmanager
def network() -> Iterator[Network]:
    """Both sites, and the line."""
    made = Network()
    try:
        for name in made.names.values():
            subprocess.run(["ip", "netns", "add", name], check=True)
        ends = [[made.links[site], "netns", made.names[site]] for site in "ab"]
        subprocess.run(["ip", "link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1]], check=True)
        for site, address in ADDRESSES.items():
            made.run(site, "ip", "addr", "add", f"{address}/24", "dev", made.links[site])
            for link in (made.links[site], "lo"):
                made.run(site, "ip", "link", "set", link, "up")
        yield made
    finally:
        made.end()
