"""`python -m bench.xmpp`: two real Prosody servers under chat, with continuous backup and without: what users and machine notice of it."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.chat import FAR, NEAR, ROOM, Chatter, Heard
from bench.report import Report, machine
from poolpair.lab.waiting import wait_for
from tests.prosody.server import hosts_of
from tests.prosody.site import Site, Sites, built_sites, protect

PASSWORD = "secret"
OURS, ALONE = "poolpair", "alone"
SETTINGS = "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\ntrack_commit_timestamp = on\nautovacuum_naptime = 1min\n"
SETTLE_S = 10.0
"""What is said until everybody is there does not count."""
LOOK_S = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
_WRITTEN = """
SELECT host, "user", store, key, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM prosodyarchive
WHERE host IN (%s, 'rooms.' || %s)
"""
_PACKAGES = """
SELECT name, (body::json->>'package_bytes')::bigint FROM poolpair.document WHERE name LIKE 'intent/%%' AND body::json->>'delivered' = 'true'
"""
_CLONE = """
INSERT INTO prosody (host, "user", store, key, type, value)
SELECT host, 'user' || n, store, key, type, value FROM prosody, generate_series(1, %s - 1) n
WHERE host = %s AND store = 'accounts' AND "user" = 'user0'
"""


def options() -> argparse.Namespace:
    """How many, how busy, how long."""
    parser = argparse.ArgumentParser(prog="bench.xmpp", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1000, help="in both domains together")
    parser.add_argument("--online", type=int, default=200)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two messages of one user, on average")
    parser.add_argument("--seconds", type=float, default=300.0)
    return parser.parse_args()


@dataclass
class Load:
    """Half of everything at each site. The same people say the same in each phase."""

    sites: Sites
    online: int
    rooms: int
    every_s: float
    heard: list[Heard] = field(default_factory=list)

    def run(self, seconds: float) -> list[Heard]:
        """Everybody comes, chats, and goes; gives what was heard of what was said after the first seconds."""
        self.heard.clear()
        since_ns = asyncio.run(self._run(seconds))
        return [each for each in self.heard if each.sent_ns >= since_ns]

    async def _run(self, seconds: float) -> int:
        people = [
            Chatter(f"user{number}", f"{site.name}.example", site.prosody.ports.clients, self.heard)
            for number in range(self.online // 2)
            for site in self.sites
        ]
        for person in people:
            await person.enter(PASSWORD)
        for number, person in enumerate(people):
            await person.join(self._room(number), make=number < self.rooms)
        until_s = time.monotonic() + SETTLE_S + seconds
        since_ns = time.monotonic_ns() + int(SETTLE_S * 1e9)
        await asyncio.gather(*(self._chat(number, people, until_s) for number in range(len(people))))
        await asyncio.sleep(1)  # the last words are on their way
        lost = [f"{person.user}@{person.domain}" for person in people if not person.is_online()]
        if lost:
            raise SystemExit(f"no longer online: {', '.join(lost)}")
        for person in people:
            await person.leave()
        return since_ns

    def _room(self, number: int) -> str:
        """The room of somebody: people of odd numbers are at b, and so are their rooms."""
        return f"room{number % self.rooms // 2}@rooms.{'ab'[number % 2]}.example"

    async def _chat(self, number: int, people: list[Chatter], until_s: float) -> None:
        chance = random.Random(number)
        while (pause_s := chance.expovariate(1 / self.every_s)) < until_s - time.monotonic():
            await asyncio.sleep(pause_s)
            kind = chance.choices((NEAR, FAR, ROOM), (60, 15, 25))[0]
            other = people[(number + 2 * chance.randrange(1, len(people) // 2) + (kind == FAR)) % len(people)]
            to = self._room(number) if kind == ROOM else f"{other.user}@{other.domain}"
            await people[number].chat(to, kind, chance)


def main() -> None:
    """Alone, with us, alone again."""
    chosen = options()
    report = Report(machine() | {"accounts": chosen.accounts, "online": chosen.online, "rooms": chosen.rooms})
    with built_sites(SETTINGS, {}) as sites:
        for site in sites:
            _move_in(site, chosen.accounts // 2)
        load = Load(sites, chosen.online, chosen.rooms, chosen.every)
        _phase(report, ALONE, load, chosen.seconds / 2)
        for site in sites:
            site.pool.must("init")
        protect(*sites)
        with _counted(report, load.sites, chosen.seconds + SETTLE_S):
            _phase(report, OURS, load, chosen.seconds)
        for site in sites:
            site.pool.stop()
            site.pool.must("uninstall", "--yes")
        _phase(report, ALONE, load, chosen.seconds / 2)
    print(report.table([OURS, ALONE]))
    print(report.write("xmpp"))


def _move_in(site: Site, accounts: int) -> None:
    """Make accounts, and serve the site's own domain."""
    config = site.prosody.config
    config.write_text(config.read_text().replace("log = { debug =", "log = { info ="))
    site.prosody.start()
    for host in hosts_of(site.name):
        site.prosody.shell("host", "activate", host)
    domain = f"{site.name}.example"
    made = site.prosody.shell("user", "create", f"user0@{domain}", PASSWORD)
    with site.cluster.connect("prosody") as connection:
        if not connection.execute(_CLONE, (accounts, domain)).rowcount:
            raise SystemExit(f"no account at {domain}: {made.stdout}{made.stderr}")
    site.wait_serving(site.name)


