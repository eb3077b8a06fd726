"""A storm over a lab: parts are killed, frozen and started in an order drawn from a seed, settings published, the store and users moved.

The order of the steps is the seed's alone; what runs meanwhile is real, so the same seed meets other moments each time. Applications write
all the while. Afterwards everything is started, and `calm` holds what is there against what each application was told is committed.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from typer.testing import CliRunner

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from poolpair.lab.deployment import parts
from poolpair.lab.deployment.application import committed, notes
from poolpair.lab.deployment.layout import HOLDERS, Layout
from poolpair.lab.deployment.table import look
from poolpair.lab.waiting import NotSeen, wait_for
from poolpair.stopping import Stop

CALM_S = 300.0
MOVE_S = "60"
WEIGHTS = {
    "kill": 6,
    "freeze": 3,
    "start": 5,
    "wait": 4,
    "publish": 3,
    "move_store": 2,
    "move_users": 3,
    "disaster": 2,
    "start_all": 1,
}
EXPECTED = frozenset(Code) - {Code.CONFIG, Code.PROFILE, Code.KEY_FILE, Code.STORE_BROKEN, Code.CLONE, Code.DAMAGED}
"""What a command may be refused with while things are down; nothing else, and no other exception."""


@dataclass
class Storm:
    """One storm; `told` says step by step what was done and what came of it."""

    layout: Layout
    seed: int
    told: list[str] = field(default_factory=list)
    published: int = 0
    moved: int = 0

    def blow(self, steps: int) -> None:
        """Take so many steps."""
        draw = random.Random(self.seed)
        for _ in range(steps):
            verb = draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            step: Callable[[random.Random], Iterator[str]] = getattr(self, f"_{verb}")
            for words in step(draw):
                self.tell(words)

    def tell(self, words: str) -> None:
        """Keep it, and print it for whoever watches."""
        self.told.append(words)
        print(words, flush=True)  # noqa: T201 - pytest shows it with -s, or when it failed

    def command(self, pool: str, *words: str) -> str:
        """A command at a pool; gives the first line that it ends with, or the code that it was refused with."""
        result = CliRunner().invoke(app, ["-c", str(self.layout.pool_file(pool)), *words])
        error = result.exception
        if isinstance(error, PoolpairError):
            assert error.code in EXPECTED, f"{pool}: {' '.join(words)}: {error}"
            return f"{error.code} {error.detail.splitlines()[0]}"
        if error is not None and not isinstance(error, SystemExit):
            raise AssertionError(f"{pool}: {' '.join(words)}: {error!r}") from error
        return "".join(result.output.splitlines()[-1:]) if result.exit_code == 0 else f"exit status {result.exit_code}"

    def _said(self, pool: str, *words: str) -> str:
        return f"{pool}: {' '.join(words)}: {self.command(pool, *words)}"

    def _part(self, draw: random.Random, *kinds: str) -> str:
        return draw.choice([part for part in self.layout.parts() if part.startswith(kinds)])

    def _kill(self, draw: random.Random) -> Iterator[str]:
        part = self._part(draw, "db-", "fe-", "app-")
        yield f"kill {part}: {parts.kill(self.layout, part)}"

    def _freeze(self, draw: random.Random) -> Iterator[str]:
        part = self._part(draw, "db-", "fe-", "app-")
        yield f"freeze {part}: {parts.freeze(self.layout, part)}"

    def _start(self, draw: random.Random) -> Iterator[str]:
        pool = self.layout.pool(draw.choice("abcd"))
        for part in pool.parts:
            yield f"start {part}: {parts.start(self.layout, part)}"

    def _start_all(self, draw: random.Random) -> Iterator[str]:
        del draw
        for part in self.layout.parts():
            parts.start(self.layout, part)
        yield "start all"

    def _wait(self, draw: random.Random) -> Iterator[str]:
        seconds = draw.uniform(0.2, 5.0)
        Stop().wait(seconds)
        yield f"{seconds:.1f} s pass"

    def _publish(self, draw: random.Random) -> Iterator[str]:
        self.published += 1
        yield self._said(draw.choice(HOLDERS), "config", "set", "sync.window", str(4 + self.published % 20))

    def _move_store(self, draw: random.Random) -> Iterator[str]:
        pool = draw.choice(HOLDERS)
        yield self._said(pool, "cms", "failover", "--yes", "--timeout", MOVE_S)

    def _move_users(self, draw: random.Random) -> Iterator[str]:
        home, verb = draw.choice("abcd"), draw.choice(("failover", "failback"))
        pool = draw.choice((home, self.layout.pool(home).partner))
        self.moved += 1
        yield self._said(pool, verb, home, "--yes", "--timeout", MOVE_S)

    def _disaster(self, draw: random.Random) -> Iterator[str]:
        """All of a pool dies; its partner takes its users over, and the store before that."""
        dead = self.layout.pool(draw.choice("abcd"))
        taker = self.layout.pool(dead.partner)
        for part in reversed(dead.parts):
            parts.kill(self.layout, part)
        for part in taker.parts:
            parts.start(self.layout, part)
        yield f"pool {dead.name} dies"
        if dead.name in HOLDERS:
            yield self._said(taker.name, "cms", "failover", "--disaster", "--yes", "--accept-incomplete")
        yield self._said(taker.name, "failover", dead.name, "--disaster", "--yes", "--accept-incomplete")
        self.moved += 1

    # -- afterwards

    def calm(self) -> None:
        """Everything is started, users come home, decisions are made: then nothing may be missing, doubled or in dispute."""
        layout = self.layout
        wait_for("all users at home", self._come_home, CALM_S, poll_s=1.0)
        for pool in layout.pools:
            parts.stop(layout, pool.application)
        wait_for("everything settled", self._is_settled, CALM_S, poll_s=1.0)
        for pool in layout.pools:
            said = self.command(pool.name, "verify")
            assert "equal" in said, f"verify at {pool.name}: {said}"
        self.nothing_is_lost()
        self.the_ledger_is_one()
        self.one_served_at_a_time()
        self.one_configuration()
        self.no_traceback()

    def _come_home(self) -> bool:
        """Start what is down, bring users home whose plan ended elsewhere, decide what is open; True once every pool serves its own."""
        for part in self.layout.parts():
            parts.start(self.layout, part)
        view = look(self.layout)
        if view.silent:
            return False
        home = True
        for pool in self.layout.pools:
            found = view.pools[pool.name]
            own = next(each for each in found.homes if each.home == pool.name)
            if found.ledger_open:
                self.tell(self._said(pool.name, "ledger", "resolve", "--all", "--ours", "--force"))
            if own.served_by != pool.name or own.plan:
                self.tell(self._said(pool.name, "failback", pool.name, "--yes", "--timeout", "20"))
                home = False
            home = home and own.takes_writes and not own.recovering and not found.ledger_open
        return home

    def _is_settled(self) -> bool:
        view = look(self.layout)
        finals = [channel.export.status == "FinalState" for found in view.pools.values() for channel in found.channels]
        self.unsettled = "; ".join(
            [*view.silent.values(), *(f"{name}: {found.exit_status}" for name, found in view.pools.items())]
        )
        return not view.silent and all(finals) and all(found.exit_status == 0 for found in view.pools.values())

    def nothing_is_lost(self) -> None:
        """Both pools of a pair hold the same, and in it every note that any application was told is committed."""
        for one, other in (("a", "b"), ("c", "d")):
            held = notes(self.layout, one)
            assert held == notes(self.layout, other), f"{one} and {other} differ"
            for pool in (one, other):
                lost = [each for each in committed(self.layout, pool) if (each.owner, each.note) not in held]
                assert not lost, f"committed at {pool}, and nowhere now: {lost[:5]} of {len(lost)}"

    def the_ledger_is_one(self) -> None:
        """What disasters cost stands in the ledgers of both pools alike, and nothing of it waits for anybody."""
        for one, other in (("a", "b"), ("c", "d")):
            found = [self._ledger(pool) for pool in (one, other)]
            assert found[0] == found[1], f"the ledgers of {one} and {other} differ: {found}"
            states = Counter(json.loads(line)["state"] for line in found[0])
            self.tell(f"the ledger of {one} and {other}: {dict(states)}")
            assert not states.keys() & {"open", "standing"}, states

    def _ledger(self, pool: str) -> list[str]:
        words = ["-c", str(self.layout.pool_file(pool)), "ledger", "list", "--all", "--json"]
        return sorted(CliRunner().invoke(app, words).output.splitlines())

    def one_served_at_a_time(self) -> None:
        """In each epoch of a home the notes were taken at one pool: at home in even ones, at the partner in odd ones."""
        takers: dict[tuple[str, int], set[str]] = defaultdict(set)
        for pool in self.layout.pools:
            for each in committed(self.layout, pool.name):
                takers[each.owner, each.epoch].add(pool.name)
        for (home, epoch), pools in sorted(takers.items()):
            allowed = home if epoch % 2 == 0 else self.layout.pool(home).partner
            assert pools == {allowed}, f"users of {home} in epoch {epoch}: notes were taken at {sorted(pools)}"

    def one_configuration(self) -> None:
        """One pool holds the store, both say which, and every server goes by what it says."""
        held = [re.search(r"held by (\w+) \(term (\d+)\)", line) for line in look(self.layout).store]
        assert len({found.groups() for found in held if found}) == 1, held
        master = next(found[1] for found in held if found)
        self.tell(self._said(master, "cms", "replicate", "--timeout", str(CALM_S)))
        assert "P4" not in self.told[-1], self.told[-1]
        shown = {
            pool.name: CliRunner().invoke(app, ["-c", str(self.layout.pool_file(pool.name)), "config", "show"])
            for pool in self.layout.pools
        }
        windows = {
            name: next(line.split()[1] for line in result.output.splitlines() if line.startswith("sync.window"))
            for name, result in shown.items()
        }
        assert len(set(windows.values())) == 1, windows

    def no_traceback(self) -> None:
        """Whatever died around them, services said what was wrong in words."""
        for part in self.layout.parts():
            if part.startswith("fe-"):
                said = self.layout.log(part).read_text(errors="replace")
                assert "Traceback" not in said, f"{part}: {said[said.index('Traceback') :][:2000]}"


def weather(storm: Storm, steps: int) -> None:
    """The storm and the calm after it. A failure says what was done, and how it is done again."""
    try:
        storm.blow(steps)
        storm.calm()
    except (AssertionError, NotSeen, PoolpairError) as error:
        told = "\n".join(storm.told)
        again = f"POOLPAIR_STORM={storm.seed} POOLPAIR_STORM_STEPS={steps} .venv/bin/python -m pytest -m long tests/lab/test_storm.py"
        raise AssertionError(
            f"{error} {getattr(storm, 'unsettled', '')}\n{told}\nthe same steps again: {again}"
        ) from error