def _phase(report: Report, who: str, load: Load, seconds: float) -> None:
    """One stretch of chat, and what it cost."""
    before = {name: _cpu_s(*processes) for name, processes in _processes(load.sites).items()}
    began = time.monotonic()
    heard = load.run(seconds)
    took_s = time.monotonic() - began
    for name, processes in _processes(load.sites).items():
        report.note(f"{name}, share of a core", who, (_cpu_s(*processes) - before.get(name, 0.0)) / took_s)
    for kind in (NEAR, FAR, ROOM):
        found = sorted(each.latency_ms for each in heard if each.kind == kind)
        if not found:
            raise SystemExit(f"nobody heard a message of the kind {kind!r}")
        report.note(f"{kind}: messages received in a second", who, len(found) / seconds)
        report.note(f"{kind}: latency p50, ms", who, statistics.median(found))
        report.note(f"{kind}: latency p99, ms", who, found[int(len(found) * 0.99)])


@contextmanager
def _counted(report: Report, sites: Sites, seconds: float) -> Iterator[None]:
    """Count what passes over the line, and how long each archived message was on its way."""
    since_s, before = time.time(), {site.name: _delivered(site) for site in sites}
    yield
    minutes = (time.time() - since_s) / 60
    for site, other in (sites, sites[::-1]):
        wait_for(f"FinalState at {site.name}", site.pool.is_final, 60.0, poll_s=LOOK_S)
        fresh = {name: size for name, size in _delivered(site).items() if name not in before[site.name]}
        report.note("packages in a minute", OURS, len(fresh) / minutes)
        report.note("kB in a minute", OURS, sum(fresh.values()) / 1000 / minutes)
        lags = _lags_ms(site, other, since_s)
        report.note("archived messages in a second", OURS, len(lags) / seconds)
        report.note("lag p50, ms", OURS, statistics.median(lags))
        report.note("lag p99, ms", OURS, lags[int(len(lags) * 0.99)])


def _delivered(site: Site) -> dict[str, int]:
    """Each delivered package, and its bytes."""
    return dict(site.rows(_PACKAGES))


def _lags_ms(origin: Site, target: Site, since_s: float) -> list[float]:
    """From the commit of each archived message at its origin to its commit at the partner."""
    domain = f"{origin.name}.example"
    there = {tuple(row[:4]): row[4] for row in target.rows(_WRITTEN, domain, domain)}
    here = [(tuple(row[:4]), row[4]) for row in origin.rows(_WRITTEN, domain, domain) if row[4] >= since_s]
    missing = [key for key, _ in here if key not in there]
    if missing or not here:
        raise SystemExit(f"{len(missing)} of {len(here)} archived messages of {origin.name} are not at {target.name}")
    return sorted(1000 * (there[key] - written_s) for key, written_s in here)


def _processes(sites: Sites) -> dict[str, tuple[int, ...]]:
    """Whose processor time is counted, of both sites together."""
    postmasters = tuple(site.cluster.postmaster for site in sites if site.cluster.postmaster)
    prosodies = tuple(site.prosody.process.pid for site in sites if site.prosody.process)
    services = tuple(site.pool.service.pid for site in sites if site.pool.service)
    parts = {"PostgreSQL, both sites": postmasters, "Prosody, both sites": prosodies}
    return parts | ({"service, both sites": services} if services else {})


def _cpu_s(*processes: int) -> float:
    """Processor time of processes and their children, living and ended."""
    lines = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
    found = {int(line.split(" ", 1)[0]): line.rpartition(")")[2].split() for line in lines}
    own = [fields for pid, fields in found.items() if pid in processes or int(fields[1]) in processes]
    ended = [found[pid] for pid in processes]
    return (
        sum(sum(map(int, fields[11:13])) for fields in own) / TICKS
        + sum(sum(map(int, fields[13:15])) for fields in ended) / TICKS
    )


if __name__ == "__main__":
    main()
